"""A Ray cluster to work on: found on this machine, joined by address, or started here. Knows no engine and no request.

A cluster that is started here listens on the loopback interface alone, asks for a token that only its own processes
know, has no dashboard, sends no statistics and leaves no file behind. One that was running before is left running.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from omnitts.errors import DependencyError, EngineError, UsageError

logger = logging.getLogger(__name__)

AUTO: Final = "auto"
OWN: Final = "local"
FLAG: Final = "--cluster"
PROBE_TIMEOUT_S = 5.0
LONGEST_FOLDER = 40  # Ray puts sockets into it, whose paths may have 107 characters
START_HINT = "start one with `ray start --head`, see docs/cluster.md, or use --cluster local"

# HTTP/2 (RFC 9113, 3.4 and 6.5): the client's preface and an empty SETTINGS frame; a server answers with SETTINGS.
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
FRAME_HEADER_LEN, SETTINGS_FRAME = 9, 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """A joined cluster. ``ray`` is the module; ``is_joined``: it was this object that joined it, not its caller's
    program; ``folder`` holds the files of one that was started here.
    """

    ray: ModuleType
    is_joined: bool
    folder: Path | None = None

    def leave(self) -> None:
        """Leaves the cluster; stops it if it was started here."""
        if self.is_joined:
            self.ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def check_address(address: str) -> None:
    """Finds out in seconds what would fail later, without joining.

    Raises `DependencyError` without Ray, `UsageError` for what is no address, `EngineError` when nobody answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise DependencyError(
            "a cluster needs the package ray, which is not installed",
            where=FLAG,
            hint="`pip install 'omnitts[cluster]'`, on every machine of the cluster",
        )
    if address not in (AUTO, OWN):
        host, port = host_and_port(address)
        refusal = probe(host, port)
        if refusal:
            raise EngineError(f"no Ray cluster can be reached: {refusal}", where=f"{FLAG} {address}", hint=START_HINT)


def join(address: str) -> Cluster:
    """Joins the cluster of this address, or for ``auto`` the one that runs here; ``local`` and else starts one.

    A program that uses Ray already keeps its own connection. Raises `EngineError` when it cannot be joined.
    """
    if address != OWN and "ray" in sys.modules and (ray := importlib.import_module("ray")).is_initialized():
        return Cluster(ray, is_joined=False)
    if address == AUTO:
        running = running_address()
        if running is None:
            return _start()
        logger.info("using the Ray cluster at %s", running)
        # Asked for `auto`, Ray also looks for the cluster's token; asked for an address, it leaves that to the user.
        return _init(running if os.environ.get("RAY_ADDRESS") else AUTO, running)
    return _start() if address == OWN else _init(address, address)


def running_address() -> str | None:
    """Where a cluster answers that ``RAY_ADDRESS`` names or `ray start` noted on this machine."""
    noted = os.environ.get("RAY_ADDRESS", "")
    if noted:
        check_address(noted)  # named by the user: if it does not answer, that is an error
        return noted
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    try:
        noted = (Path(folder) / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip()
        refusal = probe(*host_and_port(noted))
    except (OSError, UsageError):
        return None
    if refusal:
        logger.debug("the Ray cluster noted at %s is gone: %s", noted, refusal)
    return None if refusal else noted


def host_and_port(address: str) -> tuple[str, int]:
    """``head:6379`` or ``[::1]:6379`` in parts. Raises `UsageError`."""
    if address.startswith("ray://"):
        raise UsageError(
            "ray:// addresses are for Ray Client, which cannot carry a book",
            where=f"{FLAG} {address}",
            hint="run omnitts on a machine of the cluster, with --cluster auto",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError("this is no address of a cluster", where=f"{FLAG} {address}", hint="write auto or HOST:PORT")
    return host.strip("[]"), int(port)


def probe(host: str, port: int) -> str:
    """Empty when something there speaks HTTP/2, as Ray's control service does; else why not.

    Ray itself would wait for minutes for a port that is closed, filtered, or somebody else's.
    """
    try:
        with socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "1":
                return ""
            connection.settimeout(PROBE_TIMEOUT_S)
            connection.sendall(HTTP2_HELLO)
            header = b""
            while len(header) < FRAME_HEADER_LEN and (more := connection.recv(FRAME_HEADER_LEN - len(header))):
                header += more
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if header[3:4] == bytes((SETTINGS_FRAME,)) else "something else than Ray answers there"


def _start() -> Cluster:
    """A cluster of this machine alone."""
    root = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="omnitts-ray-", dir=root if len(str(root)) < LONGEST_FOLDER else "/tmp"))
    if "ray" not in sys.modules:  # Ray reads these once
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # its name for "loopback only"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or Ray writes one into the home folder
    try:
        cluster = _init(OWN, OWN, include_dashboard=False, _temp_dir=str(folder))
    except EngineError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Cluster(cluster.ray, is_joined=True, folder=folder)


def _init(address: str, shown: str, **settings: object) -> Cluster:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # or Ray prints on standard output when a worker dies
    ray = importlib.import_module("ray")
    try:
        with _own_signals():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **settings)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise EngineError(
            f"Ray cannot be used ({_first_line(error)})",
            where=f"{FLAG} {shown}",
            hint="run omnitts on a machine of the cluster, with its versions of Python and Ray, and with "
            "RAY_AUTH_MODE=token if it asks for a token: docs/cluster.md",
        ) from error
    return Cluster(ray, is_joined=True)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes over SIGTERM when it starts; the program's own way of ending comes back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
