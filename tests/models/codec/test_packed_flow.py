"""The packed flow against its plain twin."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from omnitts.models.codec.estimator import Attention
from omnitts.models.codec.layers import CausalConv, Linear, PointConv
from omnitts.models.codec.loading import Codec, load_codec
from omnitts.models.codec.packed_flow import PackedAttention, PackedCausalConv, pack_flow
from omnitts.models.packed_linear import can_pack
from tests.models.codec.conftest import random_prompt, random_tokens

pytestmark = pytest.mark.skipif(
    not can_pack(torch.bfloat16, "cpu"), reason="this processor multiplies no packed bf16 weights"
)


@pytest.mark.parametrize("width", [1, 2, 50])
@torch.inference_mode()
def test_a_packed_convolution_sees_the_past_only(width: int) -> None:
    torch.manual_seed(0)
    plain, hidden = CausalConv(24, 16, 3).bfloat16(), torch.randn(2, width, 24).bfloat16()
    packed = PackedCausalConv(plain)
    assert torch.allclose(packed(hidden), plain(hidden), atol=0.02)
    changed = hidden.clone()
    changed[:, -1] += 1.0
    assert torch.equal(packed(changed)[:, :-1], packed(hidden)[:, :-1])
    assert not torch.equal(packed(changed)[:, -1], packed(hidden)[:, -1])


@pytest.mark.parametrize("is_padded", [False, True])
@torch.inference_mode()
def test_packed_attention_is_the_plain_one(is_padded: bool) -> None:
    torch.manual_seed(0)
    plain, hidden = Attention(32, 4, 8).bfloat16(), torch.randn(2, 30, 32).bfloat16()
    mask = (torch.arange(30) < 20).expand(2, 1, 1, 30) if is_padded else None
    assert torch.allclose(PackedAttention(plain)(hidden, mask), plain(hidden, mask), atol=0.01)


def test_a_packed_flow_says_what_the_plain_one_says(codec: Codec) -> None:
    """As near to fp32 as the plain bf16 flow is; rows of several lengths, whole and streaming."""
    flow = codec.detokenizer.flow
    plain = copy.deepcopy(flow).bfloat16()
    packed = copy.deepcopy(plain)
    pack_flow(packed)
    tokens, prompts = [random_tokens(40, 4), random_tokens(9, 6)], [random_prompt(12, 3), random_prompt(7, 5)]
    for streaming in (False, True):
        exact, near, nearest = (one(tokens, prompts, streaming=streaming) for one in (flow, plain, packed))
        for row in range(2):
            assert (nearest[row] - exact[row]).abs().mean() < 0.03
            assert (nearest[row] - near[row]).abs().mean() < 0.03


def test_a_codec_in_bf16_is_opened_packed_and_one_in_fp32_plain(codec_folder: Path) -> None:
    def plain_layers(dtype: torch.dtype) -> list[torch.nn.Module]:
        flow = load_codec(codec_folder, dtype=dtype).detokenizer.flow
        return [layer for layer in flow.modules() if isinstance(layer, (Attention, CausalConv, Linear, PointConv))]

    assert plain_layers(torch.float32)
    assert not plain_layers(torch.bfloat16)
