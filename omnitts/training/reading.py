"""Reading: the tokenizer's spelling reader in a file of its own, and the times of words it gives for a coded corpus.

Codes and texts in; for each utterance the codes at which the bytes of its text are said. Needs no sound: the reader
hears codes alone, so a run that took over its tokenizer can be aligned as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from omnitts.training.alignment import FloatRow, byte_times, label_times
from omnitts.training.labels import Alphabet, Speller
from omnitts.training.reader_file import fill_reader, opening, write_reader
from omnitts.training.recipe import TokenizerRecipe
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer_network import CodeReader, spelling_reader

logger = logging.getLogger(__name__)

READER: Final = "spelling_reader.safetensors"
_TIMES: Final = "times.npy"


def keep_reader(reader: CodeReader, alphabet: Alphabet, folder: Path) -> None:
    """Writes the reader and its alphabet; times that an older reader found are forgotten."""
    (folder / _TIMES).unlink(missing_ok=True)
    write_reader(reader, folder / READER, {"symbols": json.dumps(alphabet.symbols)})


def open_reader(path: Path, recipe: TokenizerRecipe) -> tuple[CodeReader, Alphabet]:
    """What `keep_reader` wrote. Raises `InputError` when it is damaged or of other sizes than the recipe's."""
    with opening("spelling reader", path):
        with safe_open(path, "pt") as file:
            alphabet = Alphabet(tuple(json.loads(file.metadata()["symbols"])))
        return fill_reader(spelling_reader(recipe, alphabet.size), path), alphabet


class TextReader:
    """Reader, alphabet and speller together: what a text's sounds are, and when codes say them."""

    def __init__(self, reader: CodeReader, alphabet: Alphabet, speller: Speller) -> None:
        self.codes, self._alphabet, self._speller = reader, alphabet, speller
        self._sizes: dict[tuple[str, str], int] = {}

    @classmethod
    def open(cls, path: Path, recipe: TokenizerRecipe) -> TextReader:
        """Of what `keep_reader` wrote. Raises as `open_reader`."""
        return cls(*open_reader(path, recipe), Speller(recipe.labels))

    def labels(self, text: str, accent: str) -> tuple[int, ...]:
        """The labels of a text's sounds."""
        return tuple(self._alphabet.labels(self._speller.spell(text, accent)))

    def times(self, codes: Sequence[int], text: str, transcript: str, accent: str) -> FloatRow:
        """The code at which each byte of ``text``, the transcript as it is spoken, is said."""
        with torch.no_grad():
            logits = self.codes.read(torch.tensor([codes]))[0]
        times = label_times(logits.log_softmax(-1).numpy(), self.labels(transcript, accent))
        return byte_times(text, times, lambda word: self._size(word, accent), len(codes))

    def _size(self, word: str, accent: str) -> int:
        """How many labels a word has by itself."""
        if (word, accent) not in self._sizes:
            self._sizes[word, accent] = len(self.labels(word, accent))
        return self._sizes[word, accent]


def text_times(
    folder: Path, recipe: TokenizerRecipe, corpus: CorpusStore, codes: NDArray[np.int16], texts: Sequence[str]
) -> list[FloatRow] | list[None]:
    """For each utterance the code at which each byte of its text (as spoken) is said; computed once.

    Kept in ``folder``. None for all when ``folder`` holds no reader.
    """
    ends = np.cumsum([len(text.encode()) for text in texts])
    if (folder / _TIMES).is_file():
        flat = np.load(folder / _TIMES, allow_pickle=False)
        if len(flat) == ends[-1]:
            return list(np.split(flat, ends[:-1]))
    if not (folder / READER).is_file():
        logger.warning("%s holds no %s: nobody knows when each word is spoken", folder, READER)
        return [None] * len(texts)
    reader = TextReader.open(folder / READER, recipe)
    found = []
    for utterance, text in zip(corpus.utterances, texts, strict=True):
        own = codes[utterance.offset : utterance.offset + utterance.num_codes].tolist()
        found.append(reader.times(own, text, utterance.text, utterance.accent))
    aside = folder / f"part-{_TIMES}"
    np.save(aside, np.concatenate(found))
    aside.replace(folder / _TIMES)
    return found
