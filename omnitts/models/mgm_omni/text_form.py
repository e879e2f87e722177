"""What a mouth's text track is made of: letters as people write them, as published, or the phonemes of the text.

Text and accent in, the text that is tokenised out. A small model that reads letters must learn the pronunciation of
every word from speech alone; one that reads phonemes is told (docs/training.md has what that changed).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from omnitts.models.reading.labels import Speller


class TextForm(StrEnum):
    """``text_form`` of config.json; a checkpoint that does not say reads letters."""

    LETTERS = "letters"
    PHONEMES = "phonemes"

    def writer(self) -> Callable[[str, str], str]:
        """A function of text and accent (``en-gb``: British; else American) that gives the text in this form."""
        return _as_it_is if self is TextForm.LETTERS else Speller("phonemes").transcribe


def _as_it_is(text: str, accent: str) -> str:
    return text
