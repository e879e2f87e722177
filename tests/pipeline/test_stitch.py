"""Stitching: places to the sample, pauses as heard, and a named error for every clip that is not what it should be."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omnitts.errors import JobError
from omnitts.pipeline.stitch import HEAD_MARGIN_S, TAIL_MARGIN_S, ChapterAudio, PieceAudio, Timeline, stitch

RATE = 24_000


def write_clip(
    path: Path, seconds: float = 1.0, head_s: float = 0.3, tail_s: float = 0.4, rate: int = RATE, level: float = 0.3
) -> Path:
    """A tone between two silences."""
    t_s = np.arange(round(seconds * rate)) / rate
    tone = level * np.sin(2 * np.pi * 220 * t_s)
    samples = np.concatenate([np.zeros(round(head_s * rate)), tone, np.zeros(round(tail_s * rate))])
    soundfile.write(path, samples.astype(np.float32), rate, subtype="PCM_16")
    return path


def sound_of(timeline: Timeline) -> np.ndarray:
    return np.concatenate(list(timeline.blocks()))


def silences_s(samples: np.ndarray, rate: int = RATE, threshold: float = 0.003) -> list[float]:
    """Lengths of the silent stretches over 50 ms, in order, head and tail included."""
    audible = np.flatnonzero(np.abs(samples) > threshold)
    edges = [-1, *audible.tolist(), len(samples)]
    return [(b - a - 1) / rate for a, b in itertools.pairwise(edges) if b - a > 0.05 * rate]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.flac")


def test_pauses_are_heard_as_long_as_they_were_asked_for(clip: Path) -> None:
    pauses_s = [0.25, 0.5, 1.75, 0.0]
    timeline = stitch([ChapterAudio("One", [PieceAudio("a", clip, pause_s) for pause_s in pauses_s])], RATE)
    head, *between, tail = silences_s(sound_of(timeline))
    assert between == pytest.approx(pauses_s[:3], abs=0.012)
    assert head == pytest.approx(0.5 + HEAD_MARGIN_S, abs=0.012)
    assert tail == pytest.approx(0.5 + TAIL_MARGIN_S, abs=0.012)


def test_spans_are_exact_and_the_blocks_fill_them(clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.wav", seconds=2.0, head_s=0.0, tail_s=0.0)
    chapters = [
        ChapterAudio("One", [PieceAudio("a", clip, 0.4), PieceAudio("b", other, 2.5)]),
        ChapterAudio("Nothing", []),
        ChapterAudio("Two", [PieceAudio("c", clip, 1.0)]),
    ]
    timeline = stitch(chapters, RATE, lead_s=0.5)
    sound = sound_of(timeline)
    assert len(sound) == timeline.num_samples
    assert [chapter.title for chapter in timeline.chapters] == ["One", "Two"]
    assert timeline.chapters[0].start == 0
    assert timeline.chapters[0].end == timeline.chapters[1].start
    assert timeline.chapters[1].end == timeline.num_samples
    assert timeline.chapters[1].pieces[0].start - timeline.chapters[1].start == round(0.5 * RATE)
    pieces = [piece for chapter in timeline.chapters for piece in chapter.pieces]
    assert [(piece.utterance_id, piece.chapter_idx) for piece in pieces] == [("a", 0), ("b", 0), ("c", 1)]
    covered = np.zeros(len(sound), bool)
    for piece in pieces:
        covered[piece.start : piece.end] = True
    assert not sound[~covered].any()
    original, _ = soundfile.read(other, dtype="float32")
    inside = slice(200, -200)
    assert np.array_equal(sound[pieces[1].start : pieces[1].end][inside], original[inside])


def test_no_click_at_the_edges_of_a_clip_that_starts_at_full_level(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(RATE, 0.8, np.float32), RATE)
    sound = sound_of(stitch([ChapterAudio("", [PieceAudio("a", path)])], RATE))
    assert np.abs(np.diff(sound)).max() < 0.02


def test_a_quiet_onset_within_the_margin_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "soft.wav"
    soft = 0.001 * np.sin(np.arange(round(0.04 * RATE)))
    loud = 0.3 * np.sin(np.arange(RATE) / 20)
    soundfile.write(path, np.concatenate([np.zeros(RATE), soft, loud]).astype(np.float32), RATE)
    (piece,) = stitch([ChapterAudio("", [PieceAudio("a", path)])], RATE).chapters[0].pieces
    assert RATE - 0.02 * RATE < piece.clip_start <= RATE


def test_a_silent_clip_is_used_whole(tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(RATE, np.float32), RATE)
    (piece,) = stitch([ChapterAudio("", [PieceAudio("a", path)])], RATE).chapters[0].pieces
    assert piece.end - piece.start == RATE


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_other_rates_are_resampled_to_the_length_of_the_span(tmp_path: Path, rate: int) -> None:
    clip = write_clip(tmp_path / "clip.wav", rate=rate)
    timeline = stitch([ChapterAudio("", [PieceAudio("a", clip), PieceAudio("b", clip)])], RATE)
    sound = sound_of(timeline)
    assert len(sound) == timeline.num_samples
    piece = timeline.chapters[0].pieces[1]
    middle = sound[piece.start : piece.end][RATE // 4 : RATE // 2]
    assert np.abs(middle).max() == pytest.approx(0.3, abs=0.01)
    assert (piece.end - piece.start) / RATE == pytest.approx(1.0 + HEAD_MARGIN_S + TAIL_MARGIN_S, abs=0.02)


def test_speed_scales_the_times_not_the_samples(clip: Path) -> None:
    chapters = [ChapterAudio("", [PieceAudio("a", clip, 1.0), PieceAudio("b", clip)])]
    plain, fast = stitch(chapters, RATE), stitch(chapters, RATE, speed=1.25)
    assert fast.num_samples == plain.num_samples
    assert fast.duration_s == pytest.approx(plain.duration_s / 1.25)
    piece = fast.chapters[0].pieces[1]
    assert fast.place_s(piece, piece.clip_start / RATE) == pytest.approx(piece.start / RATE / 1.25)


def test_times_in_a_clip_become_times_in_the_file(clip: Path) -> None:
    timeline = stitch([ChapterAudio("", [PieceAudio("a", clip, 1.0), PieceAudio("b", clip)])], RATE)
    piece = timeline.chapters[0].pieces[1]
    onset_s = timeline.place_s(piece, 0.3)  # the tone begins 0.3 s into the clip
    sound = sound_of(timeline)
    around = round(onset_s * RATE)
    assert np.abs(sound[around - 240 : around - 10]).max() < 0.001
    assert np.abs(sound[around : around + 240]).max() > 0.1
    assert timeline.place_s(piece, -5) == timeline.seconds(piece.start)
    assert timeline.place_s(piece, 99) == timeline.seconds(piece.end)


def test_a_chapter_alone_sounds_as_within_the_book(clip: Path) -> None:
    chapters = [ChapterAudio(title, [PieceAudio(title, clip, 2.0)] * 2) for title in ("One", "Two", "Three")]
    timeline = stitch(chapters, RATE)
    whole = sound_of(timeline)
    for chapter_idx, chapter in enumerate(timeline.chapters):
        alone = timeline.chapter_alone(chapter_idx)
        assert alone.chapters[0].title == chapter.title
        assert np.array_equal(sound_of(alone), whole[chapter.start : chapter.end])


def test_no_clips_at_all() -> None:
    with pytest.raises(JobError, match="no clip to assemble"):
        stitch([ChapterAudio("One", [])], RATE)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), (b"", "is not audio"), (b"this is text", "is not audio"), ("folder", "is missing")],
)
def test_a_clip_that_is_no_clip(tmp_path: Path, content: bytes | str | None, message: str) -> None:
    path = tmp_path / "bad.flac"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(JobError, match=f"piece p7 {message}") as caught:
        stitch([ChapterAudio("", [PieceAudio("p7", path)])], RATE)
    assert caught.value.where == str(path)


def test_a_clip_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0, np.float32), RATE)
    with pytest.raises(JobError, match="holds no sound"):
        stitch([ChapterAudio("", [PieceAudio("a", path)])], RATE)


def test_a_clip_cut_short_is_never_silence(tmp_path: Path) -> None:
    """The header still promises all the samples; some time between planning and reading they must be missed."""
    path = tmp_path / "cut.flac"
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 4 * RATE).astype(np.float32)
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    chapters = [ChapterAudio("", [PieceAudio("p1", path)])]
    with pytest.raises(JobError, match="the clip of piece p1"):
        sound_of(stitch(chapters, RATE))


def test_a_clip_that_vanishes_or_shrinks_after_planning(clip: Path) -> None:
    timeline = stitch([ChapterAudio("", [PieceAudio("a", clip)])], RATE)
    write_clip(clip, seconds=0.2, head_s=0.0, tail_s=0.0)
    with pytest.raises(JobError, match="has changed"):
        sound_of(timeline)
    clip.unlink()
    with pytest.raises(JobError, match="is missing"):
        sound_of(timeline)


def test_stereo_clips_are_mixed_down(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    left = (0.4 * np.sin(np.arange(RATE) / 20)).astype(np.float32)
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), RATE)
    sound = sound_of(stitch([ChapterAudio("", [PieceAudio("a", path)])], RATE))
    assert np.abs(sound).max() == pytest.approx(0.2, abs=0.01)
