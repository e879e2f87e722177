"""Spoken text in, estimated seconds of speech out. Arithmetic on characters alone, so that a whole book costs nothing.

The rates are those of an unhurried narrator: 155 words a minute of English prose measure as 15 characters a second,
blanks included; Mandarin narration runs at 4.4 syllables, that is characters, a second.
"""

from __future__ import annotations

import re
from typing import Final

_LATIN_CHARACTERS_PER_S: Final = 15.0
_HAN_CHARACTERS_PER_S: Final = 4.4
_KANA_HANGUL_PER_S: Final = 6.5
_SPELLED_LETTER_S: Final = 0.25  # what a letter said by its name takes beyond its two characters
_INNER_PAUSE_S: Final = 0.12  # a comma's breath beyond its own character
_HAN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_KANA_HANGUL: Final = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_SPELLED: Final = re.compile(r"[B-HJ-Z](?<= .)(?= )")


def estimate_s(spoken: str) -> float:
    """Seconds that ``spoken`` takes at normal speed, from its script and length."""
    if not spoken:
        return 0.0
    wide_s = 0.0
    num_latin = len(spoken)
    if not spoken.isascii():
        num_han, num_syllables = len(_HAN.findall(spoken)), len(_KANA_HANGUL.findall(spoken))
        wide_s = num_han / _HAN_CHARACTERS_PER_S + num_syllables / _KANA_HANGUL_PER_S
        num_latin -= num_han + num_syllables
    num_breaths = spoken.count(",") + spoken.count("，") + spoken.count(";") + spoken.count(". ")
    num_spelled = len(_SPELLED.findall(spoken))
    return num_latin / _LATIN_CHARACTERS_PER_S + wide_s + num_breaths * _INNER_PAUSE_S + num_spelled * _SPELLED_LETTER_S
