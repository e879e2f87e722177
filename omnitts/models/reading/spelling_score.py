"""Spelling score: how well codes that are still being spoken say their text so far, by the tokenizer's reader.

Many sequences at once, all of one length, each with its own labels. The score of a sequence is the chance of reading
the codes so far as some beginning of its labels (CTC's forward sum, Graves 2006), or, when it has ended, as all of
them. Being silent reads well, so every label that is behind counts something by itself. Knows no model and no text.
Letters: B sequences, T codes, S states (labels with blanks between), V labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from omnitts.models.reading.code_reader import CodeReader

_NEVER: Final = -1e9
_LABEL_WORTH: Final = 0.8  # nats: about what reading a label costs where it is said well
_SIGHT: Final = 3  # codes to either side that the reader sees, at a block


class SpellingScore:
    """Of B sequences that grow together."""

    def __init__(self, reader: CodeReader, labels: Sequence[tuple[int, ...]]) -> None:
        self._reader = reader
        self._sight = _SIGHT * sum(2 if number % 2 else 1 for number in range(len(reader.stack.blocks)))
        B, S = len(labels), 2 * max(len(own) for own in labels) + 1
        self._last = reader.quantiser.bases.new_tensor([2 * len(own) for own in labels])
        self._labels = self._last.new_zeros(B, S)
        self._exists = torch.zeros_like(self._labels, dtype=torch.bool)
        self._can_skip = torch.zeros_like(self._exists)  # from one label to the next without a blank
        for row, own in enumerate(labels):
            said = self._last.new_tensor(own)
            self._labels[row, 1 : 2 * len(own) : 2] = said
            self._exists[row, : 2 * len(own) + 1] = True
            self._can_skip[row, 3 : 2 * len(own) : 2] = said[1:] != said[:-1]
        self._forward = torch.full_like(self._labels, _NEVER, dtype=torch.float32)
        self._worth = _LABEL_WORTH * torch.arange(S, device=self._last.device) / 2
        self._num_read, self._lengths = 0, torch.zeros_like(self._last)

    def read_on(self, codes: Tensor, lengths: Tensor) -> None:
        """Reads what is new of codes (B, T); behind ``lengths`` (B,) they are the silence after an end.

        The last few wait until the reader sees what follows them.
        """
        self._lengths = lengths
        T = codes.shape[1]
        until = T - self._sight
        if until <= self._num_read:
            return
        start = max(0, self._num_read - self._sight)
        read = self._reader.read(codes[:, start:]).log_softmax(-1)
        for place in range(self._num_read, until):
            chances = read[:, place - start].gather(1, self._labels).masked_fill(~self._exists, _NEVER)
            stepped = self._stepped() if place else self._begun()
            speaks = (place < lengths)[:, None]
            self._forward = torch.where(speaks, stepped + chances, self._forward).clamp(min=_NEVER)
        self._num_read = until

    def scores(self, has_ended: Tensor) -> Tensor:
        """(B,) in nats. ``has_ended`` (B,); an end counts when all codes before it have been read."""
        ends = torch.stack((self._last, self._last - 1), dim=1)  # the last blank, the last label
        whole = self._forward.gather(1, ends).logsumexp(dim=1) + self._worth[self._last]
        return torch.where(
            has_ended & (self._lengths <= self._num_read), whole, (self._forward + self._worth).amax(dim=1)
        )

    def reorder(self, index: Tensor) -> None:
        """Row b becomes what row ``index[b]`` was; both must have the same labels."""
        self._forward, self._lengths = self._forward[index], self._lengths[index]

    def _begun(self) -> Tensor:
        begun = torch.full_like(self._forward, _NEVER)
        begun[:, :2] = 0.0
        return begun

    def _stepped(self) -> Tensor:
        one, two = (self._shifted(by) for by in (1, 2))
        return torch.stack((self._forward, one, two.masked_fill(~self._can_skip, _NEVER))).logsumexp(dim=0)

    def _shifted(self, by: int) -> Tensor:
        return torch.cat((torch.full_like(self._forward[:, :by], _NEVER), self._forward[:, :-by]), dim=1)
