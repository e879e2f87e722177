"""Numbers as English words: cardinals, ordinals, years, decimals, digits, fractions, Roman numerals.

Strings of digits in, words out. Knows nothing of the sentence they stand in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_LONGEST_CARDINAL: Final = 15  # digits; beyond the trillions a listener follows digits better than names
_DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ROMAN: Final = re.compile(r"(?=[IVXLCDM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\Z")
_ROMAN_VALUES: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_DENOMINATORS: Final = {2: ("half", "halves"), 4: ("quarter", "quarters")}


@lru_cache(maxsize=4096)
def cardinal(number: int) -> str:
    """``1234`` -> ``one thousand two hundred and thirty-four``."""
    if len(str(abs(number))) > _LONGEST_CARDINAL:
        return digit_by_digit(str(number))
    from num2words import num2words

    words: str = num2words(number)
    return words.replace(",", "")


@lru_cache(maxsize=1024)
def ordinal(number: int) -> str:
    """``21`` -> ``twenty-first``."""
    if len(str(abs(number))) > _LONGEST_CARDINAL:
        return digit_by_digit(str(number))
    from num2words import num2words

    words: str = num2words(number, to="ordinal")
    return words.replace(",", "")


def digit_by_digit(digits: str) -> str:
    """``007`` -> ``zero zero seven``; anything that is not a decimal digit is passed over."""
    return " ".join(_DIGITS[int(digit)] for digit in digits if digit.isdecimal())


def year(number: int) -> str:
    """``1984`` -> ``nineteen eighty-four``, ``1905`` -> ``nineteen oh five``, ``2000`` -> ``two thousand``."""
    century, rest = divmod(number, 100)
    if not 1000 <= number <= 9999 or 2000 <= number <= 2009 or number % 1000 == 0:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    if century % 10 == 0 and rest < 10:
        return cardinal(number)  # 1005: a thousand and five, not ten oh five
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def plural_of_tens(words: str) -> str:
    """``nineteen eighty`` -> ``nineteen eighties``, ``nineteen hundred`` -> ``nineteen hundreds``."""
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def number_words(text: str) -> str:
    """Any plain number as written: ``1,234`` ``3.14`` ``.5`` ``007`` ``12345678``.

    Seven digits and more without separators are an identifier, read digit by digit, unless they end in three zeros.
    """
    whole, point, decimals = text.replace(",", "").partition(".")
    if point and decimals:
        spoken_whole = _whole_words(whole, has_separators=True) + " " if whole else ""
        return f"{spoken_whole}point {digit_by_digit(decimals)}"
    return _whole_words(whole, has_separators="," in text)


def _whole_words(digits: str, *, has_separators: bool) -> str:
    if len(digits) > 1 and digits[0] == "0":
        return digit_by_digit(digits)
    if len(digits) > _LONGEST_CARDINAL or (len(digits) >= 7 and not has_separators and not digits.endswith("000")):
        return digit_by_digit(digits)
    return cardinal(int(digits))


def fraction(numerator: int, denominator: int) -> str:
    """``3, 4`` -> ``three quarters``; ``1, 2`` -> ``one half``; ``5, 0`` -> ``five over zero``."""
    if denominator < 2 or denominator > 1000:
        return f"{cardinal(numerator)} over {cardinal(denominator)}"
    one, many = _DENOMINATORS.get(denominator) or (ordinal(denominator), f"{ordinal(denominator)}s")
    return f"{cardinal(numerator)} {one if numerator == 1 else many}"


def mixed_fraction(whole: int, numerator: int, denominator: int) -> str:
    """``3, 1, 2`` -> ``three and a half``."""
    part = fraction(numerator, denominator)
    part = re.sub(r"\Aone ", "an " if denominator in (8, 11, 18) else "a ", part)
    return f"{cardinal(whole)} and {part}"


def roman_value(numeral: str) -> int | None:
    """``XIV`` -> 14; None when it is no well-formed Roman numeral in capitals."""
    if not numeral or not _ROMAN.match(numeral):
        return None
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
