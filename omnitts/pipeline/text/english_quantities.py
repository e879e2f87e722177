"""Amounts in English text as words: money, units, percentages, ranges, fractions, ordinals, phone and other numbers.

Text in, text out. Dates and times are already words when this is asked. Leaves no digit behind.
"""

from __future__ import annotations

import re
from typing import Final

from omnitts.pipeline.text.english_numbers import (
    cardinal,
    digit_by_digit,
    fraction,
    mixed_fraction,
    number_words,
    ordinal,
)

_NUMBER: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_SCALES: Final = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "bn": "billion",
    "B": "billion", "b": "billion", "tn": "trillion", "T": "trillion",
}  # fmt: skip
_CURRENCIES: Final = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₽": ("rouble", "roubles", "kopeck", "kopecks"),
    "₩": ("won", "won", "", ""),
}
_UNITS: Final = {
    "km": ("kilometre", "kilometres"), "m": ("metre", "metres"), "cm": ("centimetre", "centimetres"),
    "mm": ("millimetre", "millimetres"), "nm": ("nanometre", "nanometres"), "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"), "mg": ("milligram", "milligrams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"), "ft": ("foot", "feet"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "mi": ("mile", "miles"), "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometre per hour", "kilometres per hour"), "kph": ("kilometre per hour", "kilometres per hour"),
    "m/s": ("metre per second", "metres per second"), "l": ("litre", "litres"), "L": ("litre", "litres"),
    "ml": ("millilitre", "millilitres"), "mL": ("millilitre", "millilitres"), "cl": ("centilitre", "centilitres"),
    "ha": ("hectare", "hectares"), "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"), "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "W": ("watt", "watts"), "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"), "kWh": ("kilowatt hour", "kilowatt hours"), "V": ("volt", "volts"),
    "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"), "sec": ("second", "seconds"),
    "secs": ("second", "seconds"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "h": ("hour", "hours"), "yr": ("year", "years"),
    "yrs": ("year", "years"), "dB": ("decibel", "decibels"), "kcal": ("kilocalorie", "kilocalories"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"), "%": ("percent", "percent"), "‰": ("per mille", "per mille"),
    "in.": ("inch", "inches"), "px": ("pixel", "pixels"), "rpm": ("R P M", "R P M"),
}  # fmt: skip
_POWERS: Final = {"²": "square ", "³": "cubic "}
_VULGAR: Final = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3),
    "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7),
    "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8), "⅑": (1, 9), "⅒": (1, 10),
}  # fmt: skip

_UNIT_NAMES: Final = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_UNIT: Final = rf"({_UNIT_NAMES})([²³])?(?![\w²³/])"
_RANGE: Final = r"\s?(?:-|–|—|to)\s?"
_MONEY: Final = re.compile(
    rf"(?:\b(US|A|C|AU|CA|NZ|HK)(?=\$))?([$£€¥₹₽₩])\s?({_NUMBER})(?:{_RANGE}\2?({_NUMBER}))?"
    r"(?:(?:\s?(million|billion|trillion|thousand|hundred)|(k|K|mn|m|M|bn|B|b|tn|T))\b)?(-(?=[a-z]))?"
)
_PENCE: Final = re.compile(r"(?<![\w.,])(\d{1,2})p\b")
_CENTS: Final = re.compile(r"(?<![\w.,])(\d{1,3})\s?¢")
_FEET_INCHES: Final = re.compile(r"(?<![\w.])(\d{1,2})['′’]\s?(\d{1,2})(?:\"|″|”|'')")
_MEASURE: Final = re.compile(
    rf"(?<![\w.,/])([-−])?({_NUMBER}|(?:\d+ ?)?[½¼¾⅓⅔⅛⅜⅝⅞])(?:{_RANGE}({_NUMBER}))?\s?(?:-(?=[a-z]+\b))?{_UNIT}"
)
_PERCENT_RANGE: Final = re.compile(r"%\s?[–-]\s?(?=\d[\d.]*\s?%)")
_THING_SOLD: Final = re.compile(
    r"[ ](?:notes?|bills?|coins?|fines?|bets?|tickets?|rewards?|prizes?|deposits?|loans?|che(?:que|ck)s?|bonus|budget|"
    r"deal|project|house|suit|question|investment|contract|fee|gift|donation|debt)\b"
)
_VULGAR_NUMBER: Final = re.compile(rf"(?:(\d+)\s?)?([{''.join(_VULGAR)}])")
_MIXED: Final = re.compile(r"(?<![\w/.,])(\d+)[ -](\d{1,2})/(\d{1,3})(?![\w/])")
_FRACTION: Final = re.compile(r"(?<![\w/.,])(\d{1,3})/(\d{1,3})(?:(ths?|rds?|nds?)\b)?(?![\w/])")
_SLASHED_NAMES: Final = {(24, 7): "twenty-four seven", (9, 11): "nine eleven", (50, 50): "fifty-fifty"}
_PHONE: Final = re.compile(
    r"(?<![\w.,-])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}|\(\d{3}\) ?\d{3}[ -]\d{4}"
    r"|(?:1-)?\d{3}[-.]\d{3}[-.]\d{4}|\d{3}-\d{4}|0\d{3,4} \d{3} ?\d{3,4})(?![\w-])"
)
_NUMBER_SIGN: Final = re.compile(r"#\s?(?=\d)|№\s?")
_ORDINAL: Final = re.compile(r"\b(\d{1,3}(?:,\d{3})+|\d+)(st|nd|rd|th)\b", re.IGNORECASE)
_SCORE: Final = re.compile(r"(?<![\w:.])(\d{1,3}):(\d{1,2})(?![\w:])")
_BY: Final = re.compile(r"(?<=\d)\s?[x×]\s?(?=\d)")
_TIMES: Final = re.compile(r"(?<=\d)[x×](?![\w])")
_DOTTED: Final = re.compile(r"(?<![\w,])\d+(?:\.\d+){2,}(?![\w])")
_NUMBER_RANGE: Final = re.compile(r"(?<![\w.,-])(\d[\d,]*(?:\.\d+)?)\s?[–—-]\s?(\d[\d,]*(?:\.\d+)?)(?![\w-]*\d)")
_NEGATIVE: Final = re.compile(r"(?<![\w)\]\d.,-])[-−](?=\.?\d)|−\s?(?=\d)")
_PLAIN: Final = re.compile(rf"(?<!\d)({_NUMBER})(?!\d)")
_GLUED: Final = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_CODE_LETTERS: Final = re.compile(r"\b[A-Z]{2,4}(?=-?\d)|(?<=\d)[A-Z]{2,4}\b")
_DIGIT: Final = re.compile(r"\d")


