"""Matrix products of the flow, arranged so that the CPU does them fast: linear maps, causal convolutions, attention.

In and out: (B, T, C) frames. Results agree with ``nn.Linear``, ``nn.Conv1d`` and ``scaled_dot_product_attention`` up
to the order of additions (``tests/models/codec/test_layers.py``). Why they exist: for float32, torch hands
``F.linear`` and its CPU attention to a BLAS that on many processors uses half of their vector width, but convolutions
to oneDNN, which uses all of it (seen: 200 against 400 GFLOP/s); and for bfloat16 its CPU attention computes in
float32.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HAS_ONEDNN: Final = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
_QUERIES_AT_ONCE: Final = 256
"""Scores are computed for so many queries at a time: they stay in the cache, and memory stays flat for long rows."""


class Linear(nn.Linear):
    """``nn.Linear`` over (B, T, C)."""

    def forward(self, hidden: Tensor) -> Tensor:
        return frames_linear(hidden, self.weight, self.bias)


class PointConv(nn.Conv1d):
    """Convolution of kernel 1 over (B, T, C): a linear map stored as a convolution."""

    def forward(self, hidden: Tensor) -> Tensor:
        return frames_linear(hidden, self.weight.squeeze(-1), self.bias)


class CausalConv(nn.Conv1d):
    """Convolution over the time of (B, T, C) that sees the present and the past only."""

    def forward(self, hidden: Tensor) -> Tensor:
        padded = F.pad(hidden, (0, 0, self.kernel_size[0] - 1, 0))
        return _frames_conv(padded, self.weight.unsqueeze(2), self.bias)


class WideConv(nn.Conv1d):
    """``nn.Conv1d`` over (B, C, T) that on a CPU keeps the channels of a moment together in memory.

    oneDNN is half as fast again on that layout. What it returns has it too, and elementwise operations keep it: bring
    a tensor into it once with `channels_together`.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        if not _wants_onednn(hidden):
            return super().forward(hidden)
        assert not isinstance(self.padding, str), "a padding in frames"
        image = F.conv2d(
            hidden.unsqueeze(2),
            self.weight.unsqueeze(2),
            self.bias,
            padding=(0, self.padding[0]),
            dilation=(1, self.dilation[0]),
        )
        return image.squeeze(2)


def channels_together(hidden: Tensor) -> Tensor:
    """The same (B, C, T), laid out in memory as (B, T, C) where `WideConv` wants it so."""
    return hidden.transpose(1, 2).contiguous().transpose(1, 2) if _wants_onednn(hidden) else hidden


def frames_linear(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(B, T, C) @ (O, C).T + (O,) -> (B, T, O)"""
    if _wants_onednn(hidden):
        return _frames_conv(hidden, weight[:, :, None, None], bias)
    return F.linear(hidden, weight, bias)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention over (B, H, T, Dh) with mask (B or 1, 1, T or 1, T), True where visible -> (B, T, H * Dh)."""
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        mixed = _attend_in_slices(query, key, value, mask)
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


def _attend_in_slices(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    query = query * query.shape[-1] ** -0.5
    key, value = key.contiguous().transpose(2, 3), value.contiguous()  # (B, H, Dh, T), (B, H, T, Dh)
    mixed = []
    for start in range(0, query.shape[2], _QUERIES_AT_ONCE):
        rows = slice(start, start + _QUERIES_AT_ONCE)
        scores = query[:, :, rows] @ key  # (B, H, n, T)
        if mask is not None:
            scores = scores.masked_fill(~(mask if mask.shape[2] == 1 else mask[:, :, rows]), float("-inf"))
        mixed.append(scores.softmax(-1) @ value)
    return torch.cat(mixed, dim=2)


def _frames_conv(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(B, T, C) by (O, C, 1, k) -> (B, T - k + 1, O): as an image of height 1, channels last, so nothing is copied."""
    image = hidden.unsqueeze(1).permute(0, 3, 1, 2)  # (B, C, 1, T)
    return F.conv2d(image, weight, bias).permute(0, 2, 3, 1).squeeze(1)


def _wants_onednn(hidden: Tensor) -> bool:
    return hidden.device.type == "cpu" and hidden.dtype == torch.float32 and _HAS_ONEDNN
