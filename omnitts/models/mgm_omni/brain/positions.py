"""Three-axis positions of a prompt (time, row, column), as the Qwen2.5-VL text model rotates by them (spec 6.4).

Goes in: the runs of a prompt, each text, audio or a grid of patches. Comes out: (3, T) positions and the offset for
decoding. Knows nothing of embeddings. Frames of a video count one by one; no seconds are involved, unlike transformers'
own Qwen2.5-VL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LineSpan:
    """``length`` embeddings in one line: text or audio."""

    length: int


@dataclass(frozen=True, slots=True)
class GridSpan:
    """An image or a video after merging: ``frames`` x ``rows`` x ``columns`` embeddings."""

    frames: int
    rows: int
    columns: int

    @property
    def length(self) -> int:
        return self.frames * self.rows * self.columns


Span = LineSpan | GridSpan


def prompt_positions(spans: Sequence[Span], start: int = 0) -> tuple[Tensor, int]:
    """Positions (3, T), and rope_delta: the position of an embedding appended at index i is i + rope_delta.

    Lines advance all axes together; a grid opens three axes at the running position p, after which p is one above the
    largest position so far.
    """
    position, pieces = start, [torch.zeros(3, 0, dtype=torch.long)]
    for span in spans:
        if isinstance(span, LineSpan):
            pieces.append(torch.arange(position, position + span.length).expand(3, -1))
            position += span.length
        elif span.length:
            axes = (torch.arange(size) for size in (span.frames, span.rows, span.columns))
            grid = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
            pieces.append(grid + position)
            position += max(span.frames, span.rows, span.columns)
    positions = torch.cat(pieces, dim=1)
    return positions, position - (start + positions.shape[1])
