"""What is tried once is remembered; what cannot be packed is not tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from omnitts.engines import tuning
from omnitts.models.packed_linear import can_pack

CPU = torch.device("cpu")
needs_packing = pytest.mark.skipif(
    not can_pack(torch.bfloat16, "cpu"), reason="this processor multiplies no packed bf16 weights"
)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))


@needs_packing
@pytest.mark.parametrize(("seconds", "packed"), [((2.0, 1.0), True), ((1.0, 2.0), False)])
def test_the_faster_one_is_taken_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], packed: bool
) -> None:
    monkeypatch.setattr(tuning, "_try", lambda *_: seconds)
    assert tuning.packing_is_faster(64, 8, torch.bfloat16, CPU) is packed
    monkeypatch.setattr(tuning, "_try", lambda *_: pytest.fail("tried again"))
    assert tuning.packing_is_faster(64, 8, torch.bfloat16, CPU) is packed
    [file] = tmp_path.rglob("tuning/*.json")
    assert json.loads(file.read_text())["packed"] is packed


@needs_packing
def test_a_damaged_answer_is_found_again_and_sizes_are_apart(tmp_path: Path) -> None:
    tuning.packing_is_faster(64, 8, torch.bfloat16, CPU)
    [file] = tmp_path.rglob("tuning/*.json")
    file.write_text("[]")
    tuning.packing_is_faster(64, 8, torch.bfloat16, CPU)
    assert set(json.loads(file.read_text())) == {"packed", "plain_s", "packed_s"}
    tuning.packing_is_faster(64, 1, torch.bfloat16, CPU)
    assert len(list(tmp_path.rglob("tuning/*.json"))) == 2


def test_full_precision_stays_plain(tmp_path: Path) -> None:
    assert not tuning.packing_is_faster(64, 8, torch.float32, CPU)
    assert not list(tmp_path.rglob("tuning/*.json"))
