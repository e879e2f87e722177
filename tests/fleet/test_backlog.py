"""The backlog: order, fair shares at the end, voices first heard, suspects alone, the deadly request named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitts.engines.base import SpeechRequest
from omnitts.errors import EngineError
from omnitts.fleet.backlog import MAX_DEATHS, Backlog
from omnitts.types import Voice

ANNA = Voice("anna", Path("anna.wav"), digest="a" * 64)
LOST = ConnectionError("gone")


def requests_of(count: int, voice: Voice | None = None) -> list[SpeechRequest]:
    return [SpeechRequest(str(idx), f"piece {idx}", voice) for idx in range(count)]


def keys(requests: list[SpeechRequest]) -> str:
    return "".join(request.key for request in requests)


def test_requests_are_pulled_as_there_is_room_and_go_out_in_order() -> None:
    source = iter(requests_of(9))
    backlog = Backlog(source)
    backlog.fill(4)
    assert keys(backlog.take(3, is_idle=True)) == "012"
    assert next(source).key == "4"
    backlog.fill(4)
    assert keys(backlog.take(9, is_idle=False)) == "3567"


def test_it_is_empty_only_when_the_caller_has_no_more() -> None:
    backlog = Backlog(requests_of(1))
    backlog.fill(1)
    backlog.take(1, is_idle=True)
    assert not backlog.is_empty
    backlog.fill(1)
    assert backlog.is_empty


def test_at_the_end_everyone_gets_its_part() -> None:
    backlog = Backlog(requests_of(10))
    backlog.fill(5)
    assert backlog.share(0, 4) == float("inf")
    backlog.fill(20)
    assert backlog.share(2, 4) == 3


def test_what_a_lost_worker_had_goes_first() -> None:
    backlog = Backlog(requests_of(6))
    backlog.fill(6)
    backlog.give_back(backlog.take(3, is_idle=True), LOST)
    assert keys(backlog.take(6, is_idle=True)) == "012345"


def test_a_voice_is_heard_before_it_speaks() -> None:
    backlog = Backlog([*requests_of(1, ANNA), SpeechRequest("x", "own voice")])
    backlog.fill(5)
    assert list(backlog.unheard.values()) == [ANNA]
    assert keys(backlog.take(5, is_idle=True)) == "x"
    del backlog.unheard[ANNA.digest]
    assert keys(backlog.take(5, is_idle=True)) == "0"


def test_a_voice_that_was_heard_before_speaks_at_once() -> None:
    backlog = Backlog(requests_of(1, ANNA), heard={ANNA.digest})
    backlog.fill(1)
    assert keys(backlog.take(1, is_idle=True)) == "0"


def test_suspects_are_spoken_alone_and_by_idle_workers_only() -> None:
    backlog = Backlog(requests_of(4))
    backlog.fill(4)
    for _ in range(2):
        backlog.give_back(backlog.take(2, is_idle=True), LOST)
    assert backlog.has_suspects
    assert keys(backlog.take(4, is_idle=False)) == "23"
    assert keys(backlog.take(4, is_idle=True)) == "0"
    assert keys(backlog.take(4, is_idle=True)) == "1"


def test_the_request_that_ends_every_worker_is_named_and_no_other() -> None:
    """Piece 1 kills whoever has it. Its companions die with it twice, then live."""
    backlog = Backlog(requests_of(4))
    done: set[str] = set()

    def speak() -> Iterator[str]:
        while True:
            backlog.fill(4)
            given = backlog.take(4, is_idle=True)
            if not any(request.key == "1" for request in given):
                for request in given:
                    backlog.finish(request)
                    done.add(request.key)
            else:
                yield keys(given)
                backlog.give_back(given, LOST)

    deaths = speak()
    assert [next(deaths) for _ in range(MAX_DEATHS)] == ["0123", "0123", "1"]
    with pytest.raises(EngineError, match=r"the piece 'piece 1' has ended 3 workers .*ConnectionError"):
        next(deaths)
    assert done == {"0"}


def test_losses_of_other_causes_blame_nobody() -> None:
    backlog = Backlog(requests_of(2))
    backlog.fill(2)
    for _ in range(10):
        given = backlog.take(2, is_idle=True)
        backlog.give_back(given, LOST)
        for request in backlog.take(1, is_idle=True):  # spoken the next time
            backlog.finish(request)
            backlog.give_back([request], LOST)


def test_a_voice_nobody_survives_is_named() -> None:
    backlog = Backlog(requests_of(1, ANNA))
    backlog.fill(1)
    for _ in range(MAX_DEATHS - 1):
        backlog.not_heard(ANNA.digest, LOST)
    with pytest.raises(EngineError, match="voice anna has ended 3 workers"):
        backlog.not_heard(ANNA.digest, LOST)


def test_two_requests_of_one_key_are_refused() -> None:
    backlog = Backlog([*requests_of(1), *requests_of(1)])
    with pytest.raises(ValueError, match="'0'"):
        backlog.fill(2)
