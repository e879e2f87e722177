"""A Ray cluster of two nodes in processes of their own, for the tests that are marked `cluster`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs the package ray (pip install 'omnitts[cluster]')")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("ray") is None:
        for item in items:
            if item.get_closest_marker("cluster"):
                item.add_marker(pytest.mark.skip(reason="ray is not installed: pip install 'omnitts[cluster]'"))


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` of two nodes with one core each; its address is ``two_nodes.address``."""
    folder = Path(tempfile.mkdtemp(prefix="omnitts-t-"))  # sockets lie in it: pytest's own paths are too long
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_TMPDIR", str(folder))
    for name, value in SETTINGS.items():
        patch.setenv(name, value)
    patch.setenv("OMNITTS_HOME", str(folder / "home"))  # the workers' home: they share no cache with the tests
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        yield cluster
    finally:
        cluster.shutdown()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
