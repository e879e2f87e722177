"""Mastering: each format is written, read back and measured; equal input gives equal bytes; failures leave nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omnitts import ffmpeg
from omnitts.errors import FfmpegError, JobError, OmnittsError, OutputError, UsageError
from omnitts.pipeline.formats import FORMATS, choose_format
from omnitts.pipeline.master import Mastered, MasterOptions, file_name, load_master, master
from omnitts.pipeline.stitch import ChapterAudio, PieceAudio, stitch
from omnitts.pipeline.tags import Tags
from omnitts.progress import Event
from tests.pipeline.sounds import RATE, book, write_spoken

TAGS = Tags(
    "Snow = ; # \\ 雪",
    ("A. Author", "B. Author"),
    narrator="Anna",
    language="en-GB",
    date="1898",
    publisher="House",
    description="Two\nlines",
    engine="fake: a tone",
    model_revision="fake-1",
    voice_digest="ab" * 32,
)
ODD_TITLES = ("I. A = b; #1 \\ \"q\" 'x' %d", "第一章 😀\nsecond line", "[CHAPTER]", "")


def picture() -> bytes:
    command = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=red:s=16x16",
        "-frames:v",
        "1",
        "-f",
        "image2pipe",
        "-c:v",
        "png",
        "-",
    ]
    return subprocess.run([ffmpeg.find_ffmpeg(), *command], capture_output=True, check=True).stdout


def write(folder: Path, out: str, **options: object) -> Mastered:
    return master(book(folder / "clips"), TAGS, folder / out, MasterOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_what_it_can(tmp_path: Path, name: str) -> None:
    timeline = book(tmp_path / "clips", ODD_TITLES)
    out = tmp_path / f"out 1: 100%d.{name}"
    mastered = master(timeline, TAGS, out, load_master("audiobook", cover=picture()))
    found = ffmpeg.probe(out)
    assert mastered.files == (out,)
    assert found.duration_s == pytest.approx(timeline.duration_s, abs=0.1)
    assert found.sample_rate == (48_000 if name == "opus" else 44_100)
    assert found.channels == 1
    assert found.tags["title"] == TAGS.title
    assert found.tags["artist"] == "A. Author, B. Author"
    assert found.tags["comment"].startswith("AI-narrated by omnitts")
    for part in ("fake: a tone", "model fake-1", "sha256:abababab"):
        assert part in found.tags["comment"]
    assert found.tags["date"] == "1898"
    assert found.tags["genre"] == "Audiobook"
    assert found.tags["language"] == ("eng" if name == "m4b" else "en-GB")
    if name != "wav":
        assert found.has_cover
        assert found.tags["composer"] == "Anna"
        assert [mark.title for mark in found.chapters] == [*ODD_TITLES[:3], "4"]
        starts_s = [timeline.seconds(chapter.start) for chapter in timeline.chapters]
        assert [mark.start_s for mark in found.chapters] == pytest.approx(starts_s, abs=0.01)
    assert mastered.loudness_after.integrated_lufs == pytest.approx(-19, abs=0.5)
    assert mastered.loudness_after.true_peak_dbtp <= -2.9
    assert mastered.loudness_before.integrated_lufs != mastered.loudness_after.integrated_lufs
    assert {path.name for path in tmp_path.iterdir()} == {"clips", out.name}


@pytest.mark.parametrize("name", FORMATS)
def test_equal_input_gives_equal_bytes(tmp_path: Path, name: str) -> None:
    cover = picture()
    digests = set()
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        mastered = write(folder, f"book.{name}", cover=cover)
        digests.add(hashlib.sha256(mastered.files[0].read_bytes()).hexdigest())
    assert len(digests) == 1


def test_split_by_chapters(tmp_path: Path) -> None:
    timeline = book(tmp_path / "clips", ("One / two", "Three: four?", ""))
    mastered = master(timeline, TAGS, tmp_path / "out", MasterOptions(format="mp3", split="chapters", cover=picture()))
    names = ["01 - One two.mp3", "02 - Three four.mp3", "03 - 3.mp3"]
    assert [path.name for path in mastered.files] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for idx, path in enumerate(mastered.files):
        found, chapter = ffmpeg.probe(path), timeline.chapters[idx]
        assert found.tags["track"] == f"{idx + 1}/3"
        assert found.tags["album"] == TAGS.title
        assert found.tags["title"] == ("One / two", "Three: four?", "3")[idx]
        assert found.tags["comment"].startswith("AI-narrated")
        assert found.duration_s == pytest.approx((chapter.end - chapter.start) / RATE, abs=0.1)
        assert len(found.chapters) == 1
        assert found.has_cover
    assert sum(ffmpeg.probe(path).duration_s for path in mastered.files) == pytest.approx(timeline.duration_s, abs=0.3)
    again = master(timeline, TAGS, tmp_path / "out", MasterOptions(format="mp3", split="chapters"))
    assert again.files == mastered.files


def test_speed_shortens_the_file_and_moves_the_chapters(tmp_path: Path) -> None:
    timeline = book(tmp_path / "clips", ("One", "Two"), speed=1.5)
    master(timeline, TAGS, tmp_path / "book.m4b", MasterOptions())
    found = ffmpeg.probe(tmp_path / "book.m4b")
    assert found.duration_s == pytest.approx(timeline.num_samples / RATE / 1.5, abs=0.1)
    assert found.chapters[1].start_s == pytest.approx(timeline.chapters[1].start / RATE / 1.5, abs=0.01)


@pytest.mark.parametrize("level", [0.0, 0.0005])
def test_silent_and_nearly_silent_books_are_written(tmp_path: Path, level: float) -> None:
    mastered = master(book(tmp_path / "clips", level=level), TAGS, tmp_path / "book.m4b", MasterOptions())
    assert mastered.files[0].is_file()
    assert mastered.loudness_after.true_peak_dbtp < -3.0


def test_a_very_short_book_is_written(tmp_path: Path) -> None:
    clip = write_spoken(tmp_path / "clip.flac", "Hi")
    timeline = stitch([ChapterAudio("One", [PieceAudio("a", clip)])], RATE, lead_s=0.0, tail_s=0.0)
    for name in FORMATS:
        assert master(timeline, TAGS, tmp_path / f"book.{name}", MasterOptions()).files[0].is_file()


def test_more_than_255_chapters(tmp_path: Path) -> None:
    """The MP4 chapter list of Nero's kind ends at 255; all must come back all the same."""
    pieces = [PieceAudio("p", write_spoken(tmp_path / "clip.flac", "Yes."), 0.2)]
    timeline = stitch([ChapterAudio(f"Chapter {number}", pieces) for number in range(300)], RATE)
    master(timeline, TAGS, tmp_path / "book.m4b", MasterOptions(sample_rate=RATE))
    assert len(ffmpeg.probe(tmp_path / "book.m4b").chapters) == 300


