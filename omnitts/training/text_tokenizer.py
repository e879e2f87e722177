"""Text tokenizer: a byte-level BPE learnt from books, written as Qwen2's files, and BPE dropout for training.

Sentences in; vocab.json, merges.txt, added_tokens.json and tokenizer_config.json out. The pre-tokenizer and normaliser
are those of transformers' Qwen2Tokenizer, so that what is learnt is what the loader reads. Added tokens come last, the
three audio marks at the very end, as the mouth's vocabulary expects. Source of the dropout: arXiv 1910.13267.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

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
    """Text to ids as the prompt builder does it, and with merges left out at random."""

    def __init__(self, tokenizer: Any) -> None:
        self._plain: Tokenizer = without_added_tokens(tokenizer.backend_tokenizer)
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        self._vocab: dict[str, int] = model["vocab"]
        self._lengths = {number: len(piece) for piece, number in self._vocab.items()}
        self._ranks = {_pair(merge): rank for rank, merge in enumerate(model["merges"])}

    def num_bytes(self, token: int) -> int:
        """How many bytes of text a token stands for (a byte-level vocabulary has one character for each)."""
        return self._lengths[token]

    def ids(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def dropped_ids(self, text: str, share: float, rng: random.Random) -> list[int]:
        """Ids that spell the same text, every merge left out with probability ``share`` each time it could be made."""
        normaliser, splitter = self._plain.normalizer, self._plain.pre_tokenizer
        words = splitter.pre_tokenize_str(normaliser.normalize_str(text) if normaliser is not None else text)
        return [self._vocab[piece] for word, _ in words for piece in self._pieces(word, share, rng)]

    def _pieces(self, word: str, share: float, rng: random.Random) -> Sequence[str]:
        pieces = list(word)
        while len(pieces) > 1:
            candidates = [
                (rank, place)
                for place, pair in enumerate(pairwise(pieces))
                if (rank := self._ranks.get(pair)) is not None and (share == 0 or rng.random() >= share)
            ]
            if not candidates:
                break
            _, place = min(candidates)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        return pieces


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second
