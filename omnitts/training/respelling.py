"""Respelling: a speech LM that reads letters goes on as one that reads phonemes (or the other way round).

The model's weights and both text tokenizers in, weights for the new text ids out; nothing else changes. What a token
means to the model is its embedding, so those of the new tokens are chosen such that every word of the corpus sums up
to what it summed up to before (ridge regression, words weighed by how often they are met). Some thousand steps of
training then tell it in which order the sounds come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitts.training.text_tokenizer import TextCoder

_RIDGE: Final = 3.0  # in words: a token met less often stays near the mean


def respelled(
    embeddings: Tensor,
    old: Any,
    new: Any,
    texts: Iterable[tuple[str, str]],
    write_old: Callable[[str, str], str],
    write_new: Callable[[str, str], str],
) -> Tensor:
    """(T', D) embeddings of the new tokenizer's ids from the (T, D) of the old one's.

    ``old``, ``new``: transformers' tokenizers. ``texts``: (text, accent) of the corpus, as people write; the writers
    put a word into each model's form. Tokens that both have and no word of the corpus needs (those of the prompt's
    template, the added ones) keep theirs.
    """
    counts = Counter((word, accent) for text, accent in texts for word in text.split())
    words = [(word, accent) for word, accent in counts if write_new(word, accent)]
    before = _uses(TextCoder(old), [" " + write_old(*word) for word in words], len(old))
    after = _uses(TextCoder(new), [" " + write_new(*word) for word in words], len(new))
    known = embeddings.double().numpy()
    weight = np.sqrt([float(counts[word]) for word in words])[:, None]
    middle = known[before.any(axis=0)].mean(axis=0)
    wanted = weight * (before @ known - after.sum(axis=1, keepdims=True) * middle)
    uses = weight * after
    fitted = np.linalg.solve(uses.T @ uses + _RIDGE * np.eye(len(new)), uses.T @ wanted) + middle
    old_ids, new_ids = old.get_vocab(), new.get_vocab()
    for token in old_ids.keys() & new_ids.keys():
        if not after[:, new_ids[token]].any():
            fitted[new_ids[token]] = known[old_ids[token]]
    return torch.from_numpy(fitted).to(embeddings.dtype)


def _uses(coder: TextCoder, words: list[str], size: int) -> NDArray[np.float64]:
    """(W, T): how often each id is met in each word."""
    table = np.zeros((len(words), size))
    for row, word in enumerate(words):
        np.add.at(table[row], list(coder.ids(word)), 1.0)
    return table
