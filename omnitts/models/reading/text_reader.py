"""Text reader: the labels of a text's sounds, and how codes spell them, from a speech tokenizer's spelling reader.

A file in (safetensors: float16 weights; sizes, alphabet and kind of labels as JSON in its metadata); labels, losses and
shares of misread labels out. Needs no sound: the reader hears codes alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from safetensors import safe_open
from torch import Tensor

from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.forced_alignment import FloatRow, FloatTable, label_times
from omnitts.models.reading.labels import Alphabet, Sounds, Speller, unblank
from omnitts.models.reading.reader_file import fill_reader, opening, write_reader

READER: Final = "spelling_reader.safetensors"
ACCENTS: Final = ("en-us", "en-gb")


@dataclass(frozen=True, order=True)
class Spelling:
    """How codes spell labels. ``loss``: CTC's, in nats. ``misread``: share of the labels that the reader gets wrong."""

    loss: float
    misread: float


class TextReader:
    """Reader, alphabet and speller together. ``codes`` gives label logits of codes."""

    def __init__(self, codes: CodeReader, alphabet: Alphabet, kind: str) -> None:
        self.codes, self._alphabet, self._kind = codes, alphabet, kind
        self._speller = Speller(kind)

    @classmethod
    def open(cls, path: Path, device: torch.device | str = "cpu") -> TextReader:
        """What `save` wrote. Raises `ModelError` when it is damaged."""
        with opening("spelling reader", path):
            with safe_open(path, "pt") as file:
                notes = {name: json.loads(text) for name, text in file.metadata().items()}
            alphabet = Alphabet(tuple(notes["symbols"]))
            reader = CodeReader(notes["levels"], notes["width"], notes["blocks"], alphabet.size)
            return cls(fill_reader(reader, path).to(device), alphabet, notes["labels"])

    def save(self, path: Path) -> None:
        codes = self.codes
        notes = {
            "levels": codes.quantiser.sizes.tolist(),
            "width": codes.first.out_features,
            "blocks": len(codes.stack.blocks),
            "labels": self._kind,
            "symbols": self._alphabet.symbols,
        }
        write_reader(codes, path, {name: json.dumps(value) for name, value in notes.items()})

    def sounds(self, text: str, accent: str, language: str = "") -> Sounds:
        """A text's sounds in a speaker's accent; none in a language (primary tag) it does not know."""
        if not self._speller.knows(language):
            return Sounds()
        return self._alphabet.sounds(self._speller.cued(text, accent))

    def labels(self, text: str, accent: str, language: str = "") -> tuple[int, ...]:
        """The labels of `sounds`."""
        return self.sounds(text, accent, language).labels

    def labels_of(self, spelling: str) -> tuple[int, ...]:
        """The labels among the characters of a spelling."""
        return tuple(self._alphabet.labels(spelling))

    def accent(self, codes: Sequence[int], text: str, language: str = "") -> str:
        """Of ACCENTS, the one in which a clip's codes say ``text`` best; empty where they are written alike, as in a
        language (primary tag) the reader does not know.
        """
        labels = {accent: self.labels(text, accent, language) for accent in ACCENTS}
        if not codes or len(set(labels.values())) < len(ACCENTS):
            return ""
        return min(ACCENTS, key=lambda accent: self.spelling(codes, labels[accent]).loss)

    @property
    def num_labels(self) -> int:
        """The blank included."""
        return self._alphabet.size

    def times(self, codes: Sequence[int], labels: Sequence[int]) -> FloatRow | None:
        """(L,) the codes at which the labels begin; None when they do not fit into the codes, or are none."""
        return label_times(self.heard(codes), labels)

    def heard(self, codes: Sequence[int]) -> FloatTable:
        """(K, V) log-probabilities of the labels at each code, as `forced_alignment` takes them."""
        return self._read(codes).cpu().numpy()

    def spelling(self, codes: Sequence[int], labels: Sequence[int]) -> Spelling:
        """How well codes (at least one) spell labels (at least one). The loss is infinite for too few codes."""
        read = self._read(codes)
        lengths = torch.tensor([len(codes)]), torch.tensor([len(labels)])
        loss = F.ctc_loss(read[:, None].cpu(), torch.tensor([labels]), *lengths, reduction="sum")
        return Spelling(float(loss), num_wrong(read, labels) / len(labels))

    @torch.no_grad()
    def _read(self, codes: Sequence[int]) -> Tensor:
        """(K, V) log-probabilities of the labels at each code."""
        device = self.codes.quantiser.bases.device
        return self.codes.read(torch.tensor([codes], device=device))[0].log_softmax(-1)


def num_wrong(read: Tensor, labels: Sequence[int]) -> int:
    """How many of the labels are read wrong in (K, V) scores, read greedily."""
    return Levenshtein.distance(unblank(read.argmax(-1).tolist()), labels)
