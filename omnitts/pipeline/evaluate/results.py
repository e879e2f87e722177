"""Results of a benchmark: one JSON line per item, written as it comes, and what the lines add up to.

The first line says how the results were made; results made otherwise never join them. A line cut by a kill is dropped
and its item done again. Of two lines of one item the later counts. Scores nothing itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from omnitts.errors import InputError, OutputError, UsageError
from omnitts.pipeline.evaluate.datasets import Benchmark

SUBSET_ORDER: Final = ("en", "zh", "en-hard", "zh-hard")


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item. Rates are over ``num_words``. ``failure`` is empty, or why there is no sound: then every word lacks.

    ``similarity`` is resemblyzer's cosine with the voice (not WavLM SV), None without a voice or with too little sound.
    """

    id: str
    subset: str
    heard: str
    wer: float
    substitutions: float
    deletions: float
    insertions: float
    num_words: int
    similarity: float | None
    audio_s: float
    synthesis_s: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A subset. ``wer`` weighs every word the same, ``mean_wer`` every file; ``rtf`` is seconds of work per second of
    sound, None when there is no sound."""

    subset: str
    num_files: int
    num_words: int
    num_failed: int
    wer: float
    mean_wer: float
    similarity: float | None
    audio_s: float
    rtf: float | None


class Results:
    """A results file, open for more."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        """Raises `UsageError` when its results were made in another way, `OutputError` when it cannot be written."""
        self.path = path
        self.items: dict[tuple[str, str], ItemResult] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.stat().st_size:
                self._go_on(header)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write ({error.strerror})", where=str(path), hint="check the folder") from error
        if not path.stat().st_size:
            self._write({"header": dict(header)})

    def is_done(self, subset: str, named: str) -> bool:
        """Whether the item has a result; one that failed is done again."""
        found = self.items.get((subset, named))
        return found is not None and not found.failure

    def add(self, result: ItemResult) -> None:
        self.items[result.subset, result.id] = result
        self._write(asdict(result))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _go_on(self, header: Mapping[str, Any]) -> None:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        if not whole:
            return
        before, self.items = read_results(self.path)
        other = sorted(name for name in {*before, *header} if before.get(name) != header.get(name))
        if other:
            raise UsageError(
                f"these results were made with another {', '.join(other)}",
                where=str(self.path),
                hint="give another --name or --out, or begin anew with --fresh",
            )

    def _write(self, data: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(data, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_results(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str], ItemResult]]:
    """Header and items of a results file. Raises `InputError` when it is none."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        header: dict[str, Any] = json.loads(first)["header"]
        results = [ItemResult(**json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"this is no results file ({error})", where=str(path), hint="give another --out") from error
    return header, {(result.subset, result.id): result for result in results}


def results_in(folder: Path, benchmark: Benchmark) -> Iterator[tuple[Mapping[str, Any], list[Score]]]:
    """Header and scores of every results file of a benchmark in a folder."""
    for path in sorted(folder.glob(f"{benchmark}.*.jsonl")):
        header, items = read_results(path)
        yield header, score(list(items.values()))


def score(results: Sequence[ItemResult]) -> list[Score]:
    """One score per subset, in the published order."""
    subsets = {result.subset for result in results}
    ordered = [name for name in SUBSET_ORDER if name in subsets] + sorted(subsets - set(SUBSET_ORDER))
    return [_score_subset(name, [result for result in results if result.subset == name]) for name in ordered]


def _score_subset(name: str, results: Sequence[ItemResult]) -> Score:
    num_words = sum(result.num_words for result in results)
    audio_s = sum(result.audio_s for result in results)
    alike = [result.similarity for result in results if result.similarity is not None]
    return Score(
        subset=name,
        num_files=len(results),
        num_words=num_words,
        num_failed=sum(bool(result.failure) for result in results),
        wer=sum(result.wer * result.num_words for result in results) / num_words,
        mean_wer=fmean(result.wer for result in results),
        similarity=fmean(alike) if alike else None,
        audio_s=audio_s,
        rtf=sum(result.synthesis_s for result in results) / audio_s if audio_s else None,
    )
