"""The text tokenizer's files are what the loader reads, and dropout spells the same text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from omnitts.errors import InputError
from omnitts.models.mgm_omni.checkpoint import read_tokenizer
from omnitts.training.text_tokenizer import AUDIO_MARKS, TextCoder, train_text_tokenizer
from tests.training.toys import TEXTS

SENTENCES = [*TEXTS, "“Don't go,” she said — “it's 1850!”", "naïve café; 中文", "The light, the boat, the dawn."] * 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("text")
    assert train_text_tokenizer(SENTENCES, 400, target) == 406
    return target


def test_the_loader_reads_it(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    assert len(tokenizer) == 406
    assert tokenizer.convert_tokens_to_ids(list(AUDIO_MARKS)) == [403, 404, 405]
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.eos_token == "<|im_end|>"
    for text in (*SENTENCES[:7], "Unseen wörds 42 — \n  too.", "<|audio_start|>"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_known_words_cost_few_tokens(folder: Path) -> None:
    coder = TextCoder(read_tokenizer(folder))
    assert len(coder.ids(TEXTS[0])) <= 9


def test_dropout_spells_the_same_text_in_other_pieces(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    coder = TextCoder(tokenizer)
    spellings = set()
    for seed in range(20):
        ids = coder.dropped_ids(SENTENCES[4], 0.3, random.Random(seed))
        assert tokenizer.decode(ids) == SENTENCES[4]
        spellings.add(tuple(ids))
        assert ids == coder.dropped_ids(SENTENCES[4], 0.3, random.Random(seed))
    assert len(spellings) > 10


def test_no_dropout_is_the_tokenizer_itself(folder: Path) -> None:
    coder = TextCoder(read_tokenizer(folder))
    for text in SENTENCES[:7]:
        assert coder.dropped_ids(text, 0.0, random.Random(0)) == coder.ids(text)


def test_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no text"):
        train_text_tokenizer(["  "], 400, tmp_path)
