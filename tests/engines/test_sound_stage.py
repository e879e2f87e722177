"""The thread beside decoding: everything comes out, nothing piles up, errors cross over, a stop stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from omnitts.engines.sound_stage import SoundStage


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def through(stage: SoundStage[int, int], count: int) -> list[int]:
    got: list[int] = []
    for item in range(count):
        while not stage.has_room:
            got += stage.take(wait=True)
        stage.put(item)
        got += stage.take()
    while not stage.is_idle:
        got += stage.take(wait=True)
    return got


def test_everything_comes_out_once() -> None:
    with SoundStage(doubled, bound=4, at_once=3) as stage:
        assert sorted(through(stage, 200)) == [2 * item for item in range(200)]
        assert stage.take(wait=True) == [], "an idle stage is not waited for"


def test_work_goes_on_beside_its_owner_in_batches_that_are_bounded() -> None:
    sizes, go_on = [], threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        go_on.wait(5)
        sizes.append(len(items))
        return list(items)

    with SoundStage(work, bound=8, at_once=3) as stage:
        for item in range(8):
            assert stage.has_room
            stage.put(item)
        assert not stage.has_room
        assert stage.take() == [], "the owner does not wait"
        go_on.set()
        got: list[int] = []
        while not stage.is_idle:
            got += stage.take(wait=True)
    assert got == list(range(8))
    assert max(sizes) == 3


def test_an_error_in_the_thread_is_raised_to_the_owner() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise ValueError("no sound")
        return list(items)

    with SoundStage(work, bound=2, at_once=1) as stage, pytest.raises(ValueError, match="no sound"):
        through(stage, 10)


def test_leaving_early_stops_the_thread_and_drops_what_waits() -> None:
    done: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        time.sleep(0.01)
        done.extend(items)
        return list(items)

    with SoundStage(work, bound=100, at_once=1) as stage:
        for item in range(100):
            stage.put(item)
    assert len(done) < 50
    assert not any(thread.name == "sound" for thread in threading.enumerate())
