"""Respelling: words keep what they meant to the model when their letters become phonemes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from omnitts.models.mgm_omni.checkpoint import read_tokenizer
from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.training.respelling import respelled
from omnitts.training.text_tokenizer import TextCoder, train_text_tokenizer

SENTENCES = [
    ("seven brown ponies crossed every little bridge", "en-us"),
    ("old sailors gather under yellow lamps", "en-us"),
    ("nobody laughed after winter came", "en-gb"),
] * 20  # no two words sound alike
LETTERS, PHONEMES = TextForm.LETTERS.writer(), TextForm.PHONEMES.writer()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folders: list[Path] = [tmp_path_factory.mktemp(name) for name in ("old", "new")]
    for folder, write in zip(folders, (LETTERS, PHONEMES), strict=True):
        train_text_tokenizer([write(*sentence) for sentence in SENTENCES], 330, folder)
    old, new = (read_tokenizer(folder) for folder in folders)
    return old, new


def test_words_sum_up_to_what_they_did(tokenizers: tuple[Any, Any]) -> None:
    old, new = tokenizers
    table = torch.randn(len(old), 16, generator=torch.Generator().manual_seed(0))
    made = respelled(table, old, new, SENTENCES, LETTERS, PHONEMES)
    assert made.shape == (len(new), 16)
    before, after = TextCoder(old), TextCoder(new)
    for text, accent in SENTENCES[:3]:
        for word in text.split():
            wanted = table[list(before.ids(f" {word}"))].sum(dim=0)
            found = made[list(after.ids(f" {PHONEMES(word, accent)}"))].sum(dim=0)
            assert float((found - wanted).norm() / wanted.norm()) < 0.35, word


def test_tokens_of_the_template_keep_their_meaning(tokenizers: tuple[Any, Any]) -> None:
    old, new = tokenizers
    table = torch.randn(len(old), 16, generator=torch.Generator().manual_seed(0))
    made = respelled(table, old, new, SENTENCES, LETTERS, PHONEMES)
    for token in ("<|audio_start|>", "<|im_end|>", "<|audio_sep|>"):
        ids = [tokenizer.get_vocab()[token] for tokenizer in (old, new)]
        assert torch.equal(table[ids[0]], made[ids[1]])
