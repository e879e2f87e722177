"""What a step of the speech LM learns from: examples of many lengths as tensors of few shapes, places as indices.

Examples in; whole numbers out, all in one buffer: one message from a worker, one copy to a GPU. Nothing about lengths
or places has to be asked of the tensors again, so a GPU need not be waited for. Sees no model.
Letters: B rows of the batch, T steps, K codes per step, N steps that are learnt, S stretches of speech.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitts.training.spelling_loss import Stretches


class LmTensors(NamedTuple):
    """int64, on one device. Places are those of the B * T steps, one row of the batch behind the other."""

    inputs: Tensor  # (B, T, 1 + K)
    learnt: Tensor  # (N,) places
    wanted: Tensor  # (N, K) the codes to say there
    own: Tensor  # (C,) places behind which the input shall have the model's own codes
    said: Tensor  # (B, T + 1) text ids, or UNKNOWN
    told_now: Tensor  # (M,) places whose own sound says a known text id
    told_next: Tensor  # (M,) places whose next row's sound does
    stretches: Tensor  # (S, R) which of the N sound one after the other
    num_rows: Tensor  # (S,) how many of the R
    labels: Tensor  # (L,) of all stretches


@dataclass(frozen=True)
class LmBatch:
    """`LmTensors` one behind the other in ``numbers`` (int32). Of each stretch, known here: rows and labels."""

    numbers: Tensor
    shapes: tuple[tuple[int, ...], ...]
    num_rows: tuple[int, ...]
    num_labels: tuple[int, ...]

    @classmethod
    def of(cls, spoken: Stretches, **tensors: Tensor) -> LmBatch:
        """``tensors``: the fields of `LmTensors` that are not of stretches, on the CPU."""
        of_stretches = {"stretches": spoken.rows, "num_rows": torch.tensor(spoken.num_rows), "labels": spoken.labels}
        parts = LmTensors(**tensors, **of_stretches)
        numbers = torch.cat([part.flatten().int() for part in parts])
        return cls(numbers, tuple(tuple(part.shape) for part in parts), spoken.num_rows, spoken.num_labels)

    def on(self, device: torch.device | str) -> LmTensors:
        numbers = self.numbers.to(device, non_blocking=True).long()
        parts = torch.split(numbers, [math.prod(shape) for shape in self.shapes])
        return LmTensors(*(part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)))

    def spoken(self, given: LmTensors) -> Stretches:
        """The stretches, with tensors of ``given``, which is `on` some device."""
        return Stretches(given.stretches, given.labels, self.num_rows, self.num_labels, given.num_rows)

    def pin_memory(self) -> LmBatch:
        return replace(self, numbers=self.numbers.pin_memory())

    def __reduce__(self) -> tuple[Any, ...]:
        """By value: torch would put tensors into shared memory, of which containers have little."""
        return _from_numpy, (self.numbers.numpy(), self.shapes, self.num_rows, self.num_labels)


def _from_numpy(numbers: NDArray[np.int32], *others: Any) -> LmBatch:
    return LmBatch(torch.from_numpy(numbers), *others)
