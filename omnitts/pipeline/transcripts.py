"""Transcripts on paper: what was heard, written as txt, srt, vtt or json, segment by segment as it comes.

Segments with or without word times go in; text files come out. Nothing is kept but what is still unfinished, so a file
of any length can be written. Knows no recogniser.

Without word times the cues of a segment share its time by their length: their borders are estimates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TextIO

from omnitts.pipeline.text.sentences import sentence_spans
from omnitts.types import Timing

MAX_LINE_CHARS: Final = 42  # two lines of 42 characters a cue: the usual subtitling rule
MAX_LINE_HANZI: Final = 18
MAX_CUE_S: Final = 7.0
MIN_CUE_S: Final = 1.0  # a sentence shorter than this is shown with the next
GAP_S: Final = 1.0  # a pause so long begins a new cue
_END_OF_SENTENCE: Final = re.compile(r"[.!?。！？…][\"'”’»」』）)]*$")
_END_OF_CLAUSE: Final = (",", ";", ":", "，", "；", "：", "、", "—")
_HANZI_OR_KANA: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_LONGEST_PENDING: Final = 2000  # characters of text without any end of a sentence


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of sound and what was heard in it. ``is_cut``: the recogniser stopped at its limit, words may lack."""

    start_s: float
    end_s: float
    text: str
    words: tuple[Timing, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """What the transcript is of and who heard it."""

    file: str
    language: str
    engine: str


class Writer(Protocol):
    """One transcript in one format. `add` in order of time, then `end`."""

    def add(self, segment: Segment) -> None: ...
    def end(self, audio_s: float) -> None: ...


def open_writer(name: str, file: TextIO, heading: Heading) -> Writer:
    """A writer of a format in `FORMATS`."""
    return FORMATS[name](file, heading)


# Formats ----------------------------------------------------------------------------------------------------------


class TxtWriter:
    """A sentence a line."""

    def __init__(self, file: TextIO, heading: Heading) -> None:
        self._file = file
        self._pending = ""

    def add(self, segment: Segment) -> None:
        text = " ".join(segment.text.split())
        glue = "" if _HANZI_OR_KANA.match(text[:1]) or _HANZI_OR_KANA.match(self._pending[-1:]) else " "
        self._pending += (glue if self._pending else "") + text
        spans = sentence_spans(self._pending)
        is_open = not _END_OF_SENTENCE.search(self._pending) and len(self._pending) < _LONGEST_PENDING
        for span in spans[:-1] if is_open else spans:
            self._line(self._pending[span.start : span.end])
        self._pending = self._pending[spans[-1].start :] if is_open and spans else ""
        self._file.flush()

    def end(self, audio_s: float) -> None:
        self._line(self._pending)
        self._file.flush()

    def _line(self, text: str) -> None:
        if text.strip():
            self._file.write(text.strip() + "\n")


class SrtWriter:
    """SubRip: numbered cues, times with a comma."""

    def __init__(self, file: TextIO, heading: Heading) -> None:
        self._file = file
        self._number = 0

    def add(self, segment: Segment) -> None:
        for cue in cues_of(segment):
            self._number += 1
            times = f"{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}"
            self._file.write(f"{self._number}\n{times}\n{_two_lines(cue.text)}\n\n")
        self._file.flush()

    def end(self, audio_s: float) -> None:
        self._file.flush()


class VttWriter:
    """WebVTT: its own header, times with a point, and three characters that must be escaped."""

    def __init__(self, file: TextIO, heading: Heading) -> None:
        self._file = file
        file.write("WEBVTT\n\n")

    def add(self, segment: Segment) -> None:
        for cue in cues_of(segment):
            text = _two_lines(cue.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            self._file.write(f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{text}\n\n")
        self._file.flush()

    def end(self, audio_s: float) -> None:
        self._file.flush()


class JsonWriter:
    """One object: file, language, engine, segments with their words, and at the end the seconds of sound."""

    def __init__(self, file: TextIO, heading: Heading) -> None:
        self._file = file
        self._is_first = True
        head = {"file": heading.file, "language": heading.language, "engine": heading.engine}
        file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "segments": [')

    def add(self, segment: Segment) -> None:
        self._file.write("\n" if self._is_first else ",\n")
        self._is_first = False
        self._file.write(json.dumps(as_data(segment), ensure_ascii=False))
        self._file.flush()

    def end(self, audio_s: float) -> None:
        self._file.write(f'\n], "audio_s": {audio_s:.3f}}}\n')
        self._file.flush()


FORMATS: Final[Mapping[str, Callable[[TextIO, Heading], Writer]]] = MappingProxyType(
    {"txt": TxtWriter, "srt": SrtWriter, "vtt": VttWriter, "json": JsonWriter}
)


def as_data(segment: Segment) -> dict[str, object]:
    """A segment as plain JSON data, seconds to the millisecond."""
    return {
        "start_s": round(segment.start_s, 3),
        "end_s": round(segment.end_s, 3),
        "text": segment.text,
        "is_cut": segment.is_cut,
        "words": [
            {"text": word.text, "start_s": round(word.start_s, 3), "end_s": round(word.end_s, 3)}
            for word in segment.words
        ],
    }


# Cues -------------------------------------------------------------------------------------------------------------


def cues_of(segment: Segment) -> list[Timing]:
    """What is shown at once: at most two lines and `MAX_CUE_S`, cut at ends of sentences and at pauses if there are."""
    text = " ".join(segment.text.split())
    if not text:
        return []
    words = _placed(text, segment.words) if segment.words else []
    if words:
        return list(_cues_by_words(text, words))
    return _cues_by_length(text, segment)


def _placed(text: str, words: tuple[Timing, ...]) -> list[tuple[int, Timing]]:
    """Where each word begins in the text; words that are not in it are left out."""
    placed, at = [], 0
    for word in words:
        found = text.find(word.text, at)
        if found >= 0:
            placed.append((found, word))
            at = found + len(word.text)
    return placed


def _cues_by_words(text: str, words: list[tuple[int, Timing]]) -> Iterator[Timing]:
    first = 0
    while first < len(words):
        after = _cue_end(text, words, first)
        begin = words[first][0] if first else 0
        shown = text[begin : words[after][0] if after < len(words) else len(text)].strip()
        start_s, end_s = words[first][1].start_s, words[after - 1][1].end_s
        yield Timing(shown, start_s, max(end_s, start_s + 0.1))
        first = after


def _cue_end(text: str, words: list[tuple[int, Timing]], first: int) -> int:
    """Index of the word that begins the next cue: after a sentence or before a pause; where the cue would grow too
    large, after its last clause, or else right there."""
    start_s, clause = words[first][1].start_s, 0
    for i in range(first + 1, len(words)):
        before, word = words[i - 1][1], words[i][1]
        shown = text[words[first][0] : words[i][0]].rstrip()
        is_long = before.end_s - start_s >= MIN_CUE_S
        if word.start_s - before.end_s >= GAP_S or (is_long and _END_OF_SENTENCE.search(shown)):
            return i
        longer = text[words[first][0] : words[i + 1][0] if i + 1 < len(words) else len(text)].rstrip()
        if len(longer) > 2 * _line_chars(text) or word.end_s - start_s > MAX_CUE_S:
            return clause or i
        if is_long and shown.endswith(_END_OF_CLAUSE):
            clause = i
    return len(words)


def _cues_by_length(text: str, segment: Segment) -> list[Timing]:
    pieces = [piece for span in sentence_spans(text) for piece in _split(text[span.start : span.end].strip())]
    total, at, cues = sum(map(len, pieces)), 0, []
    seconds = (segment.end_s - segment.start_s) / total
    for piece in pieces:
        start_s = segment.start_s + at * seconds
        at += len(piece)
        cues.append(Timing(piece, start_s, segment.start_s + at * seconds))
    return cues


def _split(sentence: str) -> Iterator[str]:
    """A sentence in pieces of two lines at most, at spaces where there are any."""
    limit = 2 * _line_chars(sentence)
    while len(sentence) > limit:
        cut = sentence.rfind(" ", 0, limit + 1)
        cut = cut if cut > 0 else limit
        yield sentence[:cut]
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


def _two_lines(text: str) -> str:
    """Broken at the space nearest to the middle when it is too long for one line."""
    if len(text) <= _line_chars(text):
        return text
    middle = len(text) / 2
    spaces = [match.start() for match in re.finditer(" ", text)]
    if not spaces:
        half = round(middle)
        return f"{text[:half]}\n{text[half:]}"
    at = min(spaces, key=lambda place: abs(place - middle))
    return f"{text[:at]}\n{text[at + 1 :]}"


def _line_chars(text: str) -> int:
    return MAX_LINE_HANZI if len(_HANZI_OR_KANA.findall(text)) * 2 > len(text) else MAX_LINE_CHARS


def _clock(seconds: float, point: str) -> str:
    """``01:02:03,456``"""
    ms = max(0, round(seconds * 1000))
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"
