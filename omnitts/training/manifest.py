"""What there is to learn from: recordings with their text and speaker, from manifests or folders.

A path goes in, `Recording`s come out, the held-out ones left out by name. Opens no audio.

* A manifest is JSON lines: ``{"audio": "a.opus", "text": "...", "speaker": "anna", "accent": "en-gb"}``; ``id`` and
  ``accent`` may be missing, paths are relative to the manifest. A tab-separated file has the columns audio, speaker,
  text and, if wanted, accent.
* A folder holds ``SPEAKER/name.wav`` with ``name.txt`` beside it (the folder's own files are one speaker).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from omnitts.errors import InputError

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES: Final = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac"})
_TSV: Final = ("audio", "speaker", "text", "accent")


@dataclass(frozen=True, slots=True)
class Recording:
    """One utterance. ``accent`` is a BCP 47 tag of how it is spoken (en-us, en-gb)."""

    id: str
    audio: Path
    text: str
    speaker: str
    accent: str = "en-us"


@dataclass(frozen=True)
class HeldOut:
    """What must never be learnt from, by name: voices (whole words of a speaker's name) and sentences."""

    voices: frozenset[str] = frozenset()
    sentences: frozenset[str] = frozenset()

    @classmethod
    def of(cls, voices: Iterable[str], sentences: Iterable[str]) -> HeldOut:
        return cls(frozenset(voices), frozenset(map(plain, sentences)))

    def has(self, recording: Recording) -> bool:
        parts = set(re.findall(r"[\w-]+", recording.speaker))
        return bool(parts & self.voices) or plain(recording.text) in self.sentences


def plain(text: str) -> str:
    """Letters and digits in lower case: two sentences are the same when they read the same."""
    return " ".join(re.findall(r"\w+", text.lower()))


def read_sentences(path: Path) -> list[str]:
    """The last column of a tab-separated file, or whole lines. Raises `InputError` when it cannot be read."""
    return [line.split("\t")[-1].strip() for line in _lines(path) if line.strip()]


def read_recordings(source: Path) -> list[Recording]:
    """All recordings of a manifest or folder, in a fixed order. Raises `InputError` naming the line or folder."""
    if source.is_dir():
        found = list(_from_folder(source))
        if not found:
            hint = "expected SPEAKER/name.wav with name.txt beside it, or give a manifest (.jsonl, .tsv)"
            raise InputError("no recording with a text is in this folder", where=str(source), hint=hint)
    elif source.suffix == ".tsv":
        found = [
            _recording(dict(zip(_TSV, line.split("\t"), strict=False)), source, i) for i, line in _numbered(source)
        ]
    else:
        found = [_recording(_parsed(line, source, i), source, i) for i, line in _numbered(source)]
    twice = _first_twice(recording.id for recording in found)
    if twice is not None:
        raise InputError(f"two recordings have the id {twice!r}", where=str(source))
    return found


def without(recordings: Iterable[Recording], held_out: HeldOut) -> list[Recording]:
    """The recordings that may be learnt from; says how many may not."""
    given = list(recordings)
    kept = [recording for recording in given if not held_out.has(recording)]
    if len(kept) < len(given):
        logger.info("%d of %d recordings are held out", len(given) - len(kept), len(given))
    return kept


def _from_folder(folder: Path) -> Iterator[Recording]:
    for audio in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        text = audio.with_suffix(".txt")
        if text.is_file():
            speaker = audio.parent.name if audio.parent != folder else folder.name
            name = audio.relative_to(folder).with_suffix("").as_posix()
            yield Recording(name, audio, text.read_text(encoding="utf-8").strip(), speaker)


def _recording(fields: dict[str, Any], source: Path, number: int) -> Recording:
    missing = [name for name in ("audio", "text", "speaker") if not fields.get(name)]
    if missing:
        raise InputError(f"{missing[0]} is missing", where=f"{source}, line {number}")
    audio = source.parent / str(fields["audio"])
    name = str(fields.get("id") or Path(str(fields["audio"])).with_suffix("").as_posix())
    return Recording(name, audio, str(fields["text"]), str(fields["speaker"]), str(fields.get("accent") or "en-us"))


def _parsed(line: str, source: Path, number: int) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", where=f"{source}, line {number}") from error
    if not isinstance(fields, dict):
        raise InputError("is not a JSON object", where=f"{source}, line {number}")
    return fields


def _numbered(path: Path) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(_lines(path), 1) if line.strip()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", where=str(path)) from error


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
