"""Long-TTS-Eval text scoring: transcripts and references in, word error rates out, to the published metric's letter.

Goes in: plain strings. Comes out: normalised text, `WordErrors` per pair, `CorpusScore` over all. Knows no audio, files
or models. Chinese is scored by the character, because normalisation sets each apart. Source: specification 8 and trap
33; the Chinese punctuation is that of zhon 2.1.1 (MIT).
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import jiwer
from num2words import num2words

HANZI_PUNCTUATION: Final = (
    "＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､　、〃〈〉《"
    "》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏﹑﹔·．！？｡。"
)
_TO_SPACE: Final = str.maketrans(dict.fromkeys(HANZI_PUNCTUATION + string.punctuation, " "))
_BEFORE_HANZI: Final = re.compile("(?<=\\S)(?=[\u4e00-\u9fff])")
_AFTER_HANZI: Final = re.compile("(?<=[\u4e00-\u9fff])(?=\\S)")


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Rates over ``num_words``, the number of parts between single spaces in the reference."""

    wer: float
    substitutions: float
    deletions: float
    insertions: float
    num_words: int


@dataclass(frozen=True, slots=True)
class CorpusScore:
    """``wer`` as published: every file weighs as many words as its reference has. ``mean_wer``: every file the same."""

    wer: float
    mean_wer: float
    num_files: int
    num_words: int


def normalise(text: str, language: str) -> str:
    """Text as it is compared: numbers in words, lower case, no punctuation, single spaces; hanzi one by one in "zh".

    Chinese keeps its digits, and so does any text with a number that cannot be put in words: all of its numbers then.
    """
    words = _spell_numbers(text, language).lower().translate(_TO_SPACE)
    words = " ".join(words.split())
    if language == "zh":
        words = _AFTER_HANZI.sub(" ", _BEFORE_HANZI.sub(" ", words))
    return words


def word_errors(hypothesis: str, reference: str) -> WordErrors:
    """Errors of a normalised transcript against a normalised reference. Raises ValueError for an empty reference."""
    if not reference.strip():
        raise ValueError("one or more references are empty strings")
    aligned = jiwer.process_words(reference, hypothesis)
    num_words = len(reference.split(" "))
    return WordErrors(
        wer=aligned.wer,
        substitutions=aligned.substitutions / num_words,
        deletions=aligned.deletions / num_words,
        insertions=aligned.insertions / num_words,
        num_words=num_words,
    )


def score_file(transcript: str, references: Sequence[str], language: str) -> WordErrors:
    """The best of a file's references (the text as written, the text as read); of equals the later one counts."""
    if not references:
        raise ValueError("a file needs at least one reference")
    hypothesis = normalise(transcript, language)
    scores = [word_errors(hypothesis, normalise(reference, language)) for reference in references]
    return min(reversed(scores), key=lambda score: score.wer)


def score_corpus(files: Sequence[WordErrors]) -> CorpusScore:
    """Over all files of a test set. Raises ValueError when there is none."""
    if not files:
        raise ValueError("no file was scored")
    num_words = sum(file.num_words for file in files)
    return CorpusScore(
        wer=sum(file.wer * file.num_words for file in files) / num_words,
        mean_wer=fmean(file.wer for file in files),
        num_files=len(files),
        num_words=num_words,
    )


def _spell_numbers(text: str, language: str) -> str:
    if language == "zh":  # the published script calls num2words, which had no Chinese, and keeps the text
        return text
    try:
        return re.sub(r"\d+", lambda run: f" {num2words(int(run[0]), lang=language)} ", text)
    except (NotImplementedError, OverflowError, ValueError):
        return text
