"""Transcribe: audio files of any length in, transcripts out, window by window in memory that does not grow.

One file that fails does not stop the others. Knows no recogniser by name; tells what it does through `Progress`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from omnitts.audio import Waveform, stream
from omnitts.engines.brain import Quantise
from omnitts.engines.registry import primary_tag
from omnitts.errors import OmnittsError, OutputError, UsageError
from omnitts.ffmpeg import probe
from omnitts.pipeline.check.transcribe import SAMPLE_RATE, windows
from omnitts.pipeline.listening import Ear, Window, open_ear
from omnitts.pipeline.transcripts import FORMATS, Heading, Writer, as_data, open_writer
from omnitts.progress import Event, Progress

BLOCK_S = 5.0


@dataclass(frozen=True)
class TranscribeOptions:
    """The command line's options of the same names. Without ``out`` one file goes to the stream that is handed in."""

    files: tuple[Path, ...]
    out: Path | None = None
    formats: tuple[str, ...] = ("txt",)
    language: str = ""
    engine: str = "whisper"
    model: str = ""
    prompt: str = ""
    device: str = "auto"
    dtype: str = "auto"
    quantise: Quantise = ""

    def __post_init__(self) -> None:
        """Raises `UsageError` for options that contradict each other or name nothing."""
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown:
            hint = f"choose of {', '.join(FORMATS)}"
            raise UsageError(f"no transcript format is called {unknown[0]!r}", where="--format", hint=hint)
        if self.out is None and (len(self.files) > 1 or len(self.formats) > 1):
            raise UsageError("standard output takes one file in one format", where="--out", hint="add -o FOLDER")
        if self.prompt and self.engine == "whisper":
            raise UsageError("whisper takes no instruction", where="--prompt", hint="drop it, or --engine mgm-omni")


@dataclass(frozen=True)
class Transcribed:
    """A finished file. ``num_cut``: windows in which the recogniser stopped at its limit."""

    file: Path
    outputs: tuple[Path, ...]
    language: str
    audio_s: float
    num_cut: int = 0


@dataclass(frozen=True)
class Outcome:
    done: tuple[Transcribed, ...]
    failed: tuple[tuple[Path, OmnittsError], ...]


def transcribe(options: TranscribeOptions, progress: Progress, sink: TextIO) -> Outcome:
    """Hears every file. ``sink`` takes the transcript when there is no folder.

    A file that cannot be heard is told and listed; with a single file its error is raised. Raises `EngineError`,
    `ModelError` or `DependencyError` when nobody can listen at all.
    """
    targets = _targets(options)
    ear = open_ear(
        options.engine,
        options.model,
        language=primary_tag(options.language),
        device=options.device,
        dtype=options.dtype,
        quantise=options.quantise,
        prompt=options.prompt,
    )
    done: list[Transcribed] = []
    failed: list[tuple[Path, OmnittsError]] = []
    try:
        for file in options.files:
            try:
                done.append(_transcribe_file(ear, file, targets[file], options, progress, sink))
            except OmnittsError as error:
                if len(options.files) == 1:
                    raise
                failed.append((file, error))
                data = {"file": str(file), "kind": type(error).__name__, "what": error.what, "hint": error.hint}
                progress.emit(Event("failed", data))
    finally:
        ear.close()
    return Outcome(tuple(done), tuple(failed))


def _transcribe_file(
    ear: Ear, file: Path, targets: Sequence[Path], options: TranscribeOptions, progress: Progress, sink: TextIO
) -> Transcribed:
    audio_s = probe(file).duration_s
    progress.emit(Event("listening", {"file": str(file), "audio_s": round(audio_s, 3), "engine": ear.description}))
    heard = _windows_of(file)
    batch = list(islice(heard, ear.batch))
    language = primary_tag(options.language) or ear.language_of(next((w for w in batch if not w.is_silent), batch[0]))
    heading = Heading(str(file), language, ear.description)
    end_s, num_cut = 0.0, 0
    with ExitStack() as stack:
        files = [stack.enter_context(_written_aside(target)) for target in targets] or [sink]
        writers: list[Writer] = [
            open_writer(name, opened, heading) for name, opened in zip(options.formats, files, strict=True)
        ]
        while batch:
            for segment in ear.hear(batch, language):
                end_s = segment.end_s
                num_cut += segment.is_cut
                if segment.text:
                    for writer in writers:
                        writer.add(segment)
                data = {"file": str(file), "done_s": round(end_s, 3), **as_data(segment)}
                progress.emit(Event("segment", data))
            batch = list(islice(heard, ear.batch))
        for writer in writers:
            writer.end(end_s)
    result = Transcribed(file, tuple(targets), language, end_s, num_cut)
    data = {
        "file": str(file),
        "out": [str(path) for path in targets],
        "language": language,
        "audio_s": round(end_s, 3),
        "num_cut": num_cut,
    }
    progress.emit(Event("transcribed", data))
    return result


def _windows_of(file: Path) -> Iterator[Window]:
    blocks = (block.samples for block in stream(file, SAMPLE_RATE, block_s=BLOCK_S))
    for start_s, samples in windows(blocks):
        yield Window(start_s, Waveform(samples, SAMPLE_RATE))


def _targets(options: TranscribeOptions) -> dict[Path, list[Path]]:
    """``talk.mp3`` becomes ``talk.txt``; of two files of one stem each keeps its whole name: ``talk.mp3.txt``."""
    if options.out is None:
        return {file: [] for file in options.files}
    stems = [file.stem for file in options.files]
    targets: dict[Path, list[Path]] = {}
    for file in options.files:
        name = file.stem if stems.count(file.stem) == 1 else file.name
        targets[file] = [options.out / f"{name}.{kind}" for kind in options.formats]
    paths = [path for named in targets.values() for path in named]
    doubled = next((path for path in paths if paths.count(path) > 1), None)
    if doubled is not None:
        hint = "transcribe them one after the other, into different folders"
        raise UsageError(f"two files would both become {doubled}", where="--out", hint=hint)
    return targets


@contextmanager
def _written_aside(target: Path) -> Iterator[TextIO]:
    """A text file that appears under its name only when it is whole. Raises `OutputError` when it cannot be written."""
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write ({error.strerror})", where=str(target), hint="check the folder") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
