"""Markup in display text: ``[pause 0.5s]``, ``[voice NAME]`` ... ``[/voice]``, ``[spell ABC]``.

A block's text in, runs of words between hard boundaries out, each with the place of every character in the source.
Markup that is unknown or broken stays text and is reported. Knows nothing of sentences or voices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_PAUSE_S: Final = 60.0
_TAG: Final = re.compile(
    r"\[\s*(pause|voice|spell|/\s*[a-z]+|[a-z]+(?=\s+[\d.]+\s*m?s\s*\]))\b([^\[\]]*)\]", re.IGNORECASE
)
_PAUSE: Final = re.compile(r"\s+(\d+(?:\.\d+)?|\.\d+)\s*(ms|s)\s*\Z", re.IGNORECASE)
_VOICE_NAME: Final = re.compile(r"\s+([^\W_][\w .'-]*?)\s*\Z")


@dataclass(frozen=True, slots=True)
class Run:
    """Words with one speaker and no explicit pause inside.

    ``start`` is where the run begins in the block's text, its opening tag included. ``offsets`` gives the place of
    each character of ``text`` in the block's text; None when it is simply ``first + i``. ``speaker`` is None where no
    tag names one. ``pause_s`` is the pause asked for after the run, or None.
    """

    text: str
    start: int
    first: int
    speaker: str | None = None
    pause_s: float | None = None
    offsets: tuple[int, ...] | None = None

    def place_of(self, index: int) -> int:
        """Place in the block's text of character ``index`` of this run."""
        return self.first + index if self.offsets is None else self.offsets[index]


def runs_of(text: str) -> tuple[list[Run], list[str]]:
    """Splits a block's text at its markup; returns the runs and what is wrong with the markup, in words."""
    if "[" not in text:
        return [Run(text, 0, 0)], []
    builder = _Builder(text)
    for tag in _TAG.finditer(text):
        builder.take(tag)
    return builder.finish(), builder.problems


def voices_named_in(text: str) -> set[str]:
    """Names used by ``[voice NAME]`` in a text."""
    runs, _ = runs_of(text)
    return {run.speaker for run in runs if run.speaker}


class _Builder:
    """Collects runs while the tags of one block go by."""

    def __init__(self, text: str) -> None:
        self.problems: list[str] = []
        self._source = text
        self._runs: list[Run] = []
        self._position = 0  # up to here the source has been taken
        self._start = 0  # where the run being built begins
        self._parts: list[tuple[str, int, bool]] = []  # words, place, whether they are spelled out
        self._speaker: str | None = None

    def take(self, tag: re.Match[str]) -> None:
        kind, rest = tag.group(1).lower().replace(" ", ""), tag.group(2)
        if kind == "pause" and (pause := _PAUSE.match(rest)):
            seconds = float(pause.group(1)) / (1000 if pause.group(2).lower() == "ms" else 1)
            if seconds <= LONGEST_PAUSE_S:
                self._words_until(tag.start())
                self._position = tag.end()
                self._close(tag.end(), seconds)
                return
        elif kind == "voice" and (not rest.strip() or _VOICE_NAME.match(rest)):
            self._switch(tag, rest.strip() or None)
            return
        elif kind == "/voice" and not rest.strip() and self._speaker is not None:
            self._switch(tag, None)
            return
        elif kind == "spell" and rest.strip():
            self._words_until(tag.start())
            letters = " ".join(character for character in rest if not character.isspace())
            self._parts.append((letters, tag.start(), True))
            self._position = tag.end()
            return
        self.problems.append(f"markup {tag.group()} is not understood and will be read as text")

    def finish(self) -> list[Run]:
        self._words_until(len(self._source))
        self._close(len(self._source), None)
        return self._runs or [Run("", 0, 0)]

    def _switch(self, tag: re.Match[str], speaker: str | None) -> None:
        self._words_until(tag.start())
        self._close(tag.start(), None)
        self._speaker = speaker
        self._position = tag.end()

    def _words_until(self, end: int) -> None:
        if end > self._position:
            self._parts.append((self._source[self._position : end], self._position, False))
        self._position = end

    def _close(self, end: int, pause_s: float | None) -> None:
        parts, self._parts = self._parts, []
        if parts or pause_s is not None:
            text = "".join(words for words, _, _ in parts)
            if any(is_spelled for _, _, is_spelled in parts):
                offsets = tuple(
                    place if is_spelled else place + i for words, place, is_spelled in parts for i in range(len(words))
                )
                self._runs.append(Run(text, self._start, self._start, self._speaker, pause_s, offsets))
            else:
                first = parts[0][1] if parts else self._start
                self._runs.append(Run(text, self._start, first, self._speaker, pause_s))
        self._start = end
