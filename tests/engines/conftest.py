"""Voices and requests that the engine tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitts.types import Voice


@pytest.fixture
def anna() -> Voice:
    return Voice("anna", Path("anna.wav"), digest="a" * 64)


@pytest.fixture
def bert() -> Voice:
    return Voice("bert", Path("bert.wav"), digest="b" * 64)