def quantities_to_words(text: str) -> str:
    """Every number in ``text`` as words, together with its unit or currency."""
    text = _FEET_INCHES.sub(_feet_inches, text)
    text = _PERCENT_RANGE.sub(" percent to ", text)
    text = _MONEY.sub(_money, text)
    text = _PENCE.sub(lambda m: _counted(m[1], "penny", "pence"), text)
    text = _CENTS.sub(lambda m: _counted(m[1], "cent", "cents"), text)
    text = _PHONE.sub(lambda m: _phone(m.group()), text)
    text = _MIXED.sub(lambda m: mixed_fraction(int(m[1]), int(m[2]), int(m[3])), text)
    text = _MEASURE.sub(_measure, text)
    text = _VULGAR_NUMBER.sub(_vulgar, text)
    text = _FRACTION.sub(_slashed, text)
    text = _NUMBER_SIGN.sub("number ", text)
    text = _ORDINAL.sub(lambda m: ordinal(int(m[1].replace(",", ""))), text)
    text = _SCORE.sub(lambda m: f"{cardinal(int(m[1]))} to {cardinal(int(m[2]))}", text)
    text = _TIMES.sub(" times", _BY.sub(" by ", text))
    text = _DOTTED.sub(lambda m: " point ".join(number_words(part) for part in m.group().split(".")), text)
    text = _NUMBER_RANGE.sub(
        lambda m: f"{number_words(m[1].rstrip(','))} to {number_words(m[2].rstrip(','))}{_tail_comma(m[2])}", text
    )
    text = _NEGATIVE.sub("minus ", text)
    text = _CODE_LETTERS.sub(lambda m: " ".join(m.group()), text)
    text = _GLUED.sub(" ", text) if _DIGIT.search(text) else text
    return _PLAIN.sub(lambda m: number_words(m[1]), text)


def _tail_comma(written: str) -> str:
    return "," if written.endswith(",") else ""


def _counted(number: str, one: str, many: str) -> str:
    return f"{number_words(number)} {one if number == '1' else many}"


def _money(match: re.Match[str]) -> str:
    _, sign, first, last, scale_word, scale_letter, hyphen = match.groups()
    one, many, small_one, small_many = _CURRENCIES[sign]
    scale = scale_word or _SCALES.get(scale_letter or "", "")
    glue = " " if hyphen else ""
    if _THING_SOLD.match(match.string, match.end()):
        many, small_one = one, ""
    if scale or last:
        upper = f" to {number_words(last)}" if last else ""
        return f"{number_words(first)}{upper}{' ' if scale else ''}{scale} {many}{glue}"
    whole, _, decimals = first.replace(",", "").partition(".")
    if not decimals or len(decimals) != 2 or not small_one:
        return f"{_counted(first, one, many)}{glue}"
    small = _counted(str(int(decimals)), small_one, small_many) if int(decimals) else ""
    large = _counted(whole, one, many) if int(whole or 0) or not small else ""
    return " and ".join(part for part in (large, small) if part) + glue


def _feet_inches(match: re.Match[str]) -> str:
    return f"{_counted(match[1], 'foot', 'feet')} {_counted(match[2], 'inch', 'inches')}"


def _measure(match: re.Match[str]) -> str:
    sign, first, last, unit, power = match.groups()
    one, many = _UNITS[unit]
    power_words = _POWERS[power] if power else ""
    if not any(character.isdigit() and character.isascii() for character in first) or not first.isascii():
        spoken, is_one = _VULGAR_NUMBER.sub(_vulgar, first), False
        return (
            f"{spoken} {power_words}{many if ' and ' in spoken else f'of a {one}' if unit not in {'%', '°'} else many}"
        )
    spoken, is_one = number_words(first), first == "1"
    if last:
        spoken, is_one = f"{spoken} to {number_words(last)}", False
    ends = match.end() == len(match.string) and unit.endswith(".")
    return f"{'minus ' if sign else ''}{spoken} {power_words}{one if is_one else many}{'.' if ends else ''}"


def _vulgar(match: re.Match[str]) -> str:
    numerator, denominator = _VULGAR[match[2]]
    return mixed_fraction(int(match[1]), numerator, denominator) if match[1] else fraction(numerator, denominator)


def _slashed(match: re.Match[str]) -> str:
    pair = int(match[1]), int(match[2])
    return _SLASHED_NAMES.get(pair) or fraction(*pair)


def _phone(written: str) -> str:
    groups = re.findall(r"\d+", written)
    spoken = ", ".join(digit_by_digit(group) for group in groups)
    return f"plus {spoken}" if written.startswith("+") else spoken
