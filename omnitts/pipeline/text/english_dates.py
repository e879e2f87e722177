"""Dates, years and times of day in English text, as words. Text in, text out; anything else is left alone.

Numeric dates are read month first (``3/4/2021`` is March fourth), day first where the caller says so (``en-GB``) or
where no month can be meant (``13/4/2021``). ISO dates are never ambiguous.
"""

from __future__ import annotations

import re
from typing import Final

from omnitts.pipeline.text.english_numbers import cardinal, ordinal, plural_of_tens, year

_MONTH_NAMES: Final = "January February March April May June July August September October November December"
MONTHS: Final = tuple(_MONTH_NAMES.split())
_ABBREVIATED_MONTHS: Final = {name[:3]: name for name in MONTHS} | {"Sept": "September"}
_MONTH: Final = rf"({'|'.join(MONTHS)}|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\b\.?)"
_DAY: Final = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"(1\d{3}|20\d\d)"

_ISO: Final = re.compile(rf"\b{_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b")
_NUMERIC: Final = re.compile(r"(?<![\d/.-])(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d\d)(?![\d/.-]\d|\d)")
_DAY_MONTH: Final = re.compile(rf"(\bthe )?\b{_DAY}(?: of)? {_MONTH}(?:,? {_YEAR}\b)?(?!\d)")
_MONTH_DAY: Final = re.compile(rf"\b{_MONTH} {_DAY}(?:\s?[-–]\s?{_DAY})?\b(?:(,)? {_YEAR}\b)?(?![\d:]|,\d)")
_MONTH_YEAR: Final = re.compile(rf"\b{_MONTH}(,?) {_YEAR}\b")
_DECADE: Final = re.compile(r"(?<![\w$£€])(1\d|20)(\d)0['’]?s\b")
_SHORT_DECADE: Final = re.compile(r"(?<!\w)['’]?([2-9])0['’]?s\b")
_SHORT_YEAR: Final = re.compile(r"(?<!\w)['’](\d\d)\b(?!['’%])")
_YEAR_RANGE: Final = re.compile(r"(?<![\d$£€,.-])(1[0-9]\d\d|20\d\d)\s?[-–—]\s?(\d{4}|\d\d)(?![\d,.]*\d|-)")
_ERA: Final = re.compile(r"(?<![\w,.])(\d{1,4}) (B ?C ?E|B ?C|C ?E|A ?D)(?!\w)|\b(A ?D) (\d{1,4})\b")
_YEAR_SAID: Final = re.compile(
    r"\b((?:[Ii]n|[Ss]ince|[Bb]y|[Ff]rom|[Uu]ntil|[Tt]ill|[Bb]efore|[Aa]fter|[Oo]f|[Yy]ear|[Cc]irca|[Aa]nd|[Tt]o|"
    r"(?:[Ss]pring|[Ss]ummer|[Aa]utumn|[Ff]all|[Ww]inter|[Ee]arly|[Ll]ate|[Mm]id)[ -]?(?:of)?)[ -])"
    r"(1[0-9]\d\d|20\d\d)\b(?![\d,.:/%]*\d|%)"
    r"(?! (?:of|men|women|people|miles|feet|pounds|dollars|yards|metres|meters|years|hours|days)\b)"
)
_LONE_YEAR: Final = re.compile(
    r"(?<![\w$£€#.,:/-])(1[1-9]\d\d|20[1-9]\d)\b(?![\d,.:/%]*\d|%|[A-Za-z°])(?! [a-z]+s\b)"
    r"(?! (?:men|women|people|feet|children)\b)"
)

_CLOCK: Final = re.compile(
    r"(?<![\d:.])([01]?\d|2[0-4])(?:[:.]([0-5]\d))(?::[0-5]\d)?\s?(?:([AaPp])\.?\s?[Mm]\b\.?)|"
    r"(?<![\d:.])(0?[1-9]|1[0-2])\s?([AaPp])(?:\.[Mm]\.|\s?[Mm]\b\.?)|"
    r"(?<![\d:.])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])"
)


