"""The crew without a cluster: how long it waits for workers, and what it says when there can be none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from omnitts.engines.registry import EngineOptions
from omnitts.errors import EngineError
from omnitts.fleet import crew
from omnitts.fleet.crew import MAX_FAILED_STARTS, START_TIMEOUT_S, Crew


class Call:
    """Stands for an actor's method, an actor class and an actor: all that is asked of them is to be there."""

    def remote(self, *given: object) -> Any:
        return SimpleNamespace(greet=Call())

    def options(self, **given: object) -> Call:
        return self


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1000.0]
    monkeypatch.setattr(crew.time, "monotonic", lambda: now_s[0])
    return now_s


def crew_on(*nodes: dict[str, float]) -> Crew:
    ray = SimpleNamespace(
        nodes=lambda: [{"Alive": True, "Resources": node} for node in nodes],
        remote=lambda kind: Call(),
        kill=lambda actor: None,
        exceptions=SimpleNamespace(RayError=OSError),
    )
    return Crew(ray, "fake", EngineOptions(), None)  # type: ignore[arg-type]


def test_one_worker_for_each_core(clock: list[float]) -> None:
    hands = crew_on({"CPU": 2.0}, {"CPU": 1.0}, {})
    hands.grow()
    hands.grow()
    assert len(hands.posts) == 3


def test_no_room_for_any_worker_is_told_at_once(clock: list[float]) -> None:
    with pytest.raises(EngineError, match=r"no machine .* \(needs 1 cores, the largest has 0\)"):
        crew_on({"memory": 1e9}).grow()


def test_workers_that_never_start_are_waited_for_a_while(clock: list[float]) -> None:
    hands = crew_on({"CPU": 1.0})
    hands.grow()
    clock[0] += START_TIMEOUT_S - 1
    hands.grow()
    clock[0] += START_TIMEOUT_S
    with pytest.raises(EngineError, match="no worker has started within"):
        hands.grow()


def test_after_hours_of_work_the_wait_begins_anew(clock: list[float]) -> None:
    hands = crew_on({"CPU": 1.0})
    hands.grow()
    hands.posts[0].host = "machine"
    clock[0] += 100 * START_TIMEOUT_S
    hands.lose(hands.posts[0], OSError("gone"))
    hands.grow()
    assert len(hands.posts) == 1
    assert not hands.ready


def test_a_cluster_that_loses_all_its_machines_is_waited_for(clock: list[float]) -> None:
    node = {"CPU": 1.0}
    hands = crew_on(node)
    hands.grow()
    node["CPU"] = 0.0
    hands.lose(hands.posts[0], OSError("gone"))
    hands.grow()
    node["CPU"] = 1.0
    clock[0] += START_TIMEOUT_S / 2
    hands.grow()
    assert len(hands.posts) == 1


def test_workers_that_die_as_they_start_are_not_hired_for_ever(clock: list[float]) -> None:
    hands = crew_on({"CPU": 1.0})
    for _ in range(MAX_FAILED_STARTS - 1):
        hands.grow()
        hands.lose(hands.posts[0], OSError("gone"))
    hands.grow()
    with pytest.raises(EngineError, match="a worker cannot start: no memory"):
        hands.lose(hands.posts[0], OSError("\n  no memory\n"))
