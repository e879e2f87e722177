"""Velocity estimator of the flow: a causal 1-D U-Net of residual and transformer blocks without resampling (spec 3.4).

In: frames (B, T, channels) with the conditions beside them, and one embedded time. Out: velocities (B, T, mel). All
convolutions look left only, so padding at the right of a row never reaches it; attention takes a mask. Key names are
the checkpoint's; the layout is frames first, so that every layer is a matrix product over the last dimension.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.config import EstimatorConfig
from omnitts.models.codec.layers import CausalConv, Linear, PointConv, attend


class CausalBlock(nn.Module):
    """Causal convolution, LayerNorm over channels, Mish."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        # Index 1 is the reference's transpose, which holds no weights.
        self.block = nn.ModuleDict({"0": CausalConv(in_channels, channels, 3), "2": nn.LayerNorm(channels)})

    def forward(self, hidden: Tensor) -> Tensor:
        return F.mish(self.block["2"](self.block["0"](hidden)))


class ResnetBlock(nn.Module):
    """Two causal blocks with the embedded time added between them, and a linear shortcut."""

    def __init__(self, in_channels: int, channels: int, time_channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_channels, channels))
        self.block1 = CausalBlock(in_channels, channels)
        self.block2 = CausalBlock(channels, channels)
        self.res_conv = PointConv(in_channels, channels, 1)

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        return self.block2(self.block1(hidden) + self.mlp(time)) + self.res_conv(hidden)


class Attention(nn.Module):
    def __init__(self, width: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        inner = num_heads * head_dim
        self.to_q = Linear(width, inner, bias=False)
        self.to_k = Linear(width, inner, bias=False)
        self.to_v = Linear(width, inner, bias=False)
        self.to_out = nn.ModuleList([Linear(inner, width)])

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            project(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, T, Dh)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        return self.to_out[0](attend(query, key, value, mask))


class GeluProjection(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = Linear(width, inner)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.gelu(self.proj(hidden))


class TransformerFeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # Index 1 is the reference's dropout.
        self.net = nn.ModuleDict({"0": GeluProjection(width, 4 * width), "2": Linear(4 * width, width)})

    def forward(self, hidden: Tensor) -> Tensor:
        return self.net["2"](self.net["0"](hidden))


class TransformerBlock(nn.Module):
    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.channels)
        self.attn1 = Attention(config.channels, config.num_heads, config.head_dim)
        self.norm3 = nn.LayerNorm(config.channels)
        self.ff = TransformerFeedForward(config.channels)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = hidden + self.attn1(self.norm1(hidden), mask)
        return hidden + self.ff(self.norm3(hidden))


class TimeEmbedding(nn.Module):
    """A time in [0, 1] as sinusoids of 1000 t, through two linear layers."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.linear_1 = nn.Linear(in_channels, channels)
        self.linear_2 = nn.Linear(channels, channels)

    def forward(self, times: Tensor) -> Tensor:
        """(S,) float32 -> (S, channels)"""
        half = self.in_channels // 2
        exponent = torch.arange(half, device=times.device).float() * (-math.log(10_000.0) / (half - 1))
        angle = 1000.0 * times[:, None] * exponent.exp()
        sinusoids = torch.cat((angle.sin(), angle.cos()), dim=-1)
        return self.linear_2(F.silu(self.linear_1(sinusoids.to(self.linear_1.weight.dtype))))


class Estimator(nn.Module):
    """The velocity of every mel frame at one time of the flow."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.config = config
        C, T = config.channels, 4 * config.channels
        self.time_mlp = TimeEmbedding(config.in_channels, T)
        self.down_blocks = nn.ModuleList([_stage(config, config.in_channels, T, CausalConv(C, C, 3))])
        self.mid_blocks = nn.ModuleList(_stage(config, C, T) for _ in range(config.num_mid_blocks))
        self.up_blocks = nn.ModuleList([_stage(config, 2 * C, T, CausalConv(C, C, 3))])
        self.final_block = CausalBlock(C, C)
        self.final_proj = PointConv(C, config.out_channels, 1)

    def forward(self, frames: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, in_channels) frames, (4C,) time from ``time_mlp``, mask (B or 1, 1, T or 1, T) -> (B, T, out)."""
        hidden = skip = self._stage(self.down_blocks[0], frames, time, mask)
        hidden = self._tail(self.down_blocks[0], hidden)
        for stage in self.mid_blocks:
            hidden = self._stage(stage, hidden, time, mask)
        hidden = self._stage(self.up_blocks[0], torch.cat((hidden, skip), dim=-1), time, mask)
        hidden = self._tail(self.up_blocks[0], hidden)
        return self.final_proj(self.final_block(hidden))

    @staticmethod
    def _stage(stage: nn.Module, hidden: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        parts = cast(nn.ModuleList, stage)
        hidden = parts[0](hidden, time)
        for block in cast(nn.ModuleList, parts[1]):
            hidden = block(hidden, mask)
        return hidden

    @staticmethod
    def _tail(stage: nn.Module, hidden: Tensor) -> Tensor:
        return cast(nn.ModuleList, stage)[2](hidden)


def _stage(
    config: EstimatorConfig, in_channels: int, time_channels: int, tail: nn.Module | None = None
) -> nn.ModuleList:
    """[residual block, transformer blocks, closing convolution if any], numbered as in the checkpoint."""
    parts: list[nn.Module] = [
        ResnetBlock(in_channels, config.channels, time_channels),
        nn.ModuleList(TransformerBlock(config) for _ in range(config.num_blocks)),
    ]
    return nn.ModuleList(parts if tail is None else [*parts, tail])
