"""The time left is honest: no model load in it, no earlier run, and retakes expected."""

from __future__ import annotations

import pytest

from omnitts.pipeline.eta import Eta


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_model_load_does_not_count() -> None:
    clock = Clock()
    eta = Eta(100.0, clock)
    clock.now += 60  # the model loads
    eta.finish(10.0)
    for _ in range(4):
        clock.now += 2.0
        eta.finish(10.0)
    assert eta.rate() == pytest.approx(5.0)
    assert eta.remaining_s() == pytest.approx(10.0)


def test_says_nothing_before_it_can_know() -> None:
    clock = Clock()
    eta = Eta(100.0, clock)
    assert eta.remaining_s() is None
    for _ in range(3):
        eta.finish(1.0)
        clock.now += 10
    assert eta.remaining_s() is None


def test_expects_retakes_at_the_rate_seen() -> None:
    clock = Clock()
    eta = Eta(100.0, clock)
    eta.finish(10.0)
    for again in (True, False, True, False, False):
        clock.now += 2.0
        eta.finish(10.0, again=again)
    # 40 s done, 20 s to speak again: one third of what is spoken is spoken again.
    assert eta.remaining_s() == pytest.approx(60.0 / (1 - 1 / 3) / 5.0)


def test_is_never_negative() -> None:
    clock = Clock()
    eta = Eta(10.0, clock)
    for _ in range(8):
        clock.now += 2.0
        eta.finish(5.0)
    assert eta.remaining_s() == 0.0
