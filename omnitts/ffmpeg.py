"""The one door to ffmpeg: finds it, feeds it sound through a pipe, reads back what it wrote. Knows no books or jobs.

Command lines are built with ffmpeg-python, here alone, and started as lists of arguments. A process that fails is
always answered with an error that carries ffmpeg's own last lines. Files are probed with PyAV; no ffprobe is needed.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import ffmpeg
import numpy as np

from omnitts.audio import WHOLE_TRACK, FloatArray
from omnitts.errors import AudioError, FfmpegError, OmnittsError, OutputError

log = logging.getLogger(__name__)

FFMPEG_VARIABLE = "OMNITTS_FFMPEG"
STDERR_LINES = 60  # kept of what ffmpeg says; the summary of a measurement is some fifteen lines
SHOWN_LINES = 3
NO_SPACE = ("no space left on device", "disk quota exceeded", "file too large")
NO_ACCESS = ("permission denied", "read-only file system", "is a directory", "not a directory")

# Nothing that differs between runs goes into a file: no dates, no versions, no random serial numbers.
BITEXACT: Mapping[str, Any] = {"fflags": "+bitexact", "flags": "+bitexact", "threads": 1}


@dataclass(frozen=True, slots=True)
class ChapterMark:
    """A chapter of a written file, in seconds."""

    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What a written audio file says of itself. Tag names are in lower case."""

    duration_s: float
    sample_rate: int
    channels: int
    codec: str
    chapters: tuple[ChapterMark, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    has_cover: bool = False


def find_ffmpeg() -> str:
    """``$OMNITTS_FFMPEG``, else the one on the PATH, else the one that imageio-ffmpeg carries. Raises `FfmpegError`."""
    chosen = os.environ.get(FFMPEG_VARIABLE)
    if chosen:
        found = shutil.which(chosen)
        if found:
            return found
        raise FfmpegError("there is no program here", where=f"{FFMPEG_VARIABLE}={chosen}", hint="correct or unset it")
    on_path = shutil.which("ffmpeg")
    if on_path:
        return on_path
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FfmpegError(
            "ffmpeg is not on this machine",
            hint=f"`pip install imageio-ffmpeg`, install ffmpeg, or set {FFMPEG_VARIABLE} to the program",
        ) from error


@dataclass(frozen=True, slots=True)
class Installation:
    """The ffmpeg of this machine and the names of its encoders."""

    program: str
    version: str
    encoders: frozenset[str]


def installation() -> Installation:
    """Asks ffmpeg what it is and can do. Raises `FfmpegError` when there is none or it does not run."""
    program = find_ffmpeg()
    said: list[str] = []
    for question in ("-version", "-encoders"):
        try:
            done = subprocess.run(
                [program, "-hide_banner", question],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise FfmpegError(f"ffmpeg does not run ({error})", where=program, hint="install it again") from error
        said.append(done.stdout.decode(errors="replace"))
    words = said[0].split()  # "ffmpeg version 7.1 Copyright ...", or n7.1-2-gabc where it was built from a tag
    listed = (line.split() for line in said[1].splitlines())  # " A....D aac   AAC (Advanced Audio Coding)"
    encoders = frozenset(parts[1] for parts in listed if len(parts) > 1 and parts[0].startswith("A"))
    return Installation(program, words[2].removeprefix("n") if len(words) > 2 else "unknown", encoders)


def probe(path: Path, *, whole_track: bool = False) -> Probe:
    """Reads a file's duration, chapters and tags. Raises `AudioError` if it is missing, broken or holds no sound.

    ``whole_track`` as for `audio.stream`: the duration has the coder's run-up, and a long MP4 costs half the memory.
    """
    import av

    try:
        options = WHOLE_TRACK if whole_track else None
        with closing(av.open(_url(path), options=options, metadata_errors="replace")) as container:
            if not container.streams.audio:
                raise AudioError("the file has no audio track", where=str(path))
            stream = container.streams.audio[0]
            if stream.duration is not None and stream.time_base is not None:
                duration_s = float(stream.duration * stream.time_base)
            else:
                duration_s = (container.duration or 0) / 1_000_000  # av.time_base: microseconds
            tags = {key.lower(): value for key, value in {**stream.metadata, **container.metadata}.items()}
            return Probe(
                duration_s=duration_s,
                sample_rate=int(stream.rate),
                channels=int(stream.channels),
                codec=str(stream.codec_context.name),
                chapters=tuple(_chapter_mark(chapter) for chapter in container.chapters()),
                tags=tags,
                has_cover=bool(container.streams.video),
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError(f"not a file that can be played ({error})", where=str(path)) from error


def _chapter_mark(chapter: Mapping[str, Any]) -> ChapterMark:
    unit = Fraction(chapter["time_base"])
    title = str(chapter["metadata"].get("title", ""))
    return ChapterMark(float(chapter["start"] * unit), float(chapter["end"] * unit), title)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How sound becomes a file. ``options`` are ffmpeg's output options (a list repeats one); ``metadata`` is a text in
    ffmpeg's metadata format, with tags and chapters; ``cover`` an image's bytes; ``speed`` changes the pace alone.
    """

    muxer: str
    options: Mapping[str, str | int | Sequence[str]]
    metadata: str = ""
    cover: bytes | None = None
    speed: float = 1.0


class Feed:
    """An ffmpeg process that is fed mono sound through its stdin. Left without `finish`, it is killed."""

    def __init__(self, arguments: Sequence[str], where: str) -> None:
        self._where = where
        self._lines: deque[str] = deque(maxlen=STDERR_LINES)
        log.debug("starting %s", arguments)
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches us alone; we end ffmpeg
            )
        except OSError as error:
            raise FfmpegError(f"cannot start {arguments[0]} ({error.strerror})", hint="check that it runs") from error
        # Drained beside the writing, or a talkative ffmpeg would block on its full pipe while we block on ours.
        self._drain = threading.Thread(target=self._read_stderr, name="ffmpeg stderr", daemon=True)
        self._drain.start()

    def write(self, samples: FloatArray) -> None:
        """Feeds samples (N,). Raises what `finish` would if ffmpeg has gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(samples, dtype="<f4").data)
        except BrokenPipeError:
            self.finish()
            raise FfmpegError("ffmpeg stopped listening", where=self._where, hint="run it again") from None

    def finish(self) -> str:
        """Ends the input and waits. Returns the last lines of stderr; raises `FfmpegError` or `OutputError`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            log.debug("ffmpeg closed its input first")
        code = self._process.wait()
        self._drain.join()
        if code != 0:
            raise _failure(code, list(self._lines), self._where)
        return "\n".join(self._lines)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
        except BrokenPipeError:
            log.debug("ffmpeg closed its input first")
        self._process.wait()
        self._drain.join()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._lines.append(line.decode("utf-8", "replace").rstrip())

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def analyse(blocks: Iterable[FloatArray], sample_rate: int, filter_name: str, **settings: str) -> str:
    """Streams mono sound through one of ffmpeg's measuring filters; returns what it reported at the end."""
    stream = _pcm_input(sample_rate).audio.filter(filter_name, **settings).output("-", format="null")
    with Feed(_command(stream, log_level="info"), where=f"measuring with {filter_name}") as feed:
        for block in blocks:
            feed.write(block)
        return feed.finish()


class Encoder:
    """Writes one file: a context manager that takes blocks of mono sound and is whole when left without an error.

    ``scratch`` is a folder for the small files that ffmpeg is given (tags, cover). The file is removed on any failure,
    KeyboardInterrupt included. Raises `FfmpegError`, or `OutputError` when the place cannot be written.
    """

    def __init__(self, path: Path, sample_rate: int, encoding: Encoding, scratch: Path) -> None:
        self._path = path
        self._sample_rate = sample_rate
        self._encoding = encoding
        self._scratch = scratch
        self._feed: Feed | None = None

    def __enter__(self) -> Encoder:
        self._feed = Feed(self._arguments(), where=str(self._path))
        return self

    def write(self, samples: FloatArray) -> None:
        assert self._feed is not None
        self._feed.write(samples)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._feed is not None
        whole = False
        try:
            if error is None:
                self._feed.finish()
                whole = True
        finally:
            self._feed.kill()
            if not whole:
                self._path.unlink(missing_ok=True)

    def _arguments(self) -> list[str]:
        encoding = self._encoding
        sound = _pcm_input(self._sample_rate).audio
        for factor in _tempo_steps(encoding.speed):
            sound = sound.filter("atempo", f"{factor:.6f}")
        streams = [sound]
        options: dict[str, Any] = {**BITEXACT, **encoding.options, "format": encoding.muxer, "ac": 1}
        if encoding.cover is not None:
            cover = self._scratch / "cover"
            cover.write_bytes(encoding.cover)
            streams.append(ffmpeg.input(_url(cover)).video)
            options |= {"c:v": "copy", "disposition:v:0": "attached_pic", "metadata:s:v:0": "comment=Cover (front)"}
        metadata: Path | None = None
        if encoding.metadata:
            metadata = self._scratch / "metadata.txt"
            metadata.write_text(encoding.metadata, encoding="utf-8", newline="\n")
            options |= {"map_metadata": len(streams), "map_chapters": len(streams)}
        return _command(ffmpeg.output(*streams, _url(self._path), **options), metadata=metadata)


def picture_as_png(picture: bytes) -> bytes:
    """Any still picture as PNG. Raises `AudioError`'s sibling `FfmpegError` when it is none that ffmpeg can read."""
    stream = ffmpeg.input("pipe:0", format="image2pipe").output("pipe:1", format="image2pipe", vcodec="png", vframes=1)
    try:
        done = subprocess.run(_command(stream), input=picture, capture_output=True, check=False)
    except OSError as error:
        raise FfmpegError(f"cannot start ffmpeg ({error.strerror})", hint="check that it runs") from error
    if done.returncode != 0 or not done.stdout:
        raise _failure(done.returncode, done.stderr.decode("utf-8", "replace").splitlines(), "cover")
    return done.stdout


def _pcm_input(sample_rate: int) -> Any:
    return ffmpeg.input("pipe:0", format="f32le", ac=1, ar=sample_rate)


def _url(path: Path) -> str:
    """A path as ffmpeg takes it: without the prefix, ``Part 1: Snow.m4b`` would be asked of a protocol ``Part 1``."""
    return f"file:{path}"


def _tempo_steps(speed: float) -> list[float]:
    """Factors of `atempo`, each within the 0.5 to 2 that every version takes; none for a speed of 1."""
    steps: list[float] = []
    while speed > 2.0 or speed < 0.5:
        steps.append(2.0 if speed > 1 else 0.5)
        speed /= steps[-1]
    return steps if speed == 1.0 else [*steps, speed]


def _command(stream: Any, metadata: Path | None = None, log_level: str = "error") -> list[str]:
    """The whole argument list. ffmpeg-python knows only inputs with streams: a metadata file is put in behind them."""
    arguments: list[str] = ffmpeg.get_args(stream)
    if metadata is not None:
        last_input = max(idx for idx, argument in enumerate(arguments) if argument == "-i") + 2
        arguments[last_input:last_input] = ["-f", "ffmetadata", "-i", _url(metadata)]
    return [find_ffmpeg(), "-hide_banner", "-nostats", "-nostdin", "-loglevel", log_level, "-y", *arguments]


def _failure(code: int, lines: Sequence[str], where: str) -> OmnittsError:
    """The error for an exit code: negative is the signal that killed it (POSIX)."""
    said = " / ".join(line.strip() for line in lines[-SHOWN_LINES:] if line.strip())
    text = "\n".join(lines).lower()
    if any(words in text for words in NO_SPACE) or code == -getattr(signal, "SIGXFSZ", 0) != 0:
        return OutputError("the disk is full, or the file larger than allowed", where=where, hint="make room")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return FfmpegError(
            f"ffmpeg was killed by {name}" + (f" ({said})" if said else ""), where=where, hint="run the command again"
        )
    if any(words in text for words in NO_ACCESS):
        return OutputError(f"cannot write ({said})", where=where, hint="check the folder")
    hint = "run with --debug to see its command line"
    if "unknown encoder" in text or "unrecognized option" in text or "no such filter" in text:
        hint = f"this ffmpeg lacks something: set {FFMPEG_VARIABLE} to another, such as imageio-ffmpeg's"
    return FfmpegError(f"ffmpeg failed with exit code {code}" + (f" ({said})" if said else ""), where=where, hint=hint)
