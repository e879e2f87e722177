"""The flow's layers as a CPU multiplies bf16 fastest: weights laid out once, and what can be one product is one.

In: a flow with its weights. Out: the same flow with packed layers in place of its plain ones, for inference on the CPU.
The plain twins are those of estimator.py and layers.py; both agree up to bf16's rounding
(``tests/models/codec/test_packed_flow.py``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.estimator import Attention, GeluProjection
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.layers import CausalConv, Linear, PointConv, attend
from omnitts.models.packed_linear import PackedLinear, can_pack, replace_layers


def pack_flow(flow: Flow) -> None:
    """Lays the weights of encoder and estimator out for this CPU, for good; leaves them where it cannot."""
    weight = flow.encoder_proj.weight
    if can_pack(weight.dtype, weight.device):
        replace_layers(flow, _packed)


class PackedAttention(nn.Module):
    """`Attention` whose queries, keys and values are one product."""

    def __init__(self, plain: Attention) -> None:
        super().__init__()
        self.num_heads = plain.num_heads
        self.to_qkv = PackedLinear(torch.cat([plain.to_q.weight, plain.to_k.weight, plain.to_v.weight]))
        self.to_out = _packed_linear(plain.to_out[0])

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        heads = self.to_qkv(hidden).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, H, Dh)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, Dh)
        mixed: Tensor = self.to_out(attend(query, key, value, mask))
        return mixed


class PackedCausalConv(nn.Module):
    """`CausalConv` as one product: what a frame is made of lies side by side in memory, a view of overlapping rows."""

    def __init__(self, plain: CausalConv) -> None:
        super().__init__()
        self._reach = plain.kernel_size[0]
        self._product = PackedLinear(plain.weight.transpose(1, 2).flatten(1), plain.bias)  # (O, k * C)

    def forward(self, hidden: Tensor) -> Tensor:
        padded = F.pad(hidden, (0, 0, self._reach - 1, 0))
        windows = padded.unfold(1, self._reach, 1).transpose(2, 3).flatten(2)  # (B, T, k * C)
        convolved: Tensor = self._product(windows)
        return convolved


def _packed(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, Attention):
        return PackedAttention(layer)
    if isinstance(layer, GeluProjection):
        return _packed_linear(layer.proj, then="gelu")
    if isinstance(layer, Linear):
        return _packed_linear(layer)
    if isinstance(layer, PointConv):
        return PackedLinear(layer.weight.squeeze(-1), layer.bias)
    return PackedCausalConv(layer) if isinstance(layer, CausalConv) else None


def _packed_linear(layer: nn.Module, then: str = "none") -> PackedLinear:
    assert isinstance(layer, nn.Linear)
    return PackedLinear(layer.weight, layer.bias, then)
