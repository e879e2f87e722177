"""Checking a finished audiobook, whoever made it: audio file and the book's sentences in, a `WholeReport` out.

The file is decoded in windows, so its length does not matter. What was heard is aligned with the whole text; each
sentence is then heard, wrong or missing, with its span of audio. Credits and other speech that is not in the text are
listed; text before the first or after the last heard sentence (title page, index) is unread, not missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, Protocol

from omnitts.audio import stream
from omnitts.pipeline.check.long_align import align_long
from omnitts.pipeline.check.numbers_en import Token
from omnitts.pipeline.check.rules import MAX_CLIPPED_S
from omnitts.pipeline.check.signal import measure_signal
from omnitts.pipeline.check.similarity import DEFAULT_LINE, SAMPLE_RATE, SpeakerEncoder, cosine
from omnitts.pipeline.check.sounds import NoSounds, Sounds
from omnitts.pipeline.check.text_equal import tokens_of
from omnitts.pipeline.check.transcribe import Transcript
from omnitts.pipeline.check.wer import Step
from omnitts.types import Voice

Status = Literal["heard", "wrong", "missing", "unread"]
WRONG_WER: Final = 0.34  # of one sentence; a name misheard in a line of six words stays under it
MISSING_COVERAGE: Final = 0.5
EXTRA_WORDS: Final = 5  # fewer added words are the recogniser's
LONG_SILENCE_S: Final = 6.0  # between chapters an audiobook pauses two to four seconds
BLOCK_S: Final = 30.0
MATCHED: Final = ("equal", "near")


class LongListener(Protocol):
    """What hears a file: `transcribe.Transcriber`."""

    def transcribe_long(self, path: Path, language: str) -> Iterator[Transcript]: ...


@dataclass(frozen=True, slots=True)
class SentenceCheck:
    """A sentence and its span of audio in seconds (None where nothing of it was heard)."""

    chapter_idx: int
    sentence_idx: int
    text: str
    status: Status
    words: int
    wer: float
    start_s: float | None
    end_s: float | None
    heard: str


@dataclass(frozen=True, slots=True)
class ChapterCheck:
    title: str
    words: int
    errors: int
    wer: float
    coverage: float
    missing: int
    wrong: int
    unread: int


@dataclass(frozen=True, slots=True)
class ExtraSpeech:
    """Speech that is not in the text. ``place`` is ``front`` and ``back`` for credits, ``inside`` for a fault."""

    start_s: float
    end_s: float
    text: str
    place: Literal["front", "inside", "back"]


@dataclass(frozen=True, slots=True)
class SoundPoint:
    """One block of the file: level in dBFS, and the cosine against the reference voice if there is one."""

    start_s: float
    speech_dbfs: float
    clipped_s: float
    similarity: float | None


@dataclass(frozen=True, slots=True)
class WholeReport:
    """``accepted`` is true when no sentence is missing or wrong, nothing was put in, and the sound is in order."""

    audio: str
    duration_s: float
    accepted: bool
    reasons: tuple[str, ...]
    words: int
    errors: int
    wer: float
    coverage: float
    chapters: tuple[ChapterCheck, ...]
    sentences: tuple[SentenceCheck, ...]
    extra: tuple[ExtraSpeech, ...]
    sound: tuple[SoundPoint, ...]
    longest_silence_s: float


@dataclass(frozen=True, slots=True)
class _Heard:
    token: Token
    start_s: float
    end_s: float


def check_audio(
    audio: Path,
    chapters: Sequence[tuple[str, Sequence[str]]],
    listener: LongListener,
    *,
    language: str = "en",
    sounds: Sounds | None = None,
    voice: Voice | None = None,
    min_sim: float | None = None,
) -> WholeReport:
    """Checks a file against (title, sentences) of each chapter, as they should be spoken.

    Raises `AudioError` when the file cannot be decoded.
    """
    owners: list[tuple[int, int]] = []
    expected: list[Token] = []
    for chapter_idx, (_, sentences) in enumerate(chapters):
        for sentence_idx, sentence in enumerate(sentences):
            tokens = tokens_of(sentence, language)
            expected += tokens
            owners += [(chapter_idx, sentence_idx)] * len(tokens)
    heard = [word for part in listener.transcribe_long(audio, language) for word in _timed_tokens(part)]
    aligned = align_long(expected, [word.token for word in heard], sounds or NoSounds())
    steps = list(_strangers_apart(aligned))
    checked = _sentences(chapters, owners, steps, heard)
    extra = _extra(steps, heard)
    points, duration_s, silence_s = _sound(audio, voice)
    return _report(audio, chapters, checked, extra, points, duration_s, silence_s, min_sim)


def _strangers_apart(steps: Iterable[Step]) -> Iterator[Step]:
    """A long run of wrong words as missing and added ones: another text was spoken there, not this one badly."""
    for is_matched, group in groupby(steps, key=lambda step: step.kind in MATCHED):
        run = list(group)
        if is_matched or sum(step.kind == "different" for step in run) < EXTRA_WORDS:
            yield from run
            continue
        yield from (replace(step, kind="missing", heard=()) for step in run if step.expected)
        yield from (replace(step, kind="added", expected=()) for step in run if step.heard)


def _timed_tokens(part: Transcript) -> Iterator[_Heard]:
    """Tokens of a window with times; a token lies where its share of the window's letters lies among the words."""
    tokens = tokens_of(" ".join(word.text for word in part.words), part.language)
    word_ends, total = [], 0
    for word in part.words:
        total += max(1, len(word.text))
        word_ends.append(total)
    letters = sum(max(1, len(token.shown)) for token in tokens)
    place, at = 0, 0
    for token in tokens:
        middle = (place + max(1, len(token.shown)) / 2) / letters * total
        while at < len(part.words) - 1 and word_ends[at] < middle:
            at += 1
        place += max(1, len(token.shown))
        yield _Heard(token, part.words[at].start_s, part.words[at].end_s)


