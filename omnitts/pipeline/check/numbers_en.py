"""English numbers in one form: runs of number words become digits, so that "nineteen eighty-four" equals "1984".

Token lists in, token lists out; no alignment, no audio. Values up to twelve are written as words (they are more often
pronouns and idioms than figures), larger ones as digits; ordinals above twelfth as ``21th``, whatever their suffix.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_SMALL_ORDINALS: Final = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
    "nineteenth",
)  # fmt: skip
_TENS: Final = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_CARDINALS: Final = {word: value for value, word in enumerate(_SMALL)} | {
    word: 20 + 10 * step for step, word in enumerate(_TENS)
}
_ORDINALS: Final = {word: value for value, word in enumerate(_SMALL_ORDINALS)} | {
    word[:-1] + "ieth": 20 + 10 * step for step, word in enumerate(_TENS)
}
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_HUNDRED: Final = 100
_LARGEST_WORD: Final = 12
_ORDINAL_DIGITS: Final = re.compile(r"(\d+)(?:st|nd|rd|th)")


class Token(NamedTuple):
    """A word in canonical form, and as it was written."""

    text: str
    shown: str


class _Number(NamedTuple):
    value: int
    end: int  # index after its last token
    ordinal: bool = False


def fold_numbers(tokens: list[Token]) -> list[Token]:
    """Joins each run of number words and digits that makes one number into one token."""
    words = [token.text for token in tokens]
    folded: list[Token] = []
    position = 0
    while position < len(tokens):
        number = _read(words, position)
        if number is None:
            folded.append(tokens[position])
            position += 1
            continue
        shown = " ".join(token.shown for token in tokens[position : number.end])
        folded.append(Token(_written(number), shown))
        position = number.end
    return folded


def digits_of(word: str) -> str:
    """A number word as digits (``"eighty"`` -> ``"80"``, ``"oh"`` -> ``"0"``), any other word unchanged."""
    if word in ("oh", "o"):
        return "0"
    value = _CARDINALS.get(word)
    if value is None:
        value = _ORDINALS.get(word)
        return word if value is None else f"{value}th"
    return str(value)


def _written(number: _Number) -> str:
    if number.value <= _LARGEST_WORD:
        return (_SMALL_ORDINALS if number.ordinal else _SMALL)[number.value]
    return f"{number.value}{'th' if number.ordinal else ''}"


def _read(words: list[str], start: int) -> _Number | None:
    """The number that begins at ``start``, as long as it goes; None when none begins there."""
    if words[start] in ("a", "an"):  # "a hundred", "a thousand"
        if start + 1 < len(words) and words[start + 1] in ("hundred", *_SCALES):
            return _read_scaled(words, _Number(1, start + 1))
        return None
    ordinal = _ORDINAL_DIGITS.fullmatch(words[start])
    if ordinal:
        return _Number(int(ordinal[1]), start + 1, ordinal=True)
    if words[start] in _ORDINALS:
        return _Number(_ORDINALS[words[start]], start + 1, ordinal=True)
    first = _read_below_hundred(words, start)
    if first is None:
        return None
    if first.ordinal:
        return first
    pair = _read_pair(words, start, first)
    return pair or _read_scaled(words, first)


def _read_below_hundred(words: list[str], start: int) -> _Number | None:
    """``forty``, ``forty two``, ``forty second``, ``17``; digits of any size count too ("5 million")."""
    if start >= len(words):
        return None
    word = words[start]
    if word.isascii() and word.isdigit():
        return _Number(int(word), start + 1) if word == str(int(word)) else None
    value = _CARDINALS.get(word)
    if value is None:
        return None
    if value >= 20 and start + 1 < len(words):
        unit = _CARDINALS.get(words[start + 1], 0)
        if 1 <= unit <= 9:
            return _Number(value + unit, start + 2)
        unit = _ORDINALS.get(words[start + 1], 0)
        if 1 <= unit <= 9:
            return _Number(value + unit, start + 2, ordinal=True)
    return _Number(value, start + 1)


def _read_pair(words: list[str], start: int, first: _Number) -> _Number | None:
    """Years said in two halves: ``nineteen eighty four``, ``eighteen oh five``."""
    if not 10 <= first.value <= 99 or words[start].isdigit() or first.end >= len(words):
        return None
    if words[first.end] in ("oh", "o"):
        unit = _CARDINALS.get(words[first.end + 1], 0) if first.end + 1 < len(words) else 0
        return _Number(first.value * 100 + unit, first.end + 2) if 1 <= unit <= 9 else None
    second = _read_below_hundred(words, first.end)
    if second is None or second.ordinal or not 10 <= second.value <= 99 or words[first.end].isdigit():
        return None
    if second.end < len(words) and words[second.end] in ("hundred", *_SCALES):
        return None
    return _Number(first.value * 100 + second.value, second.end)


def _read_scaled(words: list[str], first: _Number) -> _Number:
    """``three hundred and five``, ``two thousand and one``, ``5 million two hundred thousand``."""
    total, current, position = 0, first.value, first.end
    limit = 10**15  # scales must fall: "two million three thousand", never the other way round
    while position < len(words):
        word = words[position]
        if word == "hundred" and 0 < current < _HUNDRED:
            current, room = current * _HUNDRED, _HUNDRED
        elif word in _SCALES and _SCALES[word] < limit and current:
            limit, room = _SCALES[word], 1000
            total, current = total + current * limit, 0
        else:
            break
        position += 1
        joined_by_and = position < len(words) and words[position] == "and"
        rest = _read_below_hundred(words, position + joined_by_and)
        if rest and rest.value < room:
            current, position = current + rest.value, rest.end
            if rest.ordinal:
                return _Number(total + current, position, ordinal=True)
    return _Number(total + current, position)
