"""The Ray fleet on two nodes: the clips of one process, nothing lost with a worker, errors as they are, clean ends."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitts.audio import Waveform, save
from omnitts.engines.base import Engine, SpeechRequest
from omnitts.engines.fake import FakeEngine
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import EngineError
from omnitts.fleet import crew
from omnitts.fleet.base import RAY, Fleet, FleetOptions, open_fleet
from omnitts.fleet.ray import RayFleet
from omnitts.types import Voice
from tests.fleet.conftest import is_alive

pytestmark = pytest.mark.cluster

SLOW = EngineOptions(batch=2, extra={"delay_s": 0.05, "raise_on": "BOOM"})


def fleet_on(cluster: Any, name: str = "fake", options: EngineOptions = SLOW, engine: Engine | None = None) -> RayFleet:
    fleet = open_fleet(engine or open_engine(name, options), RAY, FleetOptions(options, cluster.address))
    assert isinstance(fleet, RayFleet)
    return fleet


def requests_of(count: int, voice: Voice | None = None) -> list[SpeechRequest]:
    return [SpeechRequest(str(idx), f"piece number {idx}", voice) for idx in range(count)]


def samples_of(speaker: Engine | Fleet, requests: list[SpeechRequest]) -> dict[str, bytes]:
    return {speech.key: speech.waveform.samples.tobytes() for speech in speaker.speak(requests)}


def wait_until_dead(pids: list[int]) -> None:
    deadline_s = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline_s, "a worker outlives its fleet"
        time.sleep(0.05)


def test_two_nodes_speak_as_one_process_does(two_nodes: Any, tmp_path: Path) -> None:
    recording = tmp_path / "anna.wav"
    save(Waveform(np.zeros(2400, np.float32), 24_000), recording)
    anna = Voice("anna", recording, digest=hashlib.sha256(b"anna").hexdigest())
    requests = [*requests_of(20, anna), *(SpeechRequest(f"own {idx}", f"own {idx}", seed=idx) for idx in range(20))]
    with fleet_on(two_nodes) as fleet:
        assert isinstance(fleet, Fleet)
        fleet.prepare([anna])
        spoken = samples_of(fleet, requests)
        assert len(fleet.workers) == 2
        assert (fleet.name, fleet.revision) == ("fake", FakeEngine.revision)
    assert spoken == samples_of(open_engine("fake"), requests)
    [copy] = Path(os.environ["OMNITTS_HOME"]).glob("cache/cluster_voices/*/anna.wav")
    assert copy.read_bytes() == recording.read_bytes()


def test_the_draft_narrator_too(two_nodes: Any) -> None:
    requests = [
        SpeechRequest(str(idx), text, seed=idx) for idx, text in enumerate(["One fox.", "A crow sang.", "Why?"])
    ]
    with fleet_on(two_nodes, "draft", EngineOptions()) as fleet:
        assert samples_of(fleet, requests) == samples_of(open_engine("draft"), requests)


def test_a_worker_killed_in_the_middle_loses_nothing(two_nodes: Any, caplog: pytest.LogCaptureFixture) -> None:
    requests = requests_of(60)
    spoken: dict[str, bytes] = {}
    with fleet_on(two_nodes) as fleet, caplog.at_level(logging.WARNING, "omnitts"):
        for speech in fleet.speak(requests):
            assert speech.key not in spoken, "spoken twice"
            spoken[speech.key] = speech.waveform.samples.tobytes()
            if len(spoken) in (10, 30):
                os.kill(fleet.workers[0][1], signal.SIGKILL)
    assert spoken == samples_of(open_engine("fake"), requests)
    assert "is lost" in caplog.text


def test_requests_are_pulled_a_bounded_number_ahead(two_nodes: Any) -> None:
    pulled = 0

    def requests() -> Iterator[SpeechRequest]:
        nonlocal pulled
        for pulled, request in enumerate(requests_of(1000)):  # noqa: B007 - counted outside
            yield request

    with fleet_on(two_nodes) as fleet:
        speeches = fleet.speak(requests())
        for _ in range(5):
            next(speeches)
        assert pulled < 30
        speeches.close()  # type: ignore[attr-defined]


def test_an_engines_error_is_raised_as_it_is_and_not_tried_again(
    two_nodes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [SpeechRequest("boom", "BOOM"), *requests_of(10)]
    with fleet_on(two_nodes) as fleet, caplog.at_level(logging.WARNING, "omnitts"):
        with pytest.raises(EngineError) as raised:
            list(fleet.speak(requests))
        assert (raised.value.what, raised.value.where) == ("the fake engine was told to fail", "boom")
        assert type(raised.value) is EngineError
        assert "is lost" not in caplog.text
        assert len(list(fleet.speak(requests_of(3)))) == 3  # the fleet itself is well


def test_another_revision_is_refused_by_name(two_nodes: Any) -> None:
    class Newer(FakeEngine):
        revision = "fake-2"

    with (
        fleet_on(two_nodes, engine=Newer(SLOW)) as fleet,
        pytest.raises(EngineError, match=r"machine .*its engine fake is fake-1, here it is fake-2"),
    ):
        list(fleet.speak(requests_of(2)))


def test_a_machine_without_omnitts_is_told(two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers cannot import where their class comes from: here a module that only the driver has."""
    (tmp_path / "only_here.py").write_text("class Worker:\n    def greet(self, *given): ...\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        module = importlib.import_module("only_here")
    monkeypatch.setattr(crew, "Worker", module.Worker)
    with fleet_on(two_nodes) as fleet, pytest.raises(EngineError, match=r"a worker cannot start: .*only_here"):
        list(fleet.speak(requests_of(2)))


def test_leaving_by_an_interrupt_ends_the_workers_and_leaves_the_cluster(two_nodes: Any) -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with fleet_on(two_nodes) as fleet:
            for _ in fleet.speak(requests_of(10_000)):
                if len(fleet.workers) == 2:
                    pids.extend(pid for _, pid in fleet.workers)
                    raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    wait_until_dead(pids)
    assert len(pids) == 2
    assert signal.getsignal(signal.SIGTERM) is handler
    assert two_nodes.remaining_processes_alive()


def test_a_lost_machine_loses_nothing(two_nodes: Any) -> None:
    extra = two_nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
    requests = requests_of(60)
    spoken: dict[str, bytes] = {}
    with fleet_on(two_nodes) as fleet:
        for speech in fleet.speak(requests):
            spoken[speech.key] = speech.waveform.samples.tobytes()
            if extra is not None and len(fleet.workers) == 3:
                two_nodes.remove_node(extra, allow_graceful=False)
                extra = None
    assert extra is None, "the third machine never had a worker"
    assert spoken == samples_of(open_engine("fake"), requests)


def test_narrate_on_a_cluster_of_its_own_writes_the_same_file(tmp_path: Path) -> None:
    """From the command line: JSON lines alone on standard output, nothing left in the temporary or the home folder."""
    text = "\n\n".join(f"Paragraph {idx} tells of a lighthouse. It was dark. The sea was calm." for idx in range(12))
    book = tmp_path / "book.txt"
    book.write_text("# One\n\n" + text, encoding="utf-8")
    scratch = Path(tempfile.mkdtemp(prefix="omt-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment.update(TMPDIR=str(scratch), HOME=str(tmp_path), OMNITTS_HOME=str(tmp_path / "home"))

    def narrate(out: str, *more: str) -> bytes:
        command = [sys.executable, "-m", "omnitts.cli.app", "narrate", str(book), "--engine", "fake", "--no-check"]
        done = subprocess.run(
            [*command, "--json", "-o", str(tmp_path / out), *more], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        assert [json.loads(line) for line in done.stdout.splitlines()][-1]["event"] == "finished"
        return (tmp_path / out).read_bytes()

    try:
        assert narrate("cluster.wav", "--cluster", "auto") == narrate("here.wav")
        assert not list(scratch.glob("*ray*"))
        assert not (tmp_path / ".ray").exists()
    finally:
        for file in scratch.iterdir():
            file.unlink()
        scratch.rmdir()
