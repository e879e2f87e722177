"""How events of a long run look: a live bar on a terminal, plain lines elsewhere, JSON lines, or nothing."""

from __future__ import annotations

import sys
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from omnitts.cli.console import messages, print_json, remark
from omnitts.progress import Event, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

ASSEMBLY_STEPS = MappingProxyType({"measure": "measuring loudness", "encode": "writing the file"})
PROBLEMS_SHOWN = 5


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
        self._step = ""

    def emit(self, event: Event) -> None:
        data = event.data
        if event.name == "judged" and data["chapter"] != self._chapter:
            self._chapter = data["chapter"]
            remark(f"chapter {data['chapter']}: {data['chapter_title']}{_left(data)}")
        elif event.name == "assembly" and data["step"] in ASSEMBLY_STEPS and data["step"] != self._step:
            self._step = data["step"]
            remark(ASSEMBLY_STEPS[data["step"]])
        line = sentence_of(event)
        if line:
            remark(line)


class LiveBar(Nothing):
    """A bar over the whole book: chapter, pieces, minutes of audio, real-time factor, time left."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._take = ""  # what goes before a chapter's title from the second take on
        self._step = ""

    def __enter__(self) -> LiveBar:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self._bar = Progress(
            SpinnerColumn(),
            # On a narrow terminal the title gives way, never the figures.
            TextColumn(
                "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            ),
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True)),
            console=messages(),
            transient=True,
            expand=True,
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
        if event.name == "checking":
            self._start("checking", data["audio_s"], "loading speech recognition")
        elif event.name == "speaking":
            self._take = "" if data["take"] == 0 else f"take {data['take'] + 1}: "
            self._start(f"{self._take}speaking", data["audio_s"], "loading the engine")
        elif event.name == "judged":
            title = data["chapter_title"] or f"chapter {data['chapter']}"
            detail = f"{data['pieces_done']}/{data['pieces_total']}{_left(data, brief=True)}"
            self._update(completed=data["audio_done_s"], description=_shorten(self._take + title), detail=detail)
        elif event.name == "assembly" and data["step"] in ASSEMBLY_STEPS:
            description = ASSEMBLY_STEPS[data["step"]]
            if description != self._step:
                self._step = description
                self._start(description, data["total_s"])
            detail = f"{minutes(data['done_s'])} of {minutes(data['total_s'])}"
            self._update(completed=data["done_s"], total=data["total_s"], detail=detail)
        line = sentence_of(event)
        if line:
            self._bar.console.print(line, markup=False)

    def _start(self, description: str, total_s: float, detail: str = "") -> None:
        """A new bar in place of the last one."""
        assert self._bar is not None
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(description, total=total_s or None, detail=detail)

    def _update(self, **changes: Any) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, **changes)


def sentence_of(event: Event) -> str:
    """The line a person should see for an event, or nothing."""
    data = event.data
    if event.name == "planned":
        reused = f", {count(data['reused'], 'piece')} already spoken" if data["reused"] else ""
        size = (
            f"{data['title']}: {count(data['chapters'], 'chapter')}, {count(data['words'], 'word')}, "
            f"{count(data['pieces'], 'piece')}, about {minutes(data['audio_s'])} of audio{reused}"
        )
        return "\n".join([size, *_problems(data["problems"])])
    if event.name == "checking":
        return f"checking {count(data['pieces'], 'piece')} spoken before"
    if event.name == "profile":
        head = f"{'stage':<12}{'busy':>9}{'of the time':>13}{'times':>8}"
        rows = [
            f"{line['stage']:<12}{line['busy_s']:>7.1f} s{line['share']:>13.0%}{line['count']:>8}"
            for line in data["stages"]
        ]
        return "\n".join([head, *rows, f"{'all':<12}{data['wall_s']:>7.1f} s"])
    if event.name in ("remark", "engine"):
        return str(data["text"])
    if event.name == "judged" and not data["accepted"]:
        return f"  take {data['take'] + 1} rejected ({'; '.join(data['reasons'])}): {_shorten(data['text'], 60)}"
    return ""


def _problems(problems: list[dict[str, str]]) -> list[str]:
    lines = [": ".join(part for part in ("problem", item["where"], item["what"]) if part) for item in problems]
    hidden = len(lines) - PROBLEMS_SHOWN
    return lines[:PROBLEMS_SHOWN] + ([f"... and {hidden} more: omnitts plan shows all"] if hidden > 0 else [])


def _left(data: dict[str, Any], *, brief: bool = False) -> str:
    parts = [minutes(data["audio_made_s"]) + ("" if brief else " of audio")]
    if data["speed"] is not None:
        parts.append(f"{data['speed']:.1f}x" + ("" if brief else " real time"))
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
