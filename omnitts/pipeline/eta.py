"""Honest time left: measured on steady work of this run alone. Knows no engines; fed by whoever finishes pieces.

The clock starts when the first piece is done, so loading a model does not count; what an earlier run finished is no
work of this one; retakes are expected at the rate seen so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MIN_PIECES = 3
MIN_ELAPSED_S = 3.0


class Eta:
    """Work is counted in estimated seconds of audio.

    ``total_s``: what this run still has to finish. ``clock`` gives seconds and never runs backwards.
    """

    def __init__(self, total_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_s = total_s
        self.done_s = 0.0
        self._clock = clock
        self._started_at: float | None = None
        self._steady_s = 0.0  # finished after the clock started
        self._pieces = 0
        self._retakes_s = 0.0  # spoken, but rejected: to be spoken again

    def expect(self, left_s: float) -> None:
        """So much is left to finish: a wave of takes begins, or checks have reopened what was done."""
        self.total_s = self.done_s + left_s

    def finish(self, work_s: float, *, again: bool = False) -> None:
        """A piece was spoken and judged; ``again`` when it has to be spoken once more."""
        if self._started_at is None:
            self._started_at = self._clock()
        else:
            self._steady_s += work_s
            self._pieces += 1
        if again:
            self._retakes_s += work_s
        else:
            self.done_s += work_s

    def rate(self) -> float | None:
        """Estimated seconds of audio finished per second, or None while it is too early to say."""
        if self._started_at is None or self._pieces < MIN_PIECES:
            return None
        elapsed_s = self._clock() - self._started_at
        return self._steady_s / elapsed_s if elapsed_s >= MIN_ELAPSED_S and self._steady_s else None

    def remaining_s(self) -> float | None:
        """Seconds until this run's speaking and checking is done, or None while it is too early to say."""
        rate = self.rate()
        if rate is None:
            return None
        spoken_s = self.done_s + self._retakes_s
        retake_share = self._retakes_s / spoken_s if spoken_s else 0.0
        left_s = max(0.0, self.total_s - self.done_s)
        return left_s / max(1e-9, 1.0 - min(retake_share, 0.9)) / rate
