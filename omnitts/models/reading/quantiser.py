"""Finite scalar quantisation: a few rounded numbers are a speech code, and back. Source: arXiv 2309.15505.

Letters: B rows, K codes, d numbers per code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Quantiser(nn.Module):
    """Rounds each of a few numbers to one of its levels; the code is their mixed-radix number."""

    reach: Tensor
    offset: Tensor
    shift: Tensor
    middle: Tensor
    bases: Tensor
    sizes: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.num_codes = math.prod(levels)
        reach = torch.tensor([(level - 1) * 1.001 / 2 for level in levels])
        offset = torch.tensor([0.0 if level % 2 else 0.5 for level in levels])
        self.register_buffer("reach", reach, persistent=False)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("shift", torch.atanh(offset / reach), persistent=False)
        self.register_buffer("middle", torch.tensor([level // 2 for level in levels]), persistent=False)
        bases = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("bases", torch.tensor(bases), persistent=False)
        self.register_buffer("sizes", torch.tensor(list(levels)), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """(B, K, d) -> the same, rounded to whole numbers around 0; gradients pass as if it were not rounded."""
        bounded = torch.tanh(numbers + self.shift) * self.reach - self.offset
        return bounded + (bounded.round() - bounded).detach()

    def codes(self, rounded: Tensor) -> Tensor:
        """(B, K, d) of `forward` -> (B, K) int64 codes."""
        return ((rounded.round().long() + self.middle) * self.bases).sum(dim=-1)

    def rounded_of(self, codes: Tensor) -> Tensor:
        """(B, K) codes -> (B, K, d): what `codes` was given."""
        return ((codes.unsqueeze(-1) // self.bases) % self.sizes - self.middle).float()

    def centred(self, rounded: Tensor) -> Tensor:
        """The rounded numbers scaled to about [-1, 1], for the readers."""
        return (rounded + self.offset) / self.reach