def _sentences(
    chapters: Sequence[tuple[str, Sequence[str]]],
    owners: Sequence[tuple[int, int]],
    steps: Sequence[Step],
    heard: Sequence[_Heard],
) -> list[SentenceCheck]:
    found: dict[tuple[int, int], list[Step]] = {}
    for step in steps:
        if step.expected:
            found.setdefault(owners[step.expected_at], []).append(step)
    keys = [(c, s) for c, (_, sentences) in enumerate(chapters) for s in range(len(sentences))]
    checked = [_sentence(key, chapters[key[0]][1][key[1]], found.get(key, []), heard) for key in keys]
    read = [place for place, sentence in enumerate(checked) if sentence.status != "missing"]
    first, last = (read[0], read[-1]) if read else (0, len(checked))
    return [
        _unread(sentence) if read and not first <= place <= last else sentence for place, sentence in enumerate(checked)
    ]


def _sentence(key: tuple[int, int], text: str, steps: list[Step], heard: Sequence[_Heard]) -> SentenceCheck:
    lost = sum(1 for step in steps if step.kind == "missing")
    errors = sum(1 for step in steps if step.kind not in MATCHED)
    matched = [step for step in steps if step.kind in MATCHED and step.heard]
    wer = errors / len(steps) if steps else 0.0
    status: Status = "heard"
    if steps and (not matched or lost / len(steps) > MISSING_COVERAGE):
        status = "missing"
    elif wer > WRONG_WER:
        status = "wrong"
    times = [heard[step.heard_at] for step in matched]
    said = " ".join(word for step in steps for word in step.heard)
    start_s, end_s = (round(times[0].start_s, 2), round(times[-1].end_s, 2)) if times else (None, None)
    return SentenceCheck(key[0], key[1], text, status, len(steps), round(wer, 4), start_s, end_s, said)


def _unread(sentence: SentenceCheck) -> SentenceCheck:
    return replace(sentence, status="unread", start_s=None, end_s=None, heard="")


def _extra(steps: Sequence[Step], heard: Sequence[_Heard]) -> list[ExtraSpeech]:
    matched = [place for place, step in enumerate(steps) if step.kind in MATCHED]
    first, last = (matched[0], matched[-1]) if matched else (len(steps), len(steps))
    found: list[ExtraSpeech] = []
    run: list[int] = []
    for place in range(len(steps) + 1):
        if place < len(steps) and steps[place].kind == "added":
            run.append(place)
            continue
        if len(run) >= EXTRA_WORDS:
            where: Literal["front", "inside", "back"] = (
                "front" if run[0] < first else "back" if run[0] > last else "inside"
            )
            text = " ".join(word for at in run for word in steps[at].heard)
            start, end = heard[steps[run[0]].heard_at], heard[steps[run[-1]].heard_at]
            found.append(ExtraSpeech(round(start.start_s, 2), round(end.end_s, 2), text, where))
        run = []
    return found


