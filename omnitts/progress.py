"""How long work tells what it is doing: one protocol, one event type. Draws nothing; the command line does.

A recipe emits `Event`s in the order things happen; a listener turns them into a live display, JSON lines, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``name`` is a stable word (the README lists them); ``data`` is plain JSON data."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)


class Progress(Protocol):
    """Anything that wants to hear of events. Called from one thread only."""

    def emit(self, event: Event) -> None: ...


class Silent:
    """Hears everything and says nothing."""

    def emit(self, event: Event) -> None:
        return
