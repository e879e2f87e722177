"""Widened layers against plain ones, and which layout a processor gets."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from omnitts.models import linear_layout, widened_linear
from omnitts.models.linear_layout import Layout, lay_out, multiplies_fast, usual_layout
from omnitts.models.widened_linear import WidenedLinear


@pytest.mark.parametrize(
    ("can_pack", "dtype", "device", "layout"),
    [
        (True, torch.bfloat16, "cpu", Layout.PACKED),
        (False, torch.bfloat16, "cpu", Layout.WIDENED),
        (False, torch.float16, "cpu", Layout.WIDENED),
        (False, torch.float32, "cpu", Layout.PLAIN),
        (False, torch.bfloat16, "cuda", Layout.PLAIN),
    ],
)
def test_half_precision_on_a_cpu_is_packed_or_widened(
    monkeypatch: pytest.MonkeyPatch, can_pack: bool, dtype: torch.dtype, device: str, layout: Layout
) -> None:
    monkeypatch.setattr(linear_layout, "can_pack", lambda *_: can_pack)
    assert usual_layout(dtype, device) is layout
    assert multiplies_fast(dtype, device) is (can_pack or device == "cuda")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(64,), (1, 1, 64), (2, 64), (7, 64), (2, 150, 64)])
@torch.inference_mode()
def test_a_widened_module_agrees_with_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """Against float32 with the same weights: each layer rounds once. 96 rows are several blocks and a rest."""
    monkeypatch.setattr(widened_linear, "_BLOCK", 20 * 64)
    torch.manual_seed(0)
    exact = nn.Sequential(nn.Linear(64, 96), nn.Sequential(nn.GELU(), nn.Linear(96, 32, bias=False))).to(dtype).float()
    widened = copy.deepcopy(exact).to(dtype)
    lay_out(widened, Layout.WIDENED)
    assert isinstance(widened[0], WidenedLinear)
    assert not widened.state_dict(), "the plain weights are gone"
    inputs = torch.randn(shape).to(dtype)
    want = exact(inputs.float())
    got = widened(inputs)
    assert got.shape == want.shape
    assert got.dtype == dtype
    assert torch.allclose(got.float(), want, atol=0.01 * want.abs().max().item())


@torch.inference_mode()
def test_rows_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    layer = WidenedLinear(torch.randn(96, 64).bfloat16())
    rows, others = torch.randn(8, 64).bfloat16(), torch.randn(8, 64).bfloat16()
    others[3] = rows[3]
    assert torch.equal(layer(rows)[3], layer(others)[3])
