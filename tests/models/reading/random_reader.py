"""A spelling reader of random weights, and text readers made of it."""

from __future__ import annotations

import torch

from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.labels import Alphabet
from omnitts.models.reading.text_reader import TextReader

LEVELS = (4, 4, 4)
ALPHABET = Alphabet(tuple("abcdefghijklmnopqrstuvwxyz"))


def random_reader(
    levels: tuple[int, ...] = LEVELS, num_labels: int = ALPHABET.size, sureness: float = 3.0
) -> CodeReader:
    torch.manual_seed(4)
    reader = CodeReader(levels, 24, 1, num_labels)
    with torch.no_grad():
        reader.last.weight.mul_(sureness)
        reader.last.bias[0] += sureness  # most codes are between two labels
    return reader.eval().requires_grad_(False)


def random_text_reader(levels: tuple[int, ...] = LEVELS) -> TextReader:
    return TextReader(random_reader(levels), ALPHABET, "characters")
