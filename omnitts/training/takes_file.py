"""The file of takes: texts of the corpus that the model itself has said, each line one, the best of its takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from omnitts.audio import write_atomically
from omnitts.errors import InputError
from omnitts.training.run_folder import RunFolder
from omnitts.training.store import CODE_S

TAKES: Final = "takes.jsonl"
FOLDER: Final = "takes"


@dataclass(frozen=True)
class CorpusTake:
    """``id``: of the utterance whose text was said, in its speaker's voice. ``misread``: share of wrong labels."""

    id: str
    codes: tuple[int, ...]
    misread: float

    @property
    def seconds(self) -> float:
        return len(self.codes) * CODE_S


def kept_takes(run: RunFolder) -> list[CorpusTake]:
    """Raises `InputError` when there is none."""
    path = run.root / FOLDER / TAKES
    takes = read_takes(path)
    if not takes:
        hint = f"run `omnitts train takes {run.root}` first, or set speech_lm.takes_share to 0"
        raise InputError("the recipe wants takes to learn from, and there are none", where=str(path), hint=hint)
    return takes


def read_takes(path: Path) -> list[CorpusTake]:
    """The file's takes; a last line that was cut off is left out. Raises `InputError` for a damaged one."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [CorpusTake(item["id"], tuple(item["codes"]), item["misread"]) for item in found]
    except (ValueError, KeyError, TypeError) as error:
        hint = "delete it to make takes again"
        raise InputError(f"the takes cannot be read ({error})", where=str(path), hint=hint) from error


def append_takes(path: Path, takes: Iterable[CorpusTake]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(take)) + "\n" for take in takes)


def mend_takes(path: Path) -> None:
    """Cuts off a line that a killed run did not finish."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.read_bytes() if path.is_file() else b""
    if not whole.endswith(b"\n"):
        write_atomically(path, whole[: whole.rfind(b"\n") + 1])