def _sound(audio: Path, voice: Voice | None) -> tuple[list[SoundPoint], float, float]:
    """Sound by blocks, length of the file, and its longest silence; a silence across blocks is one silence."""
    encoder = SpeakerEncoder() if voice else None
    reference = encoder.reference(voice) if encoder and voice else None
    points: list[SoundPoint] = []
    duration_s, silence_s, trailing_s = 0.0, 0.0, 0.0
    for block in stream(audio, SAMPLE_RATE, BLOCK_S):
        signal = measure_signal(block)
        similarity = None
        if encoder is not None and reference is not None:
            embedding = encoder.embed(block)
            similarity = None if embedding is None else cosine(embedding, reference)
        points.append(SoundPoint(round(duration_s, 2), signal["speech_dbfs"], signal["clipped_s"], similarity))
        if points[1:]:  # silence before the first word of the file is no pause
            silence_s = max(silence_s, trailing_s + signal["lead_s"])
        silence_s = max(silence_s, signal["longest_silence_s"])
        whole_block_silent = signal["active_s"] == 0
        trailing_s = trailing_s + block.duration_s if whole_block_silent else signal["trail_s"]
        duration_s += block.duration_s
    return points, round(duration_s, 2), round(silence_s, 2)


def _report(
    audio: Path,
    chapters: Sequence[tuple[str, Sequence[str]]],
    sentences: list[SentenceCheck],
    extra: list[ExtraSpeech],
    points: list[SoundPoint],
    duration_s: float,
    silence_s: float,
    min_sim: float | None,
) -> WholeReport:
    by_chapter = [
        _chapter(title, [sentence for sentence in sentences if sentence.chapter_idx == chapter_idx])
        for chapter_idx, (title, _) in enumerate(chapters)
    ]
    words, errors = sum(c.words for c in by_chapter), sum(c.errors for c in by_chapter)
    covered = sum(c.coverage * c.words for c in by_chapter)
    line = DEFAULT_LINE if min_sim is None else min_sim
    strange = [point for point in points if point.similarity is not None and point.similarity < line]
    inside = [one for one in extra if one.place == "inside"]
    clipped_s = sum(point.clipped_s for point in points)
    problems = (
        (sum(c.missing for c in by_chapter), "sentences missing"),
        (sum(c.wrong for c in by_chapter), "sentences wrong"),
        (len(inside), "passages that are not in the text"),
        (len(strange), f"stretches of {BLOCK_S:g} s in another voice"),
    )
    reasons = [f"{count} {what}" for count, what in problems if count]
    if all(sentence.status in ("missing", "unread") for sentence in sentences):
        reasons.append("nothing of the text was heard")
    if clipped_s > MAX_CLIPPED_S:
        reasons.append(f"clipped: {clipped_s * 1000:.0f} ms at full scale")
    if silence_s > LONG_SILENCE_S:
        reasons.append(f"{silence_s:.1f} s of silence inside")
    return WholeReport(
        audio=str(audio),
        duration_s=duration_s,
        accepted=not reasons,
        reasons=tuple(reasons),
        words=words,
        errors=errors,
        wer=round(errors / words, 4) if words else 0.0,
        coverage=round(covered / words, 4) if words else 0.0,
        chapters=tuple(by_chapter),
        sentences=tuple(sentences),
        extra=tuple(extra),
        sound=tuple(points),
        longest_silence_s=silence_s,
    )


def _chapter(title: str, sentences: Sequence[SentenceCheck]) -> ChapterCheck:
    """Figures of a chapter over what was read of it; unread sentences are counted apart."""
    read = [sentence for sentence in sentences if sentence.status != "unread"]
    words = sum(sentence.words for sentence in read)
    errors = round(sum(sentence.wer * sentence.words for sentence in read))
    lost = sum(sentence.words for sentence in read if sentence.status == "missing")
    return ChapterCheck(
        title=title,
        words=words,
        errors=errors,
        wer=round(errors / words, 4) if words else 0.0,
        coverage=round(1 - lost / words, 4) if words else 0.0,
        missing=sum(sentence.status == "missing" for sentence in read),
        wrong=sum(sentence.status == "wrong" for sentence in read),
        unread=len(sentences) - len(read),
    )
