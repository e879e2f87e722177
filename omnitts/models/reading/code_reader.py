"""Code reader: a few numbers for each speech code, from the codes around it alone. What they mean is the maker's.

Letters: B rows, K codes, d numbers per code in the quantiser.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from omnitts.models.reading.conv_stack import ConvStack
from omnitts.models.reading.quantiser import Quantiser


class CodeReader(nn.Module):
    """A few numbers per code, from the codes alone."""

    def __init__(self, levels: Sequence[int], width: int, num_blocks: int, num_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.quantiser = Quantiser(levels)
        self.dropout = nn.Dropout(dropout)
        self.first = nn.Linear(len(levels), width)
        self.stack = ConvStack(width, num_blocks)
        self.last = nn.Linear(width, num_out)

    def forward(self, rounded: Tensor, inside: Tensor) -> Tensor:
        """(B, K, d) rounded numbers, (B, K, 1) ones inside each row -> (B, K, num_out)"""
        hidden = self.dropout(self.first(self.quantiser.centred(rounded)))
        numbers: Tensor = self.last(self.dropout(self.stack(hidden, inside)))
        return numbers

    def read(self, codes: Tensor) -> Tensor:
        """(B, K) codes, no row padded -> (B, K, num_out)"""
        rounded = self.quantiser.rounded_of(codes)
        numbers: Tensor = self(rounded, rounded.new_ones(*codes.shape, 1))
        return numbers
