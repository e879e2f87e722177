"""The door to ffmpeg: finding it, feeding it, and what is said when it fails."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omnitts import ffmpeg
from omnitts.errors import AudioError, FfmpegError, OutputError
from omnitts.ffmpeg import Encoder, Encoding, Feed

RATE = 24_000
WAV = Encoding("wav", {"c:a": "pcm_s16le"})


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def tone(seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * RATE)) / 20)).astype(np.float32)


# ---- finding it


def test_the_variable_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = script(tmp_path / "mine", "exit 0")
    monkeypatch.setenv("OMNITTS_FFMPEG", str(program))
    assert ffmpeg.find_ffmpeg() == str(program)
    monkeypatch.setenv("OMNITTS_FFMPEG", str(tmp_path / "nothing"))
    with pytest.raises(FfmpegError, match="no program here") as caught:
        ffmpeg.find_ffmpeg()
    assert "nothing" in caught.value.where


def test_without_one_on_the_path_the_packaged_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNITTS_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", "")
    assert "imageio_ffmpeg" in ffmpeg.find_ffmpeg()


def test_no_ffmpeg_anywhere_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNITTS_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FfmpegError, match="not on this machine") as caught:
        ffmpeg.find_ffmpeg()
    assert "pip install imageio-ffmpeg" in caught.value.hint


def test_a_program_that_cannot_start_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00\x01 not a program")
    broken.chmod(0o755)
    with pytest.raises(FfmpegError, match="cannot start"):
        Feed([str(broken)], where="test")


# ---- feeding it


def test_what_is_fed_is_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "Part 1: 100% -y.wav"
    with Encoder(path, RATE, WAV, tmp_path) as encoder:
        for block in np.array_split(tone(), 7):
            encoder.write(block)
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    assert np.allclose(samples, tone(), atol=1 / 32768)


def test_an_error_inside_removes_the_file_and_ends_ffmpeg(tmp_path: Path) -> None:
    encoder = Encoder(tmp_path / "a.wav", RATE, WAV, tmp_path)

    def interrupted() -> None:
        with encoder:
            for _ in range(50):
                encoder.write(tone())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "ffmpeg stderr"]


def test_ffmpeg_killed_by_its_id_is_named(tmp_path: Path) -> None:
    encoder = Encoder(tmp_path / "a.wav", RATE, WAV, tmp_path)

    def killed() -> None:
        with encoder:
            encoder.write(tone())
            assert encoder._feed is not None
            os.kill(encoder._feed._process.pid, signal.SIGKILL)
            for _ in range(100):
                encoder.write(tone())

    with pytest.raises(FfmpegError, match="killed by SIGKILL"):
        killed()
    assert list(tmp_path.iterdir()) == []


def test_a_talkative_ffmpeg_does_not_block_its_feeder(tmp_path: Path) -> None:
    program = script(tmp_path / "loud", "yes complaint | head -c 3000000 >&2; cat > /dev/null; echo last >&2")
    started_s = time.perf_counter()
    with Feed([str(program)], where="test") as feed:
        for _ in range(50):
            feed.write(tone())
        assert feed.finish().endswith("last")
    assert time.perf_counter() - started_s < 10


def test_one_that_never_reads_ends_with_its_own_words(tmp_path: Path) -> None:
    program = script(tmp_path / "deaf", "echo 'Invalid data' >&2; exec 0<&-; exit 4")

    def feed_it() -> None:
        with Feed([str(program)], where="book.m4b") as feed:
            for _ in range(100):
                feed.write(tone())
            feed.finish()

    with pytest.raises(FfmpegError, match=r"book.m4b: ffmpeg failed with exit code 4 \(Invalid data\)"):
        feed_it()


@pytest.mark.parametrize(
    ("said", "code", "kind", "message"),
    [
        ("x: No space left on device", 1, OutputError, "disk is full"),
        ("x: Disk quota exceeded", 1, OutputError, "disk is full"),
        ("x: Permission denied", 1, OutputError, "Permission denied"),
        ("x: Read-only file system", 1, OutputError, "Read-only"),
        ("x: Invalid argument", 1, FfmpegError, "Invalid argument"),
        ("", -int(signal.SIGTERM), FfmpegError, "SIGTERM"),
        ("", 255, FfmpegError, "exit code 255"),
    ],
)
def test_causes_are_told_apart(said: str, code: int, kind: type[Exception], message: str) -> None:
    error = ffmpeg._failure(code, [said], "book.m4b")
    assert type(error) is kind
    assert message in str(error)
    assert str(error).startswith("book.m4b: ")


def test_a_sigterm_that_is_made_an_exit_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import signal, sys; import numpy as np; from pathlib import Path\n"
        "from omnitts.ffmpeg import Encoder, Encoding\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "folder = Path(sys.argv[1])\n"
        "with Encoder(folder / 'a.wav', 24000, Encoding('wav', {'c:a': 'pcm_s16le'}), folder) as encoder:\n"
        "    print('writing', flush=True)\n"
        "    while True:\n"
        "        encoder.write(np.zeros(2400, np.float32))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)
        process.terminate()
        assert process.wait(20) == 143
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("speed", [0.3, 0.8, 1.5, 5.0])
def test_speed_changes_length_but_not_pitch(tmp_path: Path, speed: float) -> None:
    path = tmp_path / "a.wav"
    with Encoder(path, RATE, Encoding("wav", {"c:a": "pcm_s16le"}, speed=speed), tmp_path) as encoder:
        encoder.write(tone(10.0))
    samples, _ = soundfile.read(path, dtype="float32")
    assert len(samples) / RATE == pytest.approx(10.0 / speed, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * RATE / len(samples) == pytest.approx(RATE / 20 / (2 * np.pi), rel=0.02)


def test_a_picture_becomes_png_and_junk_is_refused() -> None:
    command = ["-v", "error", "-f", "lavfi", "-i", "color=red:s=8x8", "-frames:v", "1", "-f", "image2pipe"]
    for codec in ("mjpeg", "bmp", "gif"):
        picture = subprocess.run(
            [ffmpeg.find_ffmpeg(), *command, "-c:v", codec, "-"], capture_output=True, check=False
        ).stdout
        if picture:
            assert ffmpeg.picture_as_png(picture).startswith(b"\x89PNG")
    for junk in (b"", b"text", b"\xff\xd8\xff\x00", os.urandom(5000)):
        with pytest.raises(FfmpegError):
            ffmpeg.picture_as_png(junk)


# ---- reading back


def test_probing_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "a: b.wav"
    soundfile.write(path, np.zeros((RATE, 2), np.float32), RATE)
    found = ffmpeg.probe(path)
    assert (found.duration_s, found.sample_rate, found.channels, found.codec) == (1.0, RATE, 2, "pcm_s16le")
    assert (found.chapters, found.has_cover) == ((), False)


@pytest.mark.parametrize("content", [b"", b"not audio at all", b"RIFF\x00\x00\x00\x00WAVE", None])
def test_probing_what_is_no_audio(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        ffmpeg.probe(path)
    assert caught.value.where == str(path)


def test_only_this_file_starts_ffmpeg() -> None:
    package = Path(ffmpeg.__file__).parent
    starters = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "import ffmpeg\n" in path.read_text(encoding="utf-8").replace("from omnitts import ffmpeg\n", "")
    ]
    assert starters == ["ffmpeg.py"]
