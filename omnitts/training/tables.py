"""Tables of a corpus, so many frames to a speech code: stretches of them go out as float32 rows, one or a batch.

Trained on a CPU, a table stays in its file, memory-mapped, for little is read at a time. For a GPU it is loaded there
whole when it is first read, in the numbers of its file, and a batch is gathered there: nothing waits for the bus.
Letters: B rows, K codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Stretch = tuple[int, int]  # of codes: the first, and the one behind the last
Row = Sequence[Stretch]  # stretches one behind the other
_NOWHERE: Final = -1


class Table:
    """A file of ``frames`` rows of ``width`` numbers to a code."""

    def __init__(self, path: Path, dtype: str, frames: int, width: int, device: torch.device | str = "cpu") -> None:
        self.width, self.device = width, torch.device(device)
        flat: NDArray[Any] = np.memmap(path, dtype=dtype, mode="r")
        numbers = frames * width
        self.stored = flat[: len(flat) // numbers * numbers].reshape(-1, numbers)  # (codes, numbers)

    @cached_property
    def _loaded(self) -> Tensor:
        with torch.inference_mode(False):  # the first to read may be inference, and then come those who learn
            return torch.from_numpy(np.array(self.stored)).to(self.device)

    def read(self, first: int, last: int) -> Tensor:
        """(frames, width) float32 of the codes from ``first`` to ``last``, on the table's device."""
        if self.device.type == "cpu":
            return torch.from_numpy(np.array(self.stored[first:last], dtype=np.float32)).view(-1, self.width)
        return self._loaded[first:last].float().view(-1, self.width)

    def padded(self, stretches: Sequence[Stretch]) -> Tensor:
        """(B, frames of the longest, width) float32 of one stretch a row, zero behind each row's end."""
        return self.joined([[stretch] for stretch in stretches])

    def joined(self, rows: Sequence[Row]) -> Tensor:
        """As `padded`, of rows of several stretches, one behind the other."""
        if self.device.type == "cpu":
            read = [torch.cat([self.read(*stretch) for stretch in row]) for row in rows]
            return nn.utils.rnn.pad_sequence(read, batch_first=True)
        return gathered(self._loaded, rows).float().view(len(rows), -1, self.width)


def gathered(table: Tensor, rows: Sequence[Row]) -> Tensor:
    """(B, K, ...) of a (codes, ...) table, zero behind each row's end: on its device, in as many kernels for any B."""
    places = [np.concatenate([np.arange(*stretch) for stretch in row]) for row in rows]
    padded = np.full((len(rows), max(map(len, places))), _NOWHERE)
    for row, own in zip(padded, places, strict=True):
        row[: len(own)] = own
    place = sent(padded, table.device)  # (B, K)
    outside = (place == _NOWHERE).view(*place.shape, *[1] * (table.dim() - 1))
    return table[place.clamp(min=0)].masked_fill(outside, 0)


def sent(numbers: Any, device: torch.device) -> Tensor:
    """A tensor of a few numbers on a device, for whose work in hand nobody waits: `torch.tensor(device=)` would."""
    return torch.as_tensor(numbers).to(device, non_blocking=True)
