"""Text tokenizer: a byte-level BPE learnt from books, written as Qwen2's files, and BPE dropout for training.

Sentences in; vocab.json, merges.txt, added_tokens.json and tokenizer_config.json out. The pre-tokenizer and normaliser
are those of transformers' Qwen2Tokenizer, so that what is learnt is what the loader reads. Added tokens come last, the
three audio marks at the very end, as the mouth's vocabulary expects. Source of the dropout: arXiv 1910.13267.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from omnitts.audio import write_atomically
from omnitts.errors import InputError
from omnitts.models.mgm_omni.prompt import without_added_tokens
from omnitts.training.run_folder import write_json

PAD: Final = "<|endoftext|>"
END: Final = "<|im_end|>"
SPECIALS: Final = (PAD, "<|im_start|>", END)
AUDIO_MARKS: Final = ("<|audio_start|>", "<|audio_end|>", "<|audio_sep|>")
FILES: Final = ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json")
# The words of the prompt, so that they cost few rows: they are in front of every utterance.
_TEMPLATE: Final = (
    "system\nYou are a helpful assistant.\nuser\nRespond with the tone of the reference audio clip.\nassistant\n"
)
_TEMPLATE_WEIGHT: Final = 200
_REMEMBERED: Final = 1 << 16  # texts
_MOST_STATES: Final = 1 << 17  # of words on their way from letters to tokens, about 1 kB each


def train_text_tokenizer(sentences: Iterable[str], vocabulary: int, folder: Path) -> int:
    """Writes the tokenizer files; returns the number of text ids, added ones included. Raises `InputError`."""
    texts = [sentence for sentence in sentences if sentence.strip()]
    if not texts:
        raise InputError("there is no text to learn a tokenizer from", where=str(folder))
    like = Qwen2Tokenizer(vocab={}, merges=[]).backend_tokenizer
    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = like.normalizer, like.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    learner.train_from_iterator([*texts, *[_TEMPLATE] * _TEMPLATE_WEIGHT], trainer)
    learnt = json.loads(learner.to_str())["model"]
    vocab, merges = learnt["vocab"], [tuple(pair) for pair in learnt["merges"]]
    added = {token: len(vocab) + place for place, token in enumerate((*SPECIALS, *AUDIO_MARKS))}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "vocab.json", json.dumps(vocab, ensure_ascii=False).encode())
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges)]
    write_atomically(folder / "merges.txt", ("\n".join(lines) + "\n").encode())
    write_json(folder / "added_tokens.json", added)
    write_json(folder / "tokenizer_config.json", _settings(added))
    return len(vocab) + len(added)


def _settings(added: dict[str, int]) -> dict[str, Any]:
    decoder = {
        str(number): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token in SPECIALS,
        }
        for token, number in added.items()
    }
    return {
        "added_tokens_decoder": decoder,
        "additional_special_tokens": list(SPECIALS[1:]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": 32768,
        "pad_token": PAD,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


class TextCoder:
    """Text to ids as the prompt builder does it, and with merges left out at random. Texts and words are remembered."""

    def __init__(self, tokenizer: Any) -> None:
        self._plain: Tokenizer = without_added_tokens(tokenizer.backend_tokenizer)
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        self._vocab: dict[str, int] = model["vocab"]
        self._lengths = np.zeros(max(self._vocab.values()) + 1, np.int64)
        for piece, number in self._vocab.items():
            self._lengths[number] = len(piece)
        self._ranks = {_pair(merge): rank for rank, merge in enumerate(model["merges"])}
        self._ids = lru_cache(_REMEMBERED)(self._new_ids)
        self._words = lru_cache(_REMEMBERED)(self._new_words)
        self._states: dict[str, _Merging] = {}
        self._num_states = 0

    def num_bytes(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """How many bytes of text each token stands for (a byte-level vocabulary has one character for each)."""
        return self._lengths[np.asarray(ids, np.int64)]

    def ids(self, text: str) -> tuple[int, ...]:
        return self._ids(text)

    def dropped_ids(self, text: str, share: float, rng: random.Random) -> tuple[int, ...]:
        """Ids that spell the same text, every merge left out with probability ``share`` each time it could be made."""
        words = self._words(text)
        return tuple(self._vocab[piece] for word in words for piece in self._merged(word, share, rng.random).pieces)

    def _new_ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._plain.encode(text, add_special_tokens=False).ids)

    def _new_words(self, text: str) -> tuple[str, ...]:
        normaliser, splitter = self._plain.normalizer, self._plain.pre_tokenizer
        words = splitter.pre_tokenize_str(normaliser.normalize_str(text) if normaliser is not None else text)
        return tuple(word for word, _ in words)

    def _merged(self, word: str, share: float, chance: Callable[[], float]) -> _Merging:
        if self._num_states > _MOST_STATES:
            self._states.clear()
            self._num_states = 0
        state = self._states.get(word)
        if state is None:
            state = self._states[word] = self._state(tuple(word))
        while state.best:
            draws = [chance() for _ in state.best]
            place = next((place for place in state.best if draws[place] >= share), None)
            if place is None:
                break
            state = state.after[place] or self._merge(state, place)
        return state

    def _merge(self, state: _Merging, place: int) -> _Merging:
        pieces, at = state.pieces, state.merges[place]
        after = self._state((*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]))
        state.after[place] = after
        return after

    def _state(self, pieces: tuple[str, ...]) -> _Merging:
        self._num_states += 1
        ranks = [self._ranks.get(pair) for pair in pairwise(pieces)]
        found = [(rank, at) for at, rank in enumerate(ranks) if rank is not None]
        best = sorted(range(len(found)), key=found.__getitem__)
        return _Merging(pieces, [at for _, at in found], best, [None] * len(found))


@dataclass
class _Merging:
    """A word in ``pieces``: where two of them could be one (``merges``), which of these comes first (``best``, places
    in ``merges``), and the words ``after`` each, made when they are needed.
    """

    pieces: tuple[str, ...]
    merges: list[int]
    best: list[int]
    after: list[_Merging | None]


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second