def test_a_cover_that_is_no_picture_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mastered = write(tmp_path, "book.m4b", cover=b"\xff\xd8\xff this is not a picture")
    assert not ffmpeg.probe(mastered.files[0]).has_cover
    assert "the cover is left out" in caplog.text


def test_a_cover_of_another_kind_is_turned_into_png(tmp_path: Path) -> None:
    command = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=red:s=16x16",
        "-frames:v",
        "1",
        "-f",
        "image2pipe",
        "-c:v",
        "bmp",
        "-",
    ]
    bmp = subprocess.run([ffmpeg.find_ffmpeg(), *command], capture_output=True, check=True).stdout
    assert ffmpeg.probe(write(tmp_path, "book.m4b", cover=bmp).files[0]).has_cover


def test_events_tell_how_far_it_is(tmp_path: Path) -> None:
    events: list[Event] = []

    class Listener:
        def emit(self, event: Event) -> None:
            events.append(event)

    master(book(tmp_path / "clips"), TAGS, tmp_path / "book.wav", MasterOptions(), Listener())
    assert {event.name for event in events} == {"assembly"}
    assert [event.data["step"] for event in events] == ["measure", "encode", "publish"]
    assert events[0].data["done_s"] == events[0].data["total_s"] > 0


# ---- what goes wrong: a named error, nothing under the final name, nothing left beside it


