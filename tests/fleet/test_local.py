"""The local fleet: all requests answered, work beside the caller, bounded ahead, errors surfaced, clean stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from omnitts.audio import silence
from omnitts.engines.base import Capabilities, Speech, SpeechRequest
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import EngineError, UsageError, VoiceError
from omnitts.fleet import local
from omnitts.fleet.base import Fleet, open_fleet
from omnitts.fleet.local import LocalFleet
from omnitts.types import Voice


def requests_of(count: int, word: str = "hello") -> list[SpeechRequest]:
    return [SpeechRequest(str(idx), f"{word} {idx}") for idx in range(count)]


def engine_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("engine ")]


class Hoarder:
    """An engine that wants all its requests before it speaks one, like a large batch."""

    name = revision = description = "hoarder"
    capabilities = Capabilities(clones=False, sample_rate=8000)

    def prepare(self, voice: Voice | None) -> None: ...

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        for request in list(requests):
            yield Speech(request.key, silence(0.01, 8000))

    def close(self) -> None: ...


def test_every_request_is_answered_as_the_engine_alone_would() -> None:
    requests = requests_of(40)
    engine = open_engine("fake")
    alone = {speech.key: speech.waveform.samples for speech in engine.speak(requests)}
    with open_fleet(engine) as fleet:
        assert isinstance(fleet, Fleet)
        assert (fleet.name, fleet.revision) == (engine.name, engine.revision)
        assert fleet.capabilities == engine.capabilities
        spoken = {speech.key: speech.waveform.samples for speech in fleet.speak(requests)}
    assert spoken.keys() == alone.keys()
    assert all(np.array_equal(spoken[key], alone[key]) for key in alone)
    assert not engine_threads()


def test_no_requests() -> None:
    with open_fleet(open_engine("fake")) as fleet:
        assert list(fleet.speak([])) == []


def test_a_fleet_speaks_again_after_it_has_spoken() -> None:
    with open_fleet(open_engine("fake")) as fleet:
        for _ in range(3):
            assert len(list(fleet.speak(requests_of(5)))) == 5


def test_an_engine_that_pulls_everything_first_is_fed() -> None:
    with LocalFleet(Hoarder(), ahead=2) as fleet:
        assert len(list(fleet.speak(requests_of(50)))) == 50


def test_the_caller_works_beside_the_engine() -> None:
    """Twelve results, 20 ms to make and 20 ms to look at: in turn 480 ms, side by side about 260."""
    with open_fleet(open_engine("fake", EngineOptions(extra={"delay_s": 0.02}))) as fleet:
        list(fleet.speak(requests_of(1)))
        started_s = time.perf_counter()
        for _ in fleet.speak(requests_of(12)):
            time.sleep(0.02)
        assert time.perf_counter() - started_s < 0.42


def test_requests_are_pulled_by_the_callers_thread_a_bounded_number_ahead() -> None:
    pulled: list[str] = []

    def requests() -> Iterator[SpeechRequest]:
        for request in requests_of(100):
            pulled.append(threading.current_thread().name)
            yield request

    with LocalFleet(open_engine("fake"), ahead=3) as fleet:
        speeches = fleet.speak(requests())
        next(speeches)
        time.sleep(0.1)
        assert len(pulled) < 12
        assert set(pulled) == {threading.current_thread().name}
        speeches.close()


def test_results_before_an_error_arrive_then_the_error_itself() -> None:
    requests = [*requests_of(3), SpeechRequest("boom", "BOOM"), *requests_of(3)]
    with open_fleet(open_engine("fake", EngineOptions(extra={"raise_on": "BOOM"}))) as fleet:
        speeches = fleet.speak(requests)
        assert [next(speeches).key for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(EngineError, match="boom: the fake engine was told to fail"):
            next(speeches)
        assert len(list(fleet.speak(requests_of(2)))) == 2
    assert not engine_threads()


def test_an_error_in_the_requests_is_raised_and_stops_the_engine() -> None:
    def requests() -> Iterator[SpeechRequest]:
        yield from requests_of(30)
        raise RuntimeError("the plan broke")

    with LocalFleet(open_engine("fake"), ahead=2) as fleet, pytest.raises(RuntimeError, match="the plan broke"):
        list(fleet.speak(requests()))
    assert not engine_threads()


def test_leaving_by_an_interrupt_stops_the_engine_at_once() -> None:
    def interrupted() -> None:
        with open_fleet(open_engine("fake", EngineOptions(extra={"delay_s": 0.01}))) as fleet:
            for speech in fleet.speak(requests_of(10_000)):
                if speech.key == "2":
                    raise KeyboardInterrupt

    started_s = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.perf_counter() - started_s < 2
    assert not engine_threads()


def test_an_engine_stuck_in_a_long_step_does_not_hang_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Stuck(Hoarder):
        def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
            for request in requests:
                yield Speech(request.key, silence(0.01, 8000))
                release.wait(10)

    monkeypatch.setattr(local, "STOP_TIMEOUT_S", 0.05)
    fleet = LocalFleet(Stuck(), ahead=1)
    speeches = fleet.speak(requests_of(5))
    next(speeches)
    started_s = time.perf_counter()
    speeches.close()
    assert time.perf_counter() - started_s < 1
    with pytest.raises(EngineError, match="still busy"):
        next(fleet.speak(requests_of(1)))
    release.set()
    monkeypatch.setattr(local, "STOP_TIMEOUT_S", 5.0)
    fleet.close()
    assert not engine_threads()


def test_voices_are_prepared_or_refused() -> None:
    with open_fleet(open_engine("draft")) as fleet, pytest.raises(VoiceError):
        fleet.prepare([Voice("anna", Path("anna.wav"), digest="a")])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="no fleet is called 'moon'"):
        open_fleet(open_engine("fake"), "moon")
