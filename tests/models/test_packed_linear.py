"""Packed layers against plain ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from omnitts.models.linear_layout import Layout, lay_out
from omnitts.models.packed_linear import PackedLinear, can_pack

needs_packing = pytest.mark.skipif(
    not can_pack(torch.bfloat16, "cpu"), reason="this processor multiplies no packed bf16 weights"
)


def test_fp32_and_other_devices_stay_plain() -> None:
    assert not can_pack(torch.float32, "cpu")
    assert not can_pack(torch.bfloat16, "cuda")


@needs_packing
@pytest.mark.parametrize("shape", [(1, 1, 64), (7, 64), (2, 150, 64)])
@torch.inference_mode()
def test_a_packed_module_agrees_with_the_plain_one(shape: tuple[int, ...]) -> None:
    """Within bf16's rounding of each layer's output (0.4 % of its size, twice)."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 96), nn.Sequential(nn.GELU(), nn.Linear(96, 32, bias=False))).bfloat16()
    packed = copy.deepcopy(plain)
    lay_out(packed, Layout.PACKED)
    assert isinstance(packed[0], PackedLinear)
    assert not packed.state_dict(), "the plain weights are gone"
    inputs = torch.randn(shape).bfloat16()
    want = plain(inputs)
    assert torch.allclose(packed(inputs), want, atol=0.01 * want.abs().max().item())


@needs_packing
@torch.inference_mode()
def test_gelu_within_the_product_is_gelu_after_it() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(64, 96).bfloat16(), torch.randn(2, 50, 64).bfloat16()
    want = nn.functional.gelu(layer(inputs))
    assert torch.allclose(PackedLinear(layer.weight, layer.bias, "gelu")(inputs), want, atol=0.01 * want.abs().max())
