"""How events of a long run look: a live bar on a terminal, plain lines elsewhere, JSON lines, or nothing."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from omnitts.cli.console import messages, print_json, remark
from omnitts.progress import Event, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Display(Protocol):
    """A progress listener that is also a context manager (a live display has to be put away)."""

    def emit(self, event: Event) -> None: ...
    def __enter__(self) -> Display: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(*, as_json: bool, quiet: bool) -> Display:
    """The listener that fits the options and the terminal."""
    if as_json:
        return JsonLines()
    if quiet:
        return Nothing()
    return LiveBar() if sys.stderr.isatty() else PlainLines()


class Nothing(Silent):
    def __enter__(self) -> Nothing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class JsonLines(Nothing):
    """One event a line on standard output."""

    def emit(self, event: Event) -> None:
        print_json({"event": event.name, **event.data})


class PlainLines(Nothing):
    """For logs: what will be done, a line a chapter, and whatever was rejected."""

    def __init__(self) -> None:
        self._chapter: int | None = None

    def emit(self, event: Event) -> None:
        data = event.data
        if event.name == "judged" and data["chapter"] != self._chapter:
            self._chapter = data["chapter"]
            remark(f"chapter {data['chapter']}: {data['chapter_title']}{_left(data)}")
        line = sentence_of(event)
        if line:
            remark(line)


class LiveBar(Nothing):
    """A bar over the whole book: chapter, pieces, minutes of audio, real-time factor, time left."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> LiveBar:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=messages(),
            transient=True,
        )
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def emit(self, event: Event) -> None:
        assert self._bar is not None
        data = event.data
        if event.name == "speaking":
            if self._task is not None:
                self._bar.remove_task(self._task)
            description = "speaking" if data["take"] == 0 else f"take {data['take'] + 1}"
            self._task = self._bar.add_task(description, total=data["audio_s"] or None, detail="loading the engine")
        elif event.name == "judged" and self._task is not None:
            title = data["chapter_title"] or f"chapter {data['chapter']}"
            detail = f"{data['pieces_done']}/{data['pieces_total']} pieces{_left(data)}"
            self._bar.update(self._task, completed=data["audio_done_s"], description=_shorten(title), detail=detail)
        elif event.name == "assembling":
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("assembling", total=None, detail=data["step"])
        line = sentence_of(event)
        if line:
            self._bar.console.print(line, markup=False)


def sentence_of(event: Event) -> str:
    """The line a person should see for an event, or nothing."""
    data = event.data
    if event.name == "planned":
        reused = f", {data['reused']} pieces already spoken" if data["reused"] else ""
        return (
            f"{data['title']}: {count(data['chapters'], 'chapter')}, {data['words']:,} words, "
            f"{count(data['pieces'], 'piece')}, about {minutes(data['audio_s'])} of audio{reused}"
        )
    if event.name in ("remark", "engine"):
        return str(data["text"])
    if event.name == "judged" and not data["accepted"]:
        return f"  take {data['take'] + 1} rejected ({'; '.join(data['reasons'])}): {_shorten(data['text'], 60)}"
    return ""


def _left(data: dict[str, Any]) -> str:
    parts = [f"{minutes(data['audio_made_s'])} of audio"]
    if data["speed"] is not None:
        parts.append(f"{data['speed']:.1f}x real time")
    if data["remaining_s"] is not None:
        parts.append(f"{minutes(data['remaining_s'])} left")
    return " · " + " · ".join(parts)


def minutes(seconds: float) -> str:
    """``45 s``, ``12:30 min``, ``3 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _shorten(text: str, width: int = 32) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
