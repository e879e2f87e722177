"""Convolutional building blocks of omnitts' own small networks: code readers, speech tokenizer, speaker encoder.

In and out: (B, T, D) frames with a (B, T, 1) mask of ones inside each row; a row's values do not depend on the padding
beside it. Convolutions alone, so that an export to ONNX holds for any length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """ConvNeXt block (arXiv 2201.03545) in one dimension: depthwise convolution, LayerNorm, two linear layers."""

    def __init__(self, width: int, kernel: int = 7, dilation: int = 1, widening: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=width
        )
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, widening * width)
        self.narrow = nn.Linear(widening * width, width)
        self.gain = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        mixed = self.depthwise((hidden * inside).transpose(1, 2)).transpose(1, 2)
        mixed = self.narrow(nn.functional.gelu(self.widen(self.norm(mixed))))
        return hidden + self.gain * mixed


class ConvStack(nn.Module):
    """Blocks with dilations 1, 2, 1, 2 ... and a closing LayerNorm."""

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvBlock(width, dilation=1 + i % 2) for i in range(num_blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        for block in self.blocks:
            hidden = block(hidden, inside)
        return self.norm(hidden)


def inside_mask(lengths: Tensor, width: int) -> Tensor:
    """(B,) lengths -> (B, width, 1) float ones inside each row."""
    return (torch.arange(width, device=lengths.device)[None, :] < lengths[:, None]).float().unsqueeze(-1)
