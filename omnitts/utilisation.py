"""How busy each stage of the work was: seconds of work per stage against the seconds that passed.

Stages report from any thread; a table comes out. Draws nothing; knows no stage by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class StageUse:
    """One line of the table. ``share`` of the wall time: above 1 where a stage works in several threads."""

    stage: str
    busy_s: float
    share: float
    count: int


@runtime_checkable
class Measured(Protocol):
    """Whoever can say how busy its stages were (an engine, for one)."""

    utilisation: Utilisation


class Utilisation:
    """Collects busy seconds by stage. Safe to share between threads; a stage that runs in two counts both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy_s: dict[str, float] = {}
        self._count: dict[str, int] = {}

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Counts the time inside the block, also where it ends in an error."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started_s)

    def add(self, stage: str, busy_s: float, count: int = 1) -> None:
        """Seconds of work measured elsewhere."""
        with self._lock:
            self._busy_s[stage] = self._busy_s.get(stage, 0.0) + busy_s
            self._count[stage] = self._count.get(stage, 0) + count

    def include(self, other: Utilisation) -> None:
        """Adds what another collector has counted (an engine's, into a recipe's)."""
        with other._lock:
            counted = [(stage, busy_s, other._count[stage]) for stage, busy_s in other._busy_s.items()]
        for stage, busy_s, count in counted:
            self.add(stage, busy_s, count)

    def busy_s(self, stage: str) -> float:
        with self._lock:
            return self._busy_s.get(stage, 0.0)

    def table(self, wall_s: float) -> list[StageUse]:
        """One line per stage, in the order they first reported. ``wall_s``: seconds the whole work took."""
        with self._lock:
            return [
                StageUse(stage, busy_s, busy_s / wall_s if wall_s > 0 else 0.0, self._count[stage])
                for stage, busy_s in self._busy_s.items()
            ]
