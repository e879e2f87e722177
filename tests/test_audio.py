"""Waveforms: what is read is what was written, whatever the container; what cannot be read is named."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts import audio, ffmpeg
from omnitts.audio import Waveform
from omnitts.errors import AudioError, OutputError

RATE = 24_000


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0, level: float = 0.5) -> Waveform:
    t_s = np.arange(round(seconds * rate)) / rate
    return Waveform((level * np.sin(2 * np.pi * hertz * t_s)).astype(np.float32), rate)


def convert(source: Path, out: Path, *options: str) -> Path:
    command = [ffmpeg.find_ffmpeg(), "-v", "error", "-nostdin", "-y", "-i", str(source), *options, f"file:{out}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return out


def pitch_hz(waveform: Waveform) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform.samples)))) / waveform.duration_s


# ---- reading


@pytest.mark.parametrize(
    ("name", "bits"), [("a.wav", 16), ("a.wav", 24), ("a.wav", 32), ("a.flac", 16), ("a.flac", 24)]
)
def test_what_is_saved_is_loaded(tmp_path: Path, name: str, bits: int) -> None:
    audio.save(tone(), tmp_path / name, bits=bits)
    loaded = audio.load(tmp_path / name)
    assert loaded.sample_rate == RATE
    assert loaded.samples.dtype == np.float32
    assert np.abs(loaded.samples - tone().samples).max() <= 2.0 ** -(min(bits, 25) - 1)


@pytest.mark.parametrize("suffix", ["mp3", "m4a", "ogg", "opus", "aiff", "mp4", "mka"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    audio.save(tone(2.0), tmp_path / "a.wav")
    path = convert(tmp_path / "a.wav", tmp_path / f"b: 1%d.{suffix}")
    loaded = audio.load(path, RATE)
    assert loaded.sample_rate == RATE
    assert loaded.duration_s == pytest.approx(2.0, abs=0.1)
    assert pitch_hz(loaded) == pytest.approx(440, abs=3)
    assert np.abs(loaded.samples).max() == pytest.approx(0.5, abs=0.08)


def test_stereo_becomes_the_mean_whether_loaded_or_streamed(tmp_path: Path) -> None:
    left = tone().samples
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), RATE)
    loaded = audio.load(tmp_path / "a.wav").samples
    streamed = np.concatenate([block.samples for block in audio.stream(tmp_path / "a.wav", RATE)])
    assert np.allclose(loaded, left / 2, atol=1e-4)
    assert np.allclose(streamed, loaded, atol=1e-3)


def test_relative_names_that_look_like_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Part 1: Snow.m4a", "-i.m4a", "pipe:0.m4a"):
        audio.save(tone(), Path("a.wav"))
        convert(Path("a.wav"), Path(name))
        assert audio.load(Path(name)).duration_s == pytest.approx(1.0, abs=0.1)


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "clip.raw").write_bytes(audio.encode(tone(), "WAV"))
    (tmp_path / "clip.mp3").write_bytes(audio.encode(tone(), "FLAC"))
    assert len(audio.load(tmp_path / "clip.raw")) == len(audio.load(tmp_path / "clip.mp3")) == RATE


def junk_files(folder: Path) -> dict[str, Path]:
    audio.save(tone(0.5), folder / "good.wav")
    soundfile.write(folder / "empty.wav", np.zeros(0, np.float32), RATE)
    video = [
        ffmpeg.find_ffmpeg(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=s=16x16:d=0.2",
        str(folder / "silent.mp4"),
    ]
    subprocess.run(video, check=True, stdin=subprocess.DEVNULL)
    for name, content in {
        "zero.wav": b"",
        "text.wav": b"This is not audio.\n" * 50,
        "text.raw": b"This is not audio.\n" * 50,
        "random.mp3": np.random.default_rng(0).bytes(5000),
        "header.wav": (folder / "good.wav").read_bytes()[:44],
        "half_header.wav": (folder / "good.wav").read_bytes()[:20],
        "picture.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        "book.epub": b"PK\x03\x04" + b"\0" * 100,
    }.items():
        (folder / name).write_bytes(content)
    (folder / "good.wav").unlink()
    (folder / "folder.wav").mkdir()
    return {path.name: path for path in [*folder.iterdir(), folder / "missing.wav"]}


def test_what_is_no_sound_is_named(tmp_path: Path) -> None:
    for name, path in junk_files(tmp_path).items():
        with pytest.raises(AudioError) as caught:
            audio.load(path)
        assert caught.value.where == str(path), name
        with pytest.raises(AudioError):
            list(audio.stream(path, RATE))


def test_samples_that_are_not_numbers(tmp_path: Path) -> None:
    samples = tone().samples
    samples[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        audio.load(tmp_path / "nan.wav")


def test_streaming_gives_the_same_sound_in_bounded_blocks(tmp_path: Path) -> None:
    audio.save(tone(20.0), tmp_path / "a.flac")
    blocks = list(audio.stream(tmp_path / "a.flac", RATE, block_s=1.0))
    assert all(len(block) < 2 * RATE for block in blocks)
    assert len(blocks) > 8
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), audio.load(tmp_path / "a.flac").samples)
    other = sum(len(block) for block in audio.stream(tmp_path / "a.flac", 16_000))
    assert other == pytest.approx(20 * 16_000, abs=50)


def test_a_stream_left_early_closes_its_file(tmp_path: Path) -> None:
    audio.save(tone(20.0), tmp_path / "a.flac")
    blocks = audio.stream(tmp_path / "a.flac", RATE)
    next(blocks)
    blocks.close()
    (tmp_path / "a.flac").unlink()


# ---- writing


def test_loud_samples_are_clipped_not_wrapped(tmp_path: Path) -> None:
    audio.save(Waveform(np.array([2.0, -2.0, 0.5], np.float32), RATE), tmp_path / "a.wav")
    assert np.allclose(audio.load(tmp_path / "a.wav").samples, [1.0, -1.0, 0.5], atol=1e-4)


@pytest.mark.parametrize(("container", "bits"), [("FLAC", 16), ("FLAC", 24), ("WAV", 16), ("WAV", 32)])
def test_equal_samples_give_equal_bytes_at_any_time(container: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = audio.encode(tone(), container, bits=bits)
    time.sleep(1.1 if bits == 32 else 0)  # a clock of whole seconds must not show
    assert audio.encode(tone(), container, bits=bits) == first
    assert audio.encode(tone(level=0.4), container, bits=bits) != first


def test_writing_replaces_whole_files_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    audio.write_atomically(path, b"one")
    audio.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]
    assert sys.platform == "win32" or path.stat().st_mode & 0o777 == 0o644


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.bin", tmp_path / "folder", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError) as caught:
            audio.write_atomically(path, b"data")
        assert caught.value.where == str(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        audio.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


# ---- arithmetic


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_resampling_keeps_pitch_length_and_level(rate: int) -> None:
    resampled = audio.resample(tone(2.0), rate)
    assert resampled.sample_rate == rate
    assert len(resampled) == pytest.approx(2 * rate, abs=1)
    assert pitch_hz(resampled) == pytest.approx(440, abs=1)
    assert audio.rms_dbfs(resampled.samples) == pytest.approx(audio.rms_dbfs(tone().samples), abs=0.1)


def test_resampling_nothing_and_to_the_same_rate() -> None:
    waveform = tone()
    assert audio.resample(waveform, RATE) is waveform
    assert len(audio.resample(Waveform(np.zeros(0, np.float32), RATE), 16_000)) == 0


def test_joining() -> None:
    joined = audio.join([tone(0.5), audio.silence(0.25, RATE), tone(0.5)])
    assert joined.duration_s == 1.25
    with pytest.raises(ValueError, match="8000"):
        audio.join([tone(), audio.silence(1, 8000)])


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 500), in_s=st.floats(0, 0.05), out_s=st.floats(0, 0.05), seed=st.integers(0, 2**16))
def test_fades_only_ever_soften_and_never_overlap(length: int, in_s: float, out_s: float, seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)
    original = samples.copy()
    faded = audio.fade(Waveform(samples, 8000), in_s, out_s).samples
    assert np.array_equal(samples, original)
    assert faded.dtype == np.float32
    assert (np.abs(faded) <= np.abs(original) + 1e-7).all()
    head, tail = min(round(in_s * 8000), length // 2), min(round(out_s * 8000), length // 2)
    assert np.array_equal(faded[head : length - tail], original[head : length - tail])


@settings(max_examples=60, deadline=None)
@given(start_s=st.floats(-2, 3), end_s=st.floats(-2, 3))
def test_slices_stay_within_the_sound(start_s: float, end_s: float) -> None:
    part = tone().slice_s(start_s, end_s)
    expected_s = max(0.0, min(end_s, 1.0) - max(start_s, 0.0))
    assert part.duration_s == pytest.approx(expected_s, abs=2 / RATE)


def test_levels() -> None:
    assert audio.rms_dbfs(tone(level=1.0).samples) == pytest.approx(-3.01, abs=0.01)
    assert audio.peak_dbfs(tone(level=0.5).samples) == pytest.approx(-6.02, abs=0.01)
    for nothing in (np.zeros(0, np.float32), np.zeros(100, np.float32)):
        assert audio.rms_dbfs(nothing) == audio.peak_dbfs(nothing) == audio.SILENCE_DBFS
    assert audio.rms_dbfs(np.full(10, 1e-30, np.float32)) == audio.SILENCE_DBFS
    assert len(audio.silence(-1.0, RATE)) == 0