def dates_to_words(text: str, *, is_day_first: bool = False) -> str:
    """Every date, year and time in ``text`` as words."""
    text = _CLOCK.sub(_clock, text)
    text = _ISO.sub(lambda m: _month_day_year(int(m[2]), int(m[3]), m[1]), text)
    text = _NUMERIC.sub(lambda m: _numeric(m, is_day_first=is_day_first), text)
    text = _DAY_MONTH.sub(_day_month, text)
    text = _MONTH_DAY.sub(_month_day, text)
    text = _MONTH_YEAR.sub(lambda m: f"{_month_name(m[1])}{m[2]} {year(int(m[3]))}", text)
    text = _DECADE.sub(_decade, text)
    text = _SHORT_DECADE.sub(lambda m: plural_of_tens(cardinal(int(m[1]) * 10)), text)
    text = _ERA.sub(_era, text)
    text = _YEAR_RANGE.sub(_year_range, text)
    text = _SHORT_YEAR.sub(lambda m: _two_digits(m[1]), text)
    text = _YEAR_SAID.sub(lambda m: f"{m[1]}{year(int(m[2]))}", text)
    return _LONE_YEAR.sub(lambda m: year(int(m[1])), text)


def _month_name(written: str) -> str:
    name = written.rstrip(".")
    return _ABBREVIATED_MONTHS.get(name, name)


def _month_day_year(month: int, day: int, written_year: str) -> str:
    return f"{MONTHS[month - 1]} {ordinal(day)}, {_written_year(written_year)}"


def _written_year(written: str) -> str:
    return year(int(written)) if len(written) == 4 else _two_digits(written)


def _two_digits(written: str) -> str:
    return f"oh {cardinal(int(written))}" if written[0] == "0" and written != "00" else cardinal(int(written))


def _numeric(match: re.Match[str], *, is_day_first: bool) -> str:
    first, second = int(match[1]), int(match[3])
    month, day = (second, first) if is_day_first or match[2] == "." or first > 12 else (first, second)
    if not (1 <= month <= 12 and 1 <= day <= 31) or (match[2] == "." and len(match[4]) != 4):
        return match.group()
    return _month_day_year(month, day, match[4])


def _day_month(match: re.Match[str]) -> str:
    day = int(match[2])
    if not 1 <= day <= 31 or (match[3] == "May" and not match[4] and not match[1] and match[0].endswith(" may")):
        return match.group()
    spoken = f"the {ordinal(day)} of {_month_name(match[3])}"
    return f"{spoken}, {year(int(match[4]))}" if match[4] else spoken


def _month_day(match: re.Match[str]) -> str:
    day = int(match[2])
    if not 1 <= day <= 31:
        return match.group()
    spoken = f"{_month_name(match[1])} {ordinal(day)}"
    if match[3]:
        spoken += f" to {ordinal(int(match[3]))}"
    return f"{spoken}, {year(int(match[5]))}" if match[5] else spoken


def _decade(match: re.Match[str]) -> str:
    century, tens = int(match[1]), int(match[2])
    if tens == 0:
        return "two thousands" if century == 20 else f"{cardinal(century)} hundreds"
    return f"{cardinal(century)} {plural_of_tens(cardinal(tens * 10))}"


def _year_range(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    if len(last) == 4 and int(last) < int(first):
        return match.group()
    return f"{year(int(first))} to {_written_year(last)}"


def _era(match: re.Match[str]) -> str:
    number, era = (match[1], match[2]) if match[1] else (match[4], match[3])
    letters = " ".join(era.replace(" ", ""))
    said = year(int(number)) if int(number) >= 1000 else cardinal(int(number))
    return f"{said} {letters}" if match[1] else f"{letters} {said}"


def _clock(match: re.Match[str]) -> str:
    ends_text = match.end() == len(match.string) and match.group().endswith(".")
    if match[3]:
        return _minutes(int(match[1]), match[2], is_twelve_hour=True) + _half_day(match[3], ends_text=ends_text)
    if match[4]:
        return cardinal(int(match[4])) + _half_day(match[5], ends_text=ends_text)
    seconds = f" and {cardinal(int(match[8]))} seconds" if match[8] and int(match[8]) else ""
    return _minutes(int(match[6]), match[7], is_twelve_hour=False, is_padded=match[6].startswith("0")) + seconds


def _half_day(letter: str, *, ends_text: bool) -> str:
    return f" {letter.lower()} m{'.' if ends_text else ''}"


def _minutes(hour: int, minutes: str, *, is_twelve_hour: bool, is_padded: bool = False) -> str:
    spoken_hour = f"oh {cardinal(hour)}" if is_padded and hour else cardinal(hour)
    if minutes == "00":
        if is_twelve_hour:
            return spoken_hour
        return f"{cardinal(hour)} o'clock" if 1 <= hour <= 12 and not is_padded else f"{spoken_hour} hundred"
    return f"{spoken_hour} {_two_digits(minutes)}"
