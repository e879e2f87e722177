"""Stitch: accepted clips and pauses in, a timeline out, with the place of every piece to the sample.

Only the edges of clips are read to plan it; sound is read again, one clip at a time, when `Timeline.blocks` streams it.
Knows nothing of text, loudness or file formats.

Engines leave silence of their own around speech. It is cut down to a small margin at both ends, and the margins count
as part of the pause, so that a pause of half a second is heard as half a second whoever spoke.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from omnitts.audio import FloatArray, Waveform, fade, resample
from omnitts.errors import JobError

AUDIBLE_DBFS = -55.0  # RMS of a frame; room tone of a clean recording lies below, the end of an "s" above
FRAME_S = 0.01
HEAD_MARGIN_S = 0.05  # kept before the first audible frame and after the last: soft onsets and decays
TAIL_MARGIN_S = 0.10
FADE_S = 0.005  # against clicks; lies within the margins
EDGE_READ_S = 0.5  # how much of a clip is read at a time in search of its edge
SILENCE_BLOCK_S = 5.0


@dataclass(frozen=True, slots=True)
class PieceAudio:
    """One accepted clip and the silence wanted after it."""

    utterance_id: str
    file: Path
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ChapterAudio:
    title: str
    pieces: Sequence[PieceAudio]


@dataclass(frozen=True, slots=True)
class PieceSpan:
    """A piece on the timeline: ``start`` to ``end`` in samples of the timeline, then silence up to the next piece.

    ``clip_start`` and ``clip_end`` are the part of the clip that is used, in samples of the clip; ``clip_rate`` is its
    rate in hertz. `Timeline.place_s` turns times in the clip into times in the file.
    """

    utterance_id: str
    chapter_idx: int
    file: Path
    start: int
    end: int
    clip_start: int
    clip_end: int
    clip_rate: int


@dataclass(frozen=True, slots=True)
class ChapterSpan:
    """A chapter on the timeline, in samples. Chapters follow each other without a gap."""

    title: str
    start: int
    end: int
    pieces: tuple[PieceSpan, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where everything is. ``speed`` is applied when the file is encoded: seconds here are seconds of the file."""

    sample_rate: int
    chapters: tuple[ChapterSpan, ...]
    num_samples: int
    speed: float = 1.0

    @property
    def duration_s(self) -> float:
        return self.seconds(self.num_samples)

    def seconds(self, sample: int) -> float:
        """The time in the finished file at which a sample of the timeline is heard."""
        return sample / self.sample_rate / self.speed

    def place_s(self, piece: PieceSpan, clip_s: float) -> float:
        """The time in the finished file of a moment in a piece's clip, kept within the piece."""
        offset_s = clip_s - piece.clip_start / piece.clip_rate
        length_s = (piece.end - piece.start) / self.sample_rate
        return self.seconds(piece.start) + min(max(offset_s, 0.0), length_s) / self.speed

    def chapter_alone(self, chapter_idx: int) -> Timeline:
        """One chapter as a timeline of its own, starting at 0."""
        chapter = self.chapters[chapter_idx]
        shift = chapter.start
        pieces = tuple(
            dataclasses.replace(piece, start=piece.start - shift, end=piece.end - shift) for piece in chapter.pieces
        )
        length = chapter.end - shift
        return dataclasses.replace(self, chapters=(ChapterSpan(chapter.title, 0, length, pieces),), num_samples=length)

    def blocks(self) -> Iterator[FloatArray]:
        """The whole sound, mono (N,) blocks in order; at most one clip is in memory.

        Raises `JobError` when a clip is missing or is not what it was when the timeline was made.
        """
        position = 0
        for chapter in self.chapters:
            for piece in chapter.pieces:
                yield from _silence(piece.start - position, self.sample_rate)
                yield _read_piece(piece, self.sample_rate)
                position = piece.end
        yield from _silence(self.num_samples - position, self.sample_rate)


def stitch(
    chapters: Sequence[ChapterAudio], sample_rate: int, *, lead_s: float = 0.5, tail_s: float = 0.5, speed: float = 1.0
) -> Timeline:
    """Lays clips and pauses end to end.

    ``lead_s`` of silence goes before the first piece and ``tail_s`` after the last; a chapter begins up to ``lead_s``
    before its first piece, within the pause that is there. Chapters without pieces are left out. Raises `JobError` for
    a clip that is missing, damaged or empty, and when there is nothing at all.
    """
    told = [chapter for chapter in chapters if chapter.pieces]
    if not told:
        raise JobError("there is no clip to assemble", hint="speak at least one chapter first")
    spans: list[ChapterSpan] = []
    lead = position = round(lead_s * sample_rate)
    chapter_start, owed_s = 0, 0.0  # owed: what is left of the last pause
    for chapter_idx, chapter in enumerate(told):
        pieces: list[PieceSpan] = []
        for piece in chapter.pieces:
            clip = _edges(piece)
            gap = max(0, round((owed_s - clip.head_s) * sample_rate))
            if spans and not pieces:
                chapter_start = position + gap - min(gap, lead)
                spans[-1] = dataclasses.replace(spans[-1], end=chapter_start)
            start = position + gap
            position = start + max(1, round((clip.end - clip.start) * sample_rate / clip.rate))
            pieces.append(
                PieceSpan(piece.utterance_id, chapter_idx, piece.file, start, position, clip.start, clip.end, clip.rate)
            )
            owed_s = piece.pause_s - clip.tail_s
        spans.append(ChapterSpan(chapter.title, chapter_start, position, tuple(pieces)))
    end = position + round(tail_s * sample_rate)
    spans[-1] = dataclasses.replace(spans[-1], end=end)
    return Timeline(sample_rate, tuple(spans), end, speed)


