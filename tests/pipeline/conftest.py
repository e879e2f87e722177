"""A book, an engine that makes tones, and a listener that hears what it is told to hear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnitts.audio import Waveform
from omnitts.pipeline.check.transcribe import Transcript

BOOK = """# The Lighthouse

By A. Keeper

# Chapter One

The lamp was lit at dusk. Nobody saw the boat come in, for the fog had closed over the harbour.

"Is anyone there?" called the keeper. There was no answer but the sea.

# Chapter Two

In the morning the fog had gone. A single oar lay upon the sand, and beside it the keeper found a letter.

* * *

He read it twice. Then he put it into the fire and went up to trim the lamp.
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs, voices and caches of each test in a folder of its own."""
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "lighthouse.md"
    path.write_text(BOOK, encoding="utf-8")
    return path


class ScriptedListener:
    """Hears each text as ``hear(text, times heard)`` says. It is told the texts it is going to be asked about."""

    def __init__(self, hear: Callable[[int], str]) -> None:
        self.num_calls = 0
        self._hear = hear

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript:
        self.num_calls += 1
        return Transcript(self._hear(self.num_calls), (), language)

    def is_rare(self, word: str) -> bool:
        return False
