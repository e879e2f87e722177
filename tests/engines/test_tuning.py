"""What is tried once is remembered; what cannot be packed is not tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omnitts.engines import tuning
from omnitts.models.linear_layout import Layout
from omnitts.models.packed_linear import can_pack

CPU = torch.device("cpu")
needs_packing = pytest.mark.skipif(
    not can_pack(torch.bfloat16, "cpu"), reason="this processor multiplies no packed bf16 weights"
)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))


@needs_packing
@pytest.mark.parametrize(("seconds", "fastest"), [((2.0, 1.0), Layout.PACKED), ((1.0, 2.0), Layout.PLAIN)])
def test_the_faster_one_is_taken_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], fastest: Layout
) -> None:
    monkeypatch.setattr(tuning, "_try", lambda *_: seconds)
    assert tuning.fastest_layout(64, 8, torch.bfloat16, CPU) is fastest
    monkeypatch.setattr(tuning, "_try", lambda *_: pytest.fail("tried again"))
    assert tuning.fastest_layout(64, 8, torch.bfloat16, CPU) is fastest
    [file] = tmp_path.rglob("tuning/*.json")
    assert json.loads(file.read_text())["packed"] is (fastest is Layout.PACKED)


@needs_packing
def test_a_damaged_answer_is_found_again_and_sizes_are_apart(tmp_path: Path) -> None:
    tuning.fastest_layout(64, 8, torch.bfloat16, CPU)
    [file] = tmp_path.rglob("tuning/*.json")
    file.write_text("[]")
    tuning.fastest_layout(64, 8, torch.bfloat16, CPU)
    assert set(json.loads(file.read_text())) == {"packed", "plain_s", "packed_s"}
    tuning.fastest_layout(64, 1, torch.bfloat16, CPU)
    assert len(list(tmp_path.rglob("tuning/*.json"))) == 2


def test_full_precision_stays_plain(tmp_path: Path) -> None:
    assert tuning.fastest_layout(64, 8, torch.float32, CPU) is Layout.PLAIN
    assert not list(tmp_path.rglob("tuning/*.json"))
