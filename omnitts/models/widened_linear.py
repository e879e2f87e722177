"""Linear layers with half-precision weights on a processor that multiplies no half precision.

Such a processor (x86-64 without AVX-512) reads bf16 weights as fast as any, but multiplies them one row of input at a
time: a batch of 32 costs 32 single rows, a prompt of 150 rows costs minutes. Here the weights stay as small as they are
and are widened a block at a time, in the cache, to float32, which it multiplies fast. Goes in: a weight in half
precision. Comes out: a layer that gives what `nn.Linear` gives, rounded once at the end. Knows no model.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK: Final = 1 << 20  # weights widened at once: 4 MiB as float32


class WidenedLinear(nn.Module):
    """x W^T + b; takes the place of an `nn.Linear` for inference. Not part of any state dict."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self._weight = weight.detach()
        self._bias = None if bias is None else bias.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., D) -> (..., O), in the dtype of the weight."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        if len(rows) == 1:  # reading the weights is all the work, and as they are they are half as many bytes
            return F.linear(inputs, self._weight, self._bias)
        wide = rows.float().t()  # weights times rows, not rows times weights: twice as fast on two threads
        outputs = wide.new_empty(len(self._weight), len(rows))
        size = max(1, _BLOCK // self._weight.shape[1])
        block = wide.new_empty(min(size, len(self._weight)), self._weight.shape[1])
        for start in range(0, len(self._weight), size):
            part = self._weight[start : start + size]
            torch.mm(block[: len(part)].copy_(part), wide, out=outputs[start : start + size])
        if self._bias is not None:
            outputs += self._bias.float()[:, None]
        return outputs.t().to(self._weight.dtype, memory_format=torch.contiguous_format).view(*inputs.shape[:-1], -1)
