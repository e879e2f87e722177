"""Numbers as Chinese words: cardinals with their zeros and their two twos, digit strings, decimals, fractions.

Strings of digits in, words out. Knows nothing of the sentence they stand in.
"""

from __future__ import annotations

from typing import Final

_DIGITS: Final = "零一二三四五六七八九"
_SMALL_UNITS: Final = ("", "十", "百", "千")
_LARGE_UNITS: Final = ("", "万", "亿", "万亿")
_LONGEST_CARDINAL: Final = 16  # digits that the units up to 万亿 can name
_LONGEST_UNMARKED: Final = 8  # digits without separators that are still an amount and no identifier


def cardinal(number: int) -> str:
    """``1005`` -> ``一千零五``, ``12`` -> ``十二``, ``2000`` -> ``两千``, ``110`` -> ``一百一十``."""
    if number < 0:
        return f"负{cardinal(-number)}"
    if number == 0:
        return _DIGITS[0]
    digits = str(number)
    if len(digits) > _LONGEST_CARDINAL:
        return digit_by_digit(digits)
    groups = [int(digits[max(0, end - 4) : end]) for end in range(len(digits), 0, -4)]  # lowest four digits first
    words = ""
    for level in range(len(groups) - 1, -1, -1):
        group = groups[level]
        if group == 0:
            if words and not words.endswith("零") and any(groups[:level]):
                words += "零"
            continue
        if words and group < 1000 and not words.endswith("零"):
            words += "零"
        words += _group(group, leads=not words) + _LARGE_UNITS[level]
    if words.startswith("一十"):
        words = words[1:]
    return words


def _group(group: int, *, leads: bool) -> str:
    """Up to four digits; a two before 千 is 两 where it leads the whole number."""
    words, pending_zero = "", False
    for place in range(3, -1, -1):
        digit = group // 10**place % 10
        if digit == 0:
            pending_zero = bool(words)
            continue
        if pending_zero:
            words += "零"
            pending_zero = False
        words += ("两" if leads and digit == 2 and place == 3 else _DIGITS[digit]) + _SMALL_UNITS[place]
    return words


def large(number: int) -> str:
    """As `cardinal`, but a bare two before 万 or 亿 is 两: ``20000`` -> ``两万``."""
    words = cardinal(number)
    return f"两{words[1:]}" if words.startswith(("二万", "二亿")) else words


def digit_by_digit(digits: str, *, is_phone: bool = False) -> str:
    """``1984`` -> ``一九八四``; in phone numbers one is 幺."""
    words = "".join(_DIGITS[int(digit)] for digit in digits if digit.isdecimal())
    return words.replace("一", "幺") if is_phone else words


def number_words(text: str) -> str:
    """Any plain number as written: ``1,234`` ``3.14`` ``007`` ``-5``."""
    if text[:1] in "-−":
        return f"负{number_words(text[1:])}"
    has_separators = "," in text
    whole, point, decimals = text.replace(",", "").partition(".")
    if (len(whole) > 1 and whole[0] == "0") or (
        len(whole) > _LONGEST_UNMARKED and not has_separators and not whole.endswith("0000")
    ):
        spoken = digit_by_digit(whole)
    else:
        spoken = large(int(whole or "0"))
    return f"{spoken}点{digit_by_digit(decimals)}" if point and decimals else spoken


def fraction(numerator: str, denominator: str) -> str:
    """``3, 4`` -> ``四分之三``."""
    return f"{number_words(denominator)}分之{number_words(numerator)}"
