"""A worker without its cluster: the engine batches across calls, errors come after results, machines are named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import omnitts
from omnitts.audio import silence
from omnitts.engines.base import Capabilities, Speech, SpeechRequest
from omnitts.engines.fake import FakeEngine
from omnitts.engines.registry import EngineOptions
from omnitts.errors import EngineError, UsageError, VoiceError
from omnitts.fleet import worker as worker_module
from omnitts.fleet.parcel import pack
from omnitts.fleet.worker import Worker
from omnitts.types import Voice


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def greeted(options: EngineOptions | None = None) -> Worker:
    worker = Worker()
    assert worker.greet("fake", options or EngineOptions()).error is None
    return worker


def requests_of(*texts: str, voice: Voice | None = None) -> list[SpeechRequest]:
    return [SpeechRequest(text, text, voice) for text in texts]


def everything(worker: Worker, requests: list[SpeechRequest]) -> list[str]:
    keys = [speech.key for speech in worker.exchange(requests, is_last=True)]
    while len(keys) < len(requests):
        keys += [speech.key for speech in worker.exchange([], is_last=True)]
    return keys


def test_a_greeting_says_who_and_what() -> None:
    greeting = Worker().greet("fake", EngineOptions(batch=5))
    assert (greeting.pid, greeting.version) == (os.getpid(), omnitts.__version__)
    assert (greeting.revision, greeting.max_batch) == (FakeEngine.revision, 5)
    assert greeting.host


def test_an_engine_that_cannot_open_is_told_in_the_greeting() -> None:
    greeting = Worker().greet("fake", EngineOptions(extra={"pitch": 1.0}))
    assert isinstance(greeting.error, UsageError)
    assert greeting.host


def test_call_after_call() -> None:
    worker = greeted()
    assert everything(worker, requests_of("a", "b", "c")) == ["a", "b", "c"]
    assert everything(worker, requests_of("d")) == ["d"]
    assert worker.exchange([], is_last=True) == []


def test_the_engine_batches_across_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It wants four requests before it speaks: two come with each call."""

    class Four:
        name = revision = description = "four"
        capabilities = Capabilities(clones=False, sample_rate=8000, max_batch=4)

        def prepare(self, voice: Voice | None) -> None: ...

        def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
            for request in list(requests):
                yield Speech(request.key, silence(0.01, 8000))

        def close(self) -> None: ...

    monkeypatch.setattr(worker_module, "open_engine", lambda name, options: Four())
    monkeypatch.setattr(worker_module, "WAIT_S", 0.05)
    worker = Worker()
    worker.greet("four", EngineOptions())
    assert worker.exchange(requests_of("a", "b"), is_last=False) == []
    assert worker.exchange([], is_last=False) == []
    keys = [speech.key for speech in worker.exchange(requests_of("c", "d"), is_last=True)]
    deadline_s = time.monotonic() + 5
    while len(keys) < 4 and time.monotonic() < deadline_s:
        keys += [speech.key for speech in worker.exchange([], is_last=True)]
    assert keys == ["a", "b", "c", "d"]


def test_results_before_an_error_then_the_error_itself() -> None:
    worker = greeted(EngineOptions(extra={"raise_on": "BOOM", "delay_s": 0.01}))
    keys = [speech.key for speech in worker.exchange(requests_of("a", "b", "BOOM", "c"), is_last=True)]
    with pytest.raises(EngineError, match="BOOM: the fake engine was told to fail"):  # noqa: PT012
        while True:
            keys += [speech.key for speech in worker.exchange([], is_last=True)]
    assert keys == ["a", "b"]


def test_voices_come_as_parcels_and_live_in_the_workers_cache(tmp_path: Path, home: Path) -> None:
    recording = tmp_path / "anna.wav"
    recording.write_bytes(b"RIFF and so on")
    anna = Voice("anna", recording, digest="a" * 64)
    worker = greeted()
    heard = worker.hear(pack(anna))
    assert heard is not None
    assert (heard.voice, heard.prompts) == (anna, {})
    recording.unlink()  # another machine would not have it
    assert everything(worker, requests_of("x", voice=anna)) == ["x"]
    [copy] = home.glob("cache/cluster_voices/*/anna.wav")
    assert copy.read_bytes() == b"RIFF and so on"


def test_an_engine_refuses_a_voice_as_it_would_at_home(tmp_path: Path) -> None:
    recording = tmp_path / "anna.wav"
    recording.write_bytes(b"RIFF")
    worker = Worker()
    worker.greet("draft", EngineOptions())
    with pytest.raises(VoiceError, match="cannot clone a voice"):
        worker.hear(pack(Voice("anna", recording, digest="a" * 64)))