def expect_nothing_left(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} <= {"clips", "ffmpeg"}


def fake_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_encode: str) -> None:
    """An ffmpeg that measures like the real one, but does something else when it is to write a file."""
    script = tmp_path / "ffmpeg"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *ebur128*) exec {ffmpeg.find_ffmpeg()} "$@";; esac\nfor out; do :; done\n'
        f'out="${{out#file:}}"\n{on_encode}\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("OMNITTS_FFMPEG", str(script))


@pytest.mark.parametrize(
    ("on_encode", "kind", "message"),
    [
        ('head -c 1000 > /dev/null; echo half > "$out"; kill -9 $$', FfmpegError, "killed by SIGKILL"),
        ("head -c 1000 >/dev/null; echo 'av_write: No space left on device' >&2; exit 1", OutputError, "disk is full"),
        ("cat > /dev/null; echo 'something odd' >&2; exit 3", FfmpegError, "something odd"),
        ("echo 'Unknown encoder aac' >&2; exit 1", FfmpegError, "Unknown encoder"),
        ("cat > /dev/null; exit 0", OutputError, "cannot be read back"),
        ('cat > /dev/null; echo junk > "$out"; exit 0', OutputError, "cannot be read back"),
        ("yes 'a long complaint' | head -c 2000000 >&2; cat > /dev/null; exit 1", FfmpegError, "a long complaint"),
    ],
)
def test_ffmpeg_fails_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_encode: str, kind: type[OmnittsError], message: str
) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, on_encode)
    with pytest.raises(kind, match=message):
        write(tmp_path, "book.m4b")
    expect_nothing_left(tmp_path)


def test_a_file_that_was_there_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.m4b").write_text("the old one")
    fake_ffmpeg(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(FfmpegError):
        write(tmp_path, "book.m4b")
    assert (tmp_path / "book.m4b").read_text() == "the old one"


def test_a_real_ffmpeg_that_writes_too_little_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ffmpeg.find_ffmpeg()
    fake_ffmpeg(tmp_path, monkeypatch, f'head -c 100000 | {real} "$@"; cat > /dev/null')
    with pytest.raises(OutputError, match="it lasts"):
        write(tmp_path, "book.m4b")
    expect_nothing_left(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_file_larger_than_the_system_allows(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    book(tmp_path / "clips")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="the disk is full, or the file larger than allowed"):
            write(tmp_path, "book.wav")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    expect_nothing_left(tmp_path)


def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if (
        sys.platform != "linux"
        or os.getuid() != 0
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs to mount a small file system")
    try:
        with pytest.raises(OutputError, match="disk is full"):
            master(book(tmp_path / "clips"), TAGS, small / "book.wav", MasterOptions())
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_broken_clip_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    timeline = book(tmp_path / "clips")
    (tmp_path / "clips" / "1.flac").unlink()
    with pytest.raises(JobError, match="piece p1 is missing"):
        master(timeline, TAGS, tmp_path / "book.m4b", MasterOptions())
    expect_nothing_left(tmp_path)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    class Impatient:
        def emit(self, event: Event) -> None:
            if event.data["step"] == "encode":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        master(book(tmp_path / "clips"), TAGS, tmp_path / "book.m4b", MasterOptions(), Impatient())
    expect_nothing_left(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from omnitts.pipeline.staging import staged\n"
        "with staged(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out = tmp_path / "book.m4b"
    done = subprocess.run([sys.executable, "-c", code, str(out)], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    running = tmp_path / f".book.m4b.{os.getppid()}.part"
    running.mkdir()
    write(tmp_path, "book.m4b")
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "book.m4b", running.name}


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.m4b").mkdir()
    for out in ("file/book.m4b", "folder.m4b"):
        with pytest.raises(OutputError):
            write(tmp_path, out)
    with pytest.raises(OutputError, match="needs a folder"):
        write(tmp_path, "file", split="chapters")
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "file", "folder.m4b"}


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    assert write(tmp_path, "a/b/book.wav").files[0].is_file()


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        ("", "book", "no suffix"),
        ("", "book.xyz", "no format is called 'xyz'"),
        ("aiff", "book", "no format is called 'aiff'"),
        ("mp3", "book.m4b", "contradicts the suffix"),
    ],
)
def test_formats_there_are_none_of(name: str, out: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_format(name, Path(out))


def test_formats_by_name_and_suffix() -> None:
    assert choose_format("", Path("a.M4A")).name == "m4b"
    assert choose_format("OPUS", Path("a.ogg")).name == "opus"
    assert choose_format("mp3", Path("Vol. 1")).name == "mp3"
    assert choose_format("", Path("Vol. 1"), is_folder=True).name == "m4b"


def test_masters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load_master("audiobook").loudness_lufs, load_master("audiobook").true_peak_dbtp) == (-19.0, -3.0)
    assert (load_master("podcast").loudness_lufs, load_master("podcast").true_peak_dbtp) == (-16.0, -1.5)
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))
    (tmp_path / "masters").mkdir()
    for text in ("loudnes_lufs: -19", "- a\n- b", "loudness_lufs: loud", "{", "\ufffd: ["):
        (tmp_path / "masters" / "mine.yaml").write_text(text)
        with pytest.raises(UsageError, match="this preset"):
            load_master("mine")
    with pytest.raises(UsageError, match="split by 'pages'"):
        write(tmp_path, "book.m4b", split="pages")


