"""Batched key/value cache: every row has its own length; rows may join late and leave early.

Goes in: keys and values of one layer for some positions of each row. Comes out: the filled part of that layer, as
views. Does not know what attends to it, nor which sequence a row belongs to.

Letters: B rows, T steps, H key/value heads, P positions, D head width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class KVCache:
    """Preallocated keys and values of `num_rows` rows, each up to `max_length` positions long.

    Position `max_length` exists once more than a row can use: `scratch`. Padding and idle rows write there, and no
    attention mask ever opens it, so a step may have one fixed shape whatever its rows are doing.

    `rows(start, stop)` is a cache of its own over the same memory. A batch that keeps its active rows in front
    (`copy_row` fills a hole with the last row) therefore never gathers keys: every step works on one contiguous view.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor], lengths: Tensor) -> None:
        self.keys = keys  # per layer (B, H, P + 1, D)
        self.values = values
        self.lengths = lengths  # (B,) int64: positions filled so far

    @classmethod
    def allocate(
        cls,
        kv_heads_of_layers: Sequence[int],
        *,
        num_rows: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> KVCache:
        """An empty cache; layer i has `kv_heads_of_layers[i]` heads of width `head_dim`."""
        shapes = [(num_rows, heads, max_length + 1, head_dim) for heads in kv_heads_of_layers]
        keys = [_zeros(shape, dtype, device) for shape in shapes]
        values = [_zeros(shape, dtype, device) for shape in shapes]
        return cls(keys, values, torch.zeros(num_rows, dtype=torch.int64, device=device))

    @property
    def num_rows(self) -> int:
        return self.lengths.shape[0]

    @property
    def max_length(self) -> int:
        """Positions a row can hold."""
        return self.keys[0].shape[2] - 1

    @property
    def scratch(self) -> int:
        """The position that may be written and is never read."""
        return self.max_length

    def rows(self, start: int, stop: int) -> KVCache:
        """Rows `start` to `stop` as views: what is written through them is written here."""
        return KVCache(
            [keys[start:stop] for keys in self.keys],
            [values[start:stop] for values in self.values],
            self.lengths[start:stop],
        )

    def next_positions(self, num_steps: int, counts: Tensor | None = None) -> Tensor:
        """Positions (B, T) that the next `num_steps` tokens of each row take.

        `counts` (B,): how many of them are real in each row; the rest get the scratch position. None: all.
        """
        steps = torch.arange(num_steps, device=self.lengths.device)
        positions = self.lengths[:, None] + steps
        if counts is None:
            return positions
        return torch.where(steps < counts[:, None], positions, self.scratch)

    def write(self, layer_idx: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Stores keys and values (B, T, H, D) of one layer at `positions` (B, T)."""
        rows = torch.arange(positions.shape[0], device=positions.device)[:, None]
        self.keys[layer_idx][rows, :, positions] = keys
        self.values[layer_idx][rows, :, positions] = values

    def read(self, layer_idx: int, span: int) -> tuple[Tensor, Tensor]:
        """The first `span` positions of one layer: keys and values (B, H, span, D), views."""
        return self.keys[layer_idx][:, :, :span], self.values[layer_idx][:, :, :span]

    def advance(self, counts: Tensor | int) -> None:
        """Adds `counts` (B,) or one number to the lengths, once all layers of a step are written."""
        self.lengths += counts

    def clear(self, row: int) -> None:
        """Empties a row: what it held can no longer be seen, and is overwritten by the next tenant."""
        self.lengths[row] = 0

    def copy_row(self, source: int, target: int, length: int | None = None) -> None:
        """Copies the first `length` positions of a row (default: all filled) onto another: a move."""
        self.copy_from(self, source, target, length)

    def rearrange(self, first: int, index: Tensor, start: int, stop: int) -> None:
        """Row ``first + i`` becomes what row ``first + index[i]`` was, from position ``start`` to ``stop``; below
        ``start`` they are alike.
        """
        last = first + len(index)
        for tensor in (*self.keys, *self.values):
            tensor[first:last, :, start:stop] = tensor[first:last, :, start:stop][index]
        self.lengths[first:last] = self.lengths[first:last][index]

    def copy_from(self, other: KVCache, source: int, target: int, length: int | None = None) -> None:
        """Copies the first `length` positions of row `source` of another cache (default: all filled) onto a row here:
        a shared prefix."""
        if length is None:
            length = int(other.lengths[source])
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            for tensor, given in zip(mine, theirs, strict=True):
                tensor[target, :, :length] = given[source, :, :length]
        self.lengths[target] = length


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Zeros that take memory only where they are written, if on the CPU: rows are long, sequences mostly short."""
    if torch.device(device).type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    num_bytes = math.prod(shape) * dtype.itemsize
    return torch.from_numpy(np.zeros(num_bytes, dtype=np.uint8)).view(dtype).view(shape)
