"""Spelling loss: what the speech LM would say, drawn code by code as in speaking, spelled by the tokenizer's reader.

The codes of a row are drawn independently of each other. Cross entropy teaches each its own chances: where a sound may
begin at the second code or at the third, both are likely to miss it. The reader hears drawn codes side by side, so this
loss (CTC: it asks for the sounds in their order, and leaves their times to the model) teaches the heads of a row to
agree. The drawn codes are hard; gradients pass through the mean of their chances (straight-through, arXiv 1308.3432).
Goes in: logits and the labels that they must spell. Comes out: a loss per label. Knows no text and no files.
Letters: N rows, K codes per row, V ids per codebook, S stretches of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.conv_stack import inside_mask
from omnitts.models.reading.labels import unblank
from omnitts.training.rows import Example

_TEMPERATURE: Final = 0.3  # at which codes are drawn: that of speaking
_LEAST: Final = 1e-20


@dataclass(frozen=True)
class Stretch:
    """Rows (indices into the N of the logits) that sound one after the other, and the labels that they say."""

    rows: Tensor
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Stretches:
    """S of them: ``rows`` (S, R), padded; ``labels`` (L,), of one behind the other. How many each has is known without
    asking a device; ``lengths`` (S,) tells ``num_rows`` once more, on the device of ``rows``.
    """

    rows: Tensor
    labels: Tensor
    num_rows: tuple[int, ...]
    num_labels: tuple[int, ...]
    lengths: Tensor

    @classmethod
    def of(cls, found: Sequence[Stretch]) -> Stretches:
        num_rows = tuple(len(stretch.rows) for stretch in found)
        rows = torch.zeros(len(found), max(num_rows, default=0), dtype=torch.int64)
        for row, stretch in zip(rows, found, strict=True):
            row[: len(stretch.rows)] = stretch.rows
        labels = torch.tensor([label for stretch in found for label in stretch.labels], dtype=torch.int64)
        num_labels = tuple(len(stretch.labels) for stretch in found)
        return cls(rows, labels, num_rows, num_labels, torch.tensor(num_rows, dtype=torch.int64))


def stretches(examples: list[Example], known: Tensor, wanted: Tensor, num_codes: int) -> list[Stretch]:
    """Which of the N ``known`` (B, T) positions sound one after the other, and what they spell: the reference of each
    example and what is spoken behind it. ``wanted`` (N, K): their codes; those from ``num_codes`` on make no sound.
    """
    sounds = (wanted < num_codes).all(dim=-1).numpy()
    ends = known.sum(dim=1).cumsum(dim=0).tolist()
    found = []
    for item, own_known, first, end in zip(examples, known.numpy(), [0, *ends], ends, strict=False):
        own, in_prompt = sounds[first:end], own_known.nonzero()[0] + 1 < item.num_prompt
        for part, labels in zip((own & in_prompt, own & ~in_prompt), item.spellings, strict=True):
            rows = part.nonzero()[0]
            if labels and len(rows):
                found.append(Stretch(torch.from_numpy(rows + first), labels))
    return found


class SpellingLoss:
    """``reader``, on the device of the logits, judges and does not learn."""

    def __init__(self, reader: CodeReader) -> None:
        self._reader = reader.requires_grad_(False).eval()
        quantiser = reader.quantiser
        self._rounded = quantiser.rounded_of(torch.arange(quantiser.num_codes, device=quantiser.bases.device))

    def __call__(self, logits: Tensor, spoken: Stretches, *, draws: bool) -> dict[str, Tensor]:
        """Of logits (N, K, V): ``spelling``, the loss per label. ``draws``: codes are drawn as in speaking.

        Else they are the likeliest, and ``misread``, the share of labels that the reader gets wrong, is told as well.
        """
        rounded = self._chosen(logits, draws)  # (N, K, d)
        (S, R), (_, K, d) = spoken.rows.shape, rounded.shape
        padded = rounded.index_select(0, spoken.rows.flatten()).view(S, R * K, d)
        with torch.autocast(logits.device.type, enabled=False):
            read = self._reader(padded, inside_mask(K * spoken.lengths, R * K)).log_softmax(-1)
        lengths, sizes = K * torch.tensor(spoken.num_rows), torch.tensor(spoken.num_labels)  # on the CPU: no one waits
        loss = F.ctc_loss(read.transpose(0, 1), spoken.labels, lengths, sizes, reduction="sum", zero_infinity=True)
        losses = {"spelling": loss / len(spoken.labels)}
        if not draws:
            labels = torch.split(spoken.labels.cpu(), list(spoken.num_labels))
            rows = zip(read.argmax(-1).tolist(), lengths.tolist(), labels, strict=True)
            wrong = sum(Levenshtein.distance(unblank(row[:size]), own.tolist()) for row, size, own in rows)
            losses["misread"] = torch.tensor(wrong / len(spoken.labels))
        return losses

    def _chosen(self, logits: Tensor, draws: bool) -> Tensor:
        """(N, K, V) -> (N, K, d): the rounded numbers of one code each, with the gradient of their mean."""
        scores = logits[..., : len(self._rounded)]
        hard = self._rounded[drawn(scores.detach()) if draws else scores.argmax(-1)]
        mean = scores.softmax(-1) @ self._rounded
        return hard + mean - mean.detach()


def drawn(scores: Tensor) -> Tensor:
    """(..., V) -> (...) one id each, drawn as in speaking: independently, at its temperature."""
    chance = torch.rand_like(scores).clamp(min=_LEAST)
    gumbel = -(-chance.log()).clamp(min=_LEAST).log()  # five times as fast as torch.multinomial
    return (scores + _TEMPERATURE * gumbel).argmax(-1)
