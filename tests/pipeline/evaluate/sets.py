"""Tiny data sets in the published layouts, and a recogniser that hears what it is told to."""

from __future__ import annotations

import json
from pathlib import Path

from omnitts.audio import Waveform
from omnitts.pipeline.check.transcribe import Transcript
from omnitts.pipeline.voices.library import resolve_voice

LONG = (
    {"id": "a", "text": "It was in 1984.", "text_norm": "It was in nineteen eighty four."},
    {"id": "b", "text": "The sea was calm."},
)


class Hears:
    """Says the next of its lines for each sound, over and over. Remembers how long each sound was."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines
        self.lengths_s: list[float] = []

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript:
        self.lengths_s.append(waveform.duration_s)
        return Transcript(self._lines[(len(self.lengths_s) - 1) % len(self._lines)], (), language)

    def is_rare(self, word: str) -> bool:
        return False


def write_long(folder: Path) -> Path:
    folder.mkdir()
    (folder / "en.jsonl").write_text("".join(json.dumps(item) + "\n" for item in LONG), encoding="utf-8")
    return folder


def write_seed(folder: Path) -> Path:
    """en/meta.lst, zh/hardcase.lst and their prompts."""
    prompt = resolve_voice("clara")
    for language, name, line in (
        ("en", "meta.lst", f"u1|{prompt.transcript}|prompt-wavs/p.flac|Don't go, Anna!"),
        ("zh", "hardcase.lst", f"u2|{prompt.transcript}|prompt-wavs/p.flac|今天天气，真不错。|gt.wav"),
    ):
        (folder / language / "prompt-wavs").mkdir(parents=True)
        (folder / language / name).write_text(line + "\n", encoding="utf-8")
        (folder / language / "prompt-wavs" / "p.flac").write_bytes(prompt.audio.read_bytes())
    return folder
