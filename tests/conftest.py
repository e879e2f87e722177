"""Options of the whole test suite, and what several rooms share; everything else lives in the conftest.py of each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several workers share the cores: one thread each, set before torch is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SHIPPED_GOLDEN_DIR = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("omnitts")
    group.addoption(
        "--golden",
        type=Path,
        default=SHIPPED_GOLDEN_DIR,
        metavar="DIR",
        help="folder with golden cases of the reference model (default: tests/golden)",
    )
    group.addoption("--golden-table", action="store_true", help="print the largest error of each golden case")


@pytest.fixture
def no_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that was stripped of the small model."""
    monkeypatch.setattr("omnitts.models.hub.bundled_folder", lambda: Path("nowhere"))
