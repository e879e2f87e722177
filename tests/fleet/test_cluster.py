"""Finding a cluster: addresses are checked in seconds, what does not answer is named. No Ray is needed for this."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import DependencyError, EngineError, UsageError
from omnitts.fleet import cluster
from omnitts.fleet.base import RAY, FleetOptions, open_fleet
from omnitts.fleet.crew import WorkerNeeds, needs_of
from omnitts.fleet.ray import workers_options


@pytest.fixture
def ray_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as looking for it goes."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def answer(listener: socket.socket, reply: bytes) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"pip install 'omnitts\[cluster\]'"):
        open_fleet(open_engine("fake"), RAY)


@pytest.mark.usefixtures("ray_installed")
@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "head:70000", "ray://head:10001"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--cluster"):
        open_fleet(open_engine("fake"), RAY, FleetOptions(address=address))


@pytest.mark.usefixtures("ray_installed")
def test_a_closed_port_is_named_at_once(listener: socket.socket) -> None:
    address = address_of(listener)
    listener.close()
    with pytest.raises(EngineError, match=rf"--cluster {address}: no Ray cluster can be reached: .*refused"):
        cluster.check_address(address)


@pytest.mark.usefixtures("ray_installed")
def test_a_port_where_nobody_answers_is_given_up_in_time(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PROBE_TIMEOUT_S", 0.1)
    started_s = time.monotonic()
    with pytest.raises(EngineError, match="no answer within"):
        cluster.check_address(address_of(listener))
    assert time.monotonic() - started_s < 2


@pytest.mark.usefixtures("ray_installed")
def test_another_server_is_not_taken_for_ray(listener: socket.socket) -> None:
    answer(listener, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(EngineError, match="something else than Ray"):
        cluster.check_address(address_of(listener))


@pytest.mark.usefixtures("ray_installed")
def test_a_server_that_speaks_http2_is_let_through(listener: socket.socket) -> None:
    answer(listener, bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + b"settings")
    cluster.check_address(address_of(listener))


def test_a_noted_cluster_that_is_gone_is_not_used(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert cluster.running_address() is None
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address_of(listener))
    answer(listener, bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    assert cluster.running_address() == address_of(listener)
    listener.close()
    assert cluster.running_address() is None


def test_workers_take_a_gpu_each_where_the_engine_has_use_for_one() -> None:
    nodes = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}]
    assert needs_of("mgm-omni", EngineOptions(), None, nodes) == WorkerNeeds(1, 1)
    assert needs_of("mgm-omni", EngineOptions(device="cpu"), None, nodes) == WorkerNeeds(0, 8)
    assert needs_of("mgm-omni", EngineOptions(), None, [{"CPU": 4.0}]) == WorkerNeeds(0, 4)
    assert needs_of("mgm-omni", EngineOptions(), 2, [{"CPU": 4.0}]) == WorkerNeeds(0, 2)
    assert needs_of("draft", EngineOptions(), None, nodes) == WorkerNeeds(0, 1)
    with pytest.raises(EngineError, match="no machine of the cluster has a GPU"):
        needs_of("mgm-omni", EngineOptions(device="cuda"), None, [{"CPU": 4.0}])


def test_workers_open_the_engine_from_their_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    options = workers_options(EngineOptions(model="checkpoint", device="cuda:1", batch=3))
    assert options == EngineOptions(model=str(tmp_path / "checkpoint"), device="cuda", batch=3)
    assert workers_options(EngineOptions(model="2b")).model == "2b"
