"""Seed-TTS-Eval text scoring: transcript and reference in, `WordErrors` out. Knows no audio, files or models.

All punctuation goes except the apostrophe; English in lower case by the word, Chinese by the character. A set's score
is the plain mean over its files, none left out (published description of seed-tts-eval). Numbers stay as written.
"""

from __future__ import annotations

import string
from typing import Final

from omnitts.pipeline.evaluate.text_scoring import HANZI_PUNCTUATION, WordErrors, word_errors

_DROPPED: Final = str.maketrans(dict.fromkeys((HANZI_PUNCTUATION + string.punctuation).replace("'", "")))


def normalise(text: str, language: str) -> str:
    """Text as it is compared: single spaces between words, or between characters in ``zh``."""
    plain = text.translate(_DROPPED)
    if language == "zh":
        return " ".join("".join(plain.split()))
    return " ".join(plain.lower().split())


def score_file(transcript: str, reference: str, language: str) -> WordErrors:
    """Raises ValueError for a reference without any word."""
    return word_errors(normalise(transcript, language), normalise(reference, language))
