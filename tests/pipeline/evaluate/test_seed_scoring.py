"""Seed-TTS-Eval's rules: what counts as a word, and what is dropped."""

from __future__ import annotations

import pytest

from omnitts.pipeline.evaluate.seed_scoring import normalise, score_file


def test_english_keeps_apostrophes_and_drops_the_rest() -> None:
    assert normalise("Don't go, Anna - please!", "en") == "don't go anna please"


def test_chinese_is_scored_by_the_character() -> None:
    assert normalise("今天 天气，真不错。", "zh") == "今 天 天 气 真 不 错"
    errors = score_file("今天天汽真不错", "今天天气，真不错。", "zh")
    assert errors.wer == pytest.approx(1 / 7)
    assert errors.num_words == 7


def test_kinds_of_errors() -> None:
    errors = score_file("the sea was very calm today", "The sea is calm.", "en")
    assert (errors.substitutions, errors.deletions, errors.insertions) == pytest.approx((1 / 4, 0, 2 / 4))
    assert score_file("", "The sea.", "en").wer == 1.0