@pytest.mark.parametrize("title", ["..", "a/b\\c", "x" * 300, "书" * 200, " . ", "CON?", "\n", "a\x00b"])
def test_file_names_are_safe_anywhere(title: str) -> None:
    name = file_name(title)
    assert name.strip(" .")
    assert not set(name) & set('/\\<>:"|?*\n\x00')
    assert len(name.encode()) <= 180


def test_loud_speech_with_the_podcast_master(tmp_path: Path) -> None:
    samples = np.tanh(8 * np.random.default_rng(0).standard_normal(5 * RATE) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "loud.wav", samples, RATE)
    timeline = stitch([ChapterAudio("One", [PieceAudio("a", tmp_path / "loud.wav")])], RATE)
    after = master(timeline, TAGS, tmp_path / "book.mp3", load_master("podcast")).loudness_after
    assert after.integrated_lufs == pytest.approx(-16, abs=0.5)
    assert after.true_peak_dbtp <= -1.4


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
def test_memory_does_not_grow_with_the_book(tmp_path: Path) -> None:
    """The same clips, once as a minute and once as eighteen: held in memory, the long one would take 100 MB more."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from omnitts.pipeline.master import MasterOptions, master\n"
        "from omnitts.pipeline.tags import Tags\n"
        "from tests.pipeline.sounds import book\n"
        "folder = Path(sys.argv[1])\n"
        "timeline = book(folder / 'clips', ('Chapter',) * int(sys.argv[2]))\n"
        "master(timeline, Tags('Long'), folder / 'book.wav', MasterOptions())\n"
        "print(round(timeline.duration_s), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    unit = 1024 if sys.platform == "darwin" else 1
    seconds, peak_kb = {}, {}
    for chapters in (8, 150):
        command = [sys.executable, "-c", code, str(tmp_path / str(chapters)), str(chapters)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        seconds[chapters], peak_kb[chapters] = (int(value) for value in done.stdout.split())
    assert seconds[150] > 900
    assert (peak_kb[150] - peak_kb[8]) / unit < 30_000
