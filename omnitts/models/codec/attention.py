"""Who may look at whom: attention masks for rows of several lengths and for streaming chunks.

In: lengths and chunk sizes. Out: boolean masks (True = visible), or None where every row sees everything, so that the
fast unmasked attention is used.
"""

from __future__ import annotations

import torch
from torch import Tensor


def valid(lengths: list[int], width: int, device: torch.device) -> Tensor | None:
    """(B, width) True inside each row; None when no row is padded."""
    if all(length == width for length in lengths):
        return None
    rows = torch.tensor(lengths).to(device, non_blocking=True)  # made on a GPU, it would wait for all work in hand
    return torch.arange(width, device=device) < rows[:, None]


def visible(inside: Tensor | None, width: int, chunk: int | None, device: torch.device) -> Tensor | None:
    """(B or 1, 1, width or 1, width) mask of keys, from ``valid`` and the streaming chunk (None = whole).

    Streaming: query i sees key j iff j < (i // chunk + 1) * chunk: its own chunk and all the past (spec 3.2).
    """
    keys = None if inside is None else inside[:, None, None, :]  # (B, 1, 1, T)
    if chunk is None or chunk >= width:
        return keys
    position = torch.arange(width, device=device)
    past = position[None, :] < ((position // chunk + 1) * chunk)[:, None]  # (T, T)
    return past[None, None] if keys is None else past & keys
