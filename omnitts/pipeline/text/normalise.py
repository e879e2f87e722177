"""Display text in, spoken text out: picks the language's normaliser. Never raises; words are never lost.

Languages other than English and Chinese get plain punctuation and their numbers from num2words where it knows them.
"""

from __future__ import annotations

import re
from typing import Final

from omnitts.pipeline.text.chinese import speak_chinese
from omnitts.pipeline.text.english import speak_english
from omnitts.pipeline.text.punctuation import plain_marks, settle_marks

_HAN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f]")
_NUMBER: Final = re.compile(r"\d+")
_MONTH_FIRST_REGIONS: Final = frozenset({"", "us", "ph"})
_LATIN_LETTERS_PER_HAN: Final = 3  # a character of Chinese weighs as much as a short English word


def normalise(text: str, language: str, *, is_heading: bool = False) -> str:
    """How ``text`` is said in ``language`` (a BCP 47 tag). Empty only when there is no letter or digit to say."""
    primary, _, region = language.lower().replace("_", "-").partition("-")
    if primary == "zh":
        return speak_chinese(text)
    if primary == "en":
        return speak_english(text, is_heading=is_heading, is_day_first=region not in _MONTH_FIRST_REGIONS)
    return _speak_other(text, primary)


def language_of(text: str, wanted: str) -> str:
    """The language to read ``text`` in. ``wanted`` stands, but English and Chinese (or nothing) give way to script."""
    primary = wanted.lower().replace("_", "-").partition("-")[0]
    if primary not in {"", "en", "zh"}:
        return wanted.lower()
    if text.isascii():
        return "en" if primary == "" or (primary == "zh" and _LATIN.search(text)) else wanted.lower()
    if not _HAN.search(text):
        return "en" if primary != "en" and _LATIN.search(text) else wanted.lower() or "en"
    num_han, num_latin = len(_HAN.findall(text)), len(_LATIN.findall(text))
    if num_han * _LATIN_LETTERS_PER_HAN > num_latin:
        return "zh" if primary != "zh" else wanted.lower()
    if num_latin:
        return "en" if primary != "en" else wanted.lower()
    return wanted.lower() or "en"


def _speak_other(text: str, primary: str) -> str:
    spoken = plain_marks(text)
    if _NUMBER.search(spoken):
        spoken = _NUMBER.sub(lambda number: _number_in(number.group(), primary), spoken)
    return settle_marks(spoken)


def _number_in(digits: str, primary: str) -> str:
    from num2words import num2words

    if len(digits) > 15:
        return " ".join(_number_in(digit, primary) for digit in digits)
    try:
        words: str = num2words(int(digits), lang=primary)
    except (NotImplementedError, OverflowError):
        return digits
    return words
