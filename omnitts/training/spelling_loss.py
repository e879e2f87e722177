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
from torch import Tensor, nn

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


def stretches(examples: list[Example], known: Tensor, wanted: Tensor, num_codes: int) -> list[Stretch]:
    """Which of the N ``known`` (B, T) positions sound one after the other, and what they spell: the reference of each
    example and what is spoken behind it. ``wanted`` (N, K): their codes; those from ``num_codes`` on make no sound.
    """
    sounds = (wanted < num_codes).all(dim=-1)
    row, place = known.nonzero(as_tuple=True)  # in the order of the N
    found = []
    for number, item in enumerate(examples):
        own = sounds & (row == number)
        in_prompt = place + 1 < item.num_prompt
        for part, labels in zip((own & in_prompt, own & ~in_prompt), item.spellings, strict=True):
            rows = part.nonzero().flatten()
            if labels and len(rows):
                found.append(Stretch(rows, labels))
    return found


class SpellingLoss:
    """``reader``, on the device of the logits, judges and does not learn."""

    def __init__(self, reader: CodeReader) -> None:
        self._reader = reader.requires_grad_(False).eval()
        quantiser = reader.quantiser
        self._rounded = quantiser.rounded_of(torch.arange(quantiser.num_codes, device=quantiser.bases.device))

    def __call__(self, logits: Tensor, stretches: Sequence[Stretch], *, draws: bool) -> dict[str, Tensor]:
        """Of logits (N, K, V): ``spelling``, the loss per label. ``draws``: codes are drawn as in speaking.

        Else they are the likeliest, and ``misread``, the share of labels that the reader gets wrong, is told as well.
        """
        rounded = self._chosen(logits, draws)  # (N, K, d)
        spoken = [rounded[stretch.rows].flatten(0, 1) for stretch in stretches]
        lengths = torch.tensor([len(codes) for codes in spoken], device=logits.device)
        padded = nn.utils.rnn.pad_sequence(spoken, batch_first=True)  # (S, codes, d)
        with torch.autocast(logits.device.type, enabled=False):
            read = self._reader(padded, inside_mask(lengths, padded.shape[1])).log_softmax(-1)
        labels = torch.tensor([label for stretch in stretches for label in stretch.labels], device=logits.device)
        sizes = torch.tensor([len(stretch.labels) for stretch in stretches], device=logits.device)
        loss = F.ctc_loss(read.transpose(0, 1), labels, lengths, sizes, reduction="sum", zero_infinity=True)
        losses = {"spelling": loss / len(labels)}
        if not draws:
            rows = zip(read.argmax(-1).tolist(), lengths.tolist(), stretches, strict=True)
            wrong = sum(Levenshtein.distance(unblank(row[:size]), own.labels) for row, size, own in rows)
            losses["misread"] = torch.tensor(wrong / len(labels))
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
