"""Benchmarks on disk: a local copy of Long-TTS-Eval or Seed-TTS-Eval in, items to speak out. Speaks nothing.

Long-TTS-Eval (`long-tts-eval`): a .jsonl or .json file, or a folder of them. An item is an object with ``text`` and, as
the published set has it, ``text_norm``, the same text with everything written out: both are references. Its id is
``id``, ``idx``, ``index``, ``utt`` or ``name`` (else its place in the file); its subset is said by ``subset``,
``category`` or ``split``, else by the file's name (``en``, ``zh``, ``en-hard``, ``hard_zh`` ...), else by the text.

Seed-TTS-Eval (`seed-tts-eval`): a .lst file, or the folder with ``en/meta.lst``, ``zh/meta.lst``, ``zh/hardcase.lst``.
A line is ``id|words of the prompt|prompt.wav|text``, paths counting from the .lst file; further columns are not read.

A field that is missing, a prompt that is not there or a text without a word is an `InputError` that names the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from omnitts.errors import InputError, ModelError

Benchmark = Literal["long-tts-eval", "seed-tts-eval"]
BENCHMARKS: Final[tuple[Benchmark, ...]] = ("long-tts-eval", "seed-tts-eval")
HUB_SETS: Final[Mapping[Benchmark, str]] = {"long-tts-eval": "wcy1122/Long-TTS-Eval"}
_IDS: Final = ("id", "idx", "index", "utt", "name")
_SUBSETS: Final = ("subset", "category", "split")
_LIST_KEYS: Final = ("data", "items", "samples")
_HANZI: Final = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One text to speak. ``references``: what may be heard; ``prompt_audio``: the voice to speak it in, or None for the
    run's own voice. ``language`` is ``en`` or ``zh``; ``subset`` that, with ``-hard`` where it is so."""

    id: str
    subset: str
    language: str
    text: str
    references: tuple[str, ...]
    prompt_audio: Path | None = None
    prompt_text: str = ""


def read_dataset(benchmark: Benchmark, path: Path) -> list[EvalItem]:
    """All items in the order of the files. Raises `InputError`."""
    if not path.exists():
        raise InputError("no such file or folder", where=str(path), hint="give a local copy, or --download")
    suffixes = (".lst",) if benchmark == "seed-tts-eval" else (".jsonl", ".json")
    files = [path] if path.is_file() else _files_below(path, suffixes)
    if path.is_file() and path.suffix not in suffixes:
        kinds = " or ".join(suffixes)
        raise InputError(f"{benchmark} is read from {kinds} files", where=str(path), hint="see omnitts evaluate --help")
    read = _read_seed if benchmark == "seed-tts-eval" else _read_long
    items = [item for file in files for item in read(file)]
    if not items:
        hint = f"it needs {' or '.join(suffixes)} files (a .parquet of the hub: datasets' to_json converts it)"
        raise InputError(f"nothing of {benchmark} is here", where=str(path), hint=hint)
    doubled = _first_doubled([(item.subset, item.id) for item in items])
    if doubled:
        raise InputError(f"two items of {doubled[0]} are called {doubled[1]!r}", where=str(path))
    return items


def download_dataset(repo: str) -> Path:
    """A data set of the Hugging Face hub as a folder in its cache. Raises `ModelError` when it cannot be fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    failures: tuple[type[BaseException], ...] = (OSError, ValueError, *HfHubHTTPError.__bases__)
    try:
        return Path(snapshot_download(repo, repo_type="dataset"))
    except failures as error:
        raise ModelError(
            f"the data set cannot be fetched ({error})", where=repo, hint="fetch it elsewhere and give the folder"
        ) from error


def _files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Sorted, hidden folders left out. Beside a meta.lst only the lists of the published names are taken."""
    found = sorted(file for file in folder.rglob("*") if file.suffix in suffixes and file.is_file())
    found = [file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    published = [file for file in found if file.name in ("meta.lst", "hardcase.lst")]
    return published or found


# Long-TTS-Eval ----------------------------------------------------------------------------------------------------


def _read_long(file: Path) -> Iterator[EvalItem]:
    for place, raw in _objects(file):
        where = f"{file}, item {place}"
        texts = [str(raw[name]).strip() for name in ("text", "text_norm") if raw.get(name)]
        if not raw.get("text"):
            raise InputError("the item has no text", where=where)
        _require_words(texts, where)
        named = next((str(raw[name]) for name in _IDS if raw.get(name) is not None), f"{file.stem}-{place}")
        said = next((str(raw[name]) for name in _SUBSETS if raw.get(name)), file.stem)
        language = _language_in(said) or _language_of(texts[0])
        subset = f"{language}-hard" if "hard" in said.lower() else language
        yield EvalItem(named, subset, language, texts[0], tuple(dict.fromkeys(texts)))


def _objects(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = _read_text(file)
    try:
        if file.suffix == ".jsonl":
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            data = json.loads(text)
            inner = next((data[key] for key in _LIST_KEYS if key in data), data) if isinstance(data, dict) else data
            found = list(inner.values()) if isinstance(inner, dict) else inner
    except ValueError as error:
        raise InputError(f"cannot be read as JSON ({error})", where=str(file)) from error
    for place, raw in enumerate(found, start=1):
        if not isinstance(raw, dict):
            raise InputError("is not an object with a text", where=f"{file}, item {place}")
        yield place, raw


# Seed-TTS-Eval ----------------------------------------------------------------------------------------------------


def _read_seed(file: Path) -> Iterator[EvalItem]:
    for place, line in enumerate(_read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        where, columns = f"{file}, line {place}", line.rstrip("\n").split("|")
        if len(columns) < 4:
            raise InputError("the line has not four columns (id|prompt text|prompt.wav|text)", where=where)
        named, prompt_text, prompt, text = (column.strip() for column in columns[:4])
        _require_words([text], where)
        audio = file.parent / prompt
        if not audio.is_file():
            raise InputError(f"the prompt {prompt} is not there", where=where, hint="is the data set complete?")
        language = _language_in(file.parent.name) or _language_of(text)
        subset = f"{language}-hard" if "hard" in file.stem else language
        yield EvalItem(named, subset, language, text, (text,), audio, prompt_text)


# Helpers ----------------------------------------------------------------------------------------------------------


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", where=str(file)) from error


def _require_words(texts: Sequence[str], where: str) -> None:
    if any(not any(char.isalnum() for char in text) for text in texts):
        raise InputError("the text has no word in it", where=where)


def _language_in(name: str) -> str:
    """``en`` or ``zh`` where a name says so: ``en``, ``hard_zh``, ``long-tts-eval-en``."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((tag for tag, says in (("en", "english"), ("zh", "chinese")) if {tag, says} & set(words)), "")


def _language_of(text: str) -> str:
    return "zh" if _HANZI.search(text) else "en"


def _first_doubled(keys: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    seen: set[tuple[str, str]] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None