@dataclass(frozen=True, slots=True)
class _Edges:
    """The used part of a clip, in its samples, and how much silence it keeps at its head and tail."""

    start: int
    end: int
    rate: int
    head_s: float
    tail_s: float


def _edges(piece: PieceAudio) -> _Edges:
    """Finds where a clip becomes audible and where it ends, reading no more than its edges.

    A clip that is nowhere audible is used whole: whether it should be is for the checks to say.
    """
    with _open(piece.file, piece.utterance_id) as clip:
        length, rate = clip.frames, clip.samplerate
        if not length:
            raise _broken(piece.file, piece.utterance_id, "holds no sound")
        frame, read = max(1, round(FRAME_S * rate)), max(1, round(EDGE_READ_S * rate))
        first = _first_audible(clip, length, frame, read)
        if first is None:
            return _Edges(0, length, rate, 0.0, 0.0)
        last = _last_audible(clip, length, frame, read)
    start = max(0, first - round(HEAD_MARGIN_S * rate))
    end = min(length, last + round(TAIL_MARGIN_S * rate))
    return _Edges(start, end, rate, (first - start) / rate, (end - last) / rate)


def _first_audible(clip: soundfile.SoundFile, length: int, frame: int, read: int) -> int | None:
    """Sample at which the first audible frame begins."""
    for start in range(0, length, read - read % frame):
        heard = _audible_frames(_read(clip, start, min(length, start + read - read % frame)), frame)
        if heard.any():
            return start + int(np.argmax(heard)) * frame
    return None


def _last_audible(clip: soundfile.SoundFile, length: int, frame: int, read: int) -> int:
    """Sample at which the last audible frame ends; frames are counted back from the end."""
    for end in range(length, 0, -(read - read % frame)):
        heard = _audible_frames(_read(clip, max(0, end - (read - read % frame)), end)[::-1], frame)
        if heard.any():
            return end - int(np.argmax(heard)) * frame
    return length


def _audible_frames(samples: FloatArray, frame: int) -> npt.NDArray[np.bool_]:
    """Which frames of (N,) samples are above `AUDIBLE_DBFS`; the last one may be short."""
    padded = np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)
    return np.asarray(np.mean(np.square(padded), axis=1) > 10 ** (AUDIBLE_DBFS / 10))


def _read_piece(piece: PieceSpan, sample_rate: int) -> FloatArray:
    """The used part of a clip at the timeline's rate, exactly as long as its span, faded at both edges."""
    with _open(piece.file, piece.utterance_id) as clip:
        if clip.samplerate != piece.clip_rate or clip.frames < piece.clip_end:
            raise _broken(piece.file, piece.utterance_id, "has changed since it was measured")
        samples = _read(clip, piece.clip_start, piece.clip_end)
    if len(samples) != piece.clip_end - piece.clip_start:
        raise _broken(piece.file, piece.utterance_id, "breaks off")
    if not np.isfinite(samples).all():
        raise _broken(piece.file, piece.utterance_id, "holds samples that are not numbers")
    waveform = resample(Waveform(samples, piece.clip_rate), sample_rate)
    length = piece.end - piece.start
    fitted = np.zeros(length, np.float32)  # a resampler may be a sample off
    fitted[: len(waveform)] = waveform.samples[:length]
    return fade(Waveform(fitted, sample_rate), FADE_S, FADE_S).samples


def _read(clip: soundfile.SoundFile, start: int, end: int) -> FloatArray:
    """Samples ``start`` to ``end`` of an open clip as mono; fewer where the file breaks off."""
    try:
        clip.seek(start)
        samples = clip.read(end - start, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return np.zeros(0, np.float32)
    return np.asarray(samples.mean(axis=1), dtype=np.float32)


def _open(path: Path, utterance_id: str) -> soundfile.SoundFile:
    if not path.is_file():
        raise _broken(path, utterance_id, "is missing")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise _broken(path, utterance_id, "is not audio") from error


def _broken(path: Path, utterance_id: str, how: str) -> JobError:
    return JobError(
        f"the clip of piece {utterance_id} {how}",
        where=str(path),
        hint="delete the file and run the command again: the piece is spoken anew",
    )


def _silence(length: int, sample_rate: int) -> Iterator[FloatArray]:
    block = round(SILENCE_BLOCK_S * sample_rate)
    for start in range(0, length, block):
        yield np.zeros(min(block, length - start), np.float32)
