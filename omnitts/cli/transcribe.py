"""`omnitts transcribe`: recordings of any length into text, subtitles or JSON."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from omnitts.cli.console import messages, print_json, remark
from omnitts.cli.display import JsonLines, Nothing, minutes
from omnitts.cli.options import DebugOption, JsonOption, QuietOption
from omnitts.errors import EXIT_FLAGGED, EXIT_OK
from omnitts.progress import Event

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

EPILOG = """
[bold]Examples[/bold]

omnitts transcribe talk.mp3 > talk.txt

omnitts transcribe chapter-*.mp3 --format srt --format json -o transcripts/

omnitts transcribe interview.m4a --engine mgm-omni --model 7b --language en
"""


def command(
    files: Annotated[list[Path], typer.Argument(metavar="AUDIO...", help="Recordings, or films with sound.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the transcripts; else one goes to standard output.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="txt (a sentence a line), srt, vtt, json; may be repeated."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="What is spoken (en, zh ...); found out when not given.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="Who listens: whisper, mgm-omni, fake.", rich_help_panel="Listening")
    ] = "whisper",
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Whisper's size or folder, or the brain's checkpoint.", rich_help_panel="Listening"
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What a brain is asked of each window.", rich_help_panel="Listening")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel="Listening")] = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="A brain's: auto, fp32, bf16, fp16.", rich_help_panel="Listening")
    ] = "auto",
    quantise: Annotated[
        str, typer.Option("--quantise", help="A brain's: 8bit or 4bit.", rich_help_panel="Listening")
    ] = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Write down what is said in recordings of any length, as text or subtitles."""
    from omnitts.engines.brain import quantise_by_name
    from omnitts.pipeline.transcribe import TranscribeOptions, transcribe

    options = TranscribeOptions(
        files=tuple(dict.fromkeys(files)), out=out, formats=tuple(dict.fromkeys(formats or ["txt"])),
        language=language or "",
        engine=engine, model=model or "", prompt=prompt or "", device=device, dtype=dtype,
        quantise=quantise_by_name(quantise),
    )  # fmt: skip
    with _listener(as_json=as_json, quiet=quiet, has_folder=out is not None) as listener, _sink(as_json) as sink:
        outcome = transcribe(options, listener, sink)
    if as_json:
        print_json({"event": "finished", "files": len(outcome.done), "failed": len(outcome.failed)})
    elif not quiet:
        for item in outcome.done:
            if item.num_cut:
                remark(f"{item.file}: {item.num_cut} windows were too much for the recogniser; words may be missing")
        if len(options.files) > 1:
            remark(f"{len(outcome.done)} of {len(options.files)} files transcribed")
    return EXIT_FLAGGED if outcome.failed else EXIT_OK


def _sink(as_json: bool) -> AbstractContextManager[TextIO]:
    """Where a transcript without a folder goes; with ``--json`` the events carry it already."""
    return Path(os.devnull).open("w") if as_json else nullcontext(sys.stdout)


def _listener(*, as_json: bool, quiet: bool, has_folder: bool) -> Nothing:
    """A bar only where it does not run into the transcript."""
    if as_json:
        return JsonLines()
    if quiet:
        return Nothing()
    is_free = sys.stderr.isatty() and (has_folder or not sys.stdout.isatty())
    return _Bar() if is_free else _Lines()


class _Lines(Nothing):
    """A line when a file is done or has failed."""

    def emit(self, event: Event) -> None:
        if line := _line_of(event):
            remark(line)


class _Bar(Nothing):
    """How much of the file is heard, with the lines above it."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> _Bar:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f}%"))
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, *times, console=messages(), transient=True)
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def emit(self, event: Event) -> None:
        assert self._bar is not None
        if event.name == "listening":
            if self._task is not None:
                self._bar.remove_task(self._task)
            name = Path(event.data["file"]).name
            self._task = self._bar.add_task(name, total=event.data["audio_s"] or None)
        elif event.name == "segment" and self._task is not None:
            self._bar.update(self._task, completed=event.data["done_s"])
        if line := _line_of(event):
            self._bar.console.print(line, markup=False, soft_wrap=True)


def _line_of(event: Event) -> str:
    data = event.data
    if event.name == "transcribed":
        language = f", {data['language']}" if data["language"] else ""
        where = f" -> {', '.join(data['out'])}" if data["out"] else ""
        return f"{data['file']}: {minutes(data['audio_s'])} heard{language}{where}"
    if event.name == "failed":
        return f"{data['file']}: {data['what']}" + (f"; {data['hint']}" if data["hint"] else "")
    return ""
