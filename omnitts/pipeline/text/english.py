"""English display text in, spoken text out: the order in which marks, words, numbers and capitals are made speakable.

Most sentences need nothing, and one look at their characters tells. Never raises; see the golden table in the tests.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from omnitts.pipeline.text.english_dates import dates_to_words
from omnitts.pipeline.text.english_quantities import quantities_to_words
from omnitts.pipeline.text.english_words import capitals_to_words, words_to_words
from omnitts.pipeline.text.punctuation import plain_marks, settle_marks

_PLAIN_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ,;:.!?'-")
_PLAIN_OR_CURLY: Final = _PLAIN_CHARACTERS | frozenset('“”’"—')
_EASY_QUOTES: Final = re.compile(r"(?:\A|(?<=\s))[“\"](?=\w)|(?<=[\w.!?,])[”\"](?=\s|\Z)|(?<=\w)’(?=\w)")
_ODD_APOSTROPHE: Final = re.compile(r"(?<!\w)'|'(?!\w)")
_MARK_RUN: Final = re.compile(r"[.!?,;:-]{2}|\s[,.!?;:\s-]|- ")
_ABBREVIATION_AT_END: Final = re.compile(r"(?:Jr|Sr|os|nc|td|rp|Co|sq|ve|Rd|vd|tc|Dr|St|rs|No)\.\Z")
_TITLE: Final = re.compile(r"\b(?:Mrs?|Dr|St|Ms|Prof)\b")
_TITLES: Final = ("Mr", "Dr", "St", "Ms", "Prof")
_NUMERAL: Final = re.compile(r"[A-Z]\w* [IVX]\b")
_EASY_DASH: Final = re.compile(r"(?<=[\w,.!?]) ?(?:--|—) ?(?=\w)")
_MAYBE_ADDRESS: Final = re.compile(r"\w[.@]\w|://")
_ADDRESS: Final = re.compile(
    r"(?<![\w@])(?:https?://|www\.)[^\s<>\"“”]+[\w/]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+|"
    r"(?<![\w@./])(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|co\.uk|info)(?:/[\w/.-]*\w)?(?![\w])",
    re.IGNORECASE,
)
_ADDRESS_SIGNS: Final = {
    ".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", ":": " colon ",
    "?": " question mark ", "=": " equals ", "&": " and ", "#": " hash ", "%": " percent ", "+": " plus ",
    "~": " tilde ",
}  # fmt: skip
_SIGNS: Final = (
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"(?<=\w)\s*=\s*(?=\w)"), " equals "),
    (re.compile(r"(?<=\d)\s*\+\s*(?=\d)|(?<=\w) \+ (?=\w)"), " plus "),
    (re.compile(r"(?<=\d)\+(?!\w)"), " plus"),
    (re.compile(r"(?<=[A-Za-z])\+\+"), " plus plus"),
    (re.compile(r"(?<=\b[A-F])\+(?![\w+])"), " plus"),
    (re.compile(r"(?<=\d)\s*÷\s*(?=\d)"), " divided by "),
    (re.compile(r"(?<=\d)\s+×\s+(?=\d)"), " times "),
    (re.compile(r"±\s*"), " plus or minus "),
    (re.compile(r"[~≈]\s*(?=[\d$£€])"), " about "),
    (re.compile(r"\s*≤\s*"), " at most "),
    (re.compile(r"\s*≥\s*"), " at least "),
    (re.compile(r"(?<=\w) < (?=\w)"), " less than "),
    (re.compile(r"(?<=\w) > (?=\w)"), " greater than "),
    (re.compile(r"§§?\s*"), " section "),
    (re.compile(r"©\s*"), " copyright "),
    (re.compile(r"(?<!\w)@(?=\w)|(?<=\w)\s*@\s*(?=\w)"), " at "),
    (re.compile(r"(?<![\w&])#(?=[A-Za-z])"), " hashtag "),
    (re.compile(r"(?<![\d ](?:km|cm|mm|ft|mi|yd|in))(?<!\d m)(?<!\dm)(?<=\w)²"), " squared"),
    (re.compile(r"(?<![\d ](?:km|cm|mm|ft|mi|yd|in))(?<!\d m)(?<!\dm)(?<=\w)³"), " cubed"),
)
_INITIALS_AND: Final = re.compile(r"\b([A-Z]{1,3})&([A-Z]{1,3})\b")
_POWER: Final = re.compile(r"(?<=\d)([⁰¹⁴-⁹]|[⁰¹²³⁴-⁹]{2,})")
_CAPITALS: Final = re.compile(r"[A-Z][’']?[A-Z]")
_SLASH: Final = re.compile(r"/")
_SIGN: Final = re.compile(r"[&=+÷×±~≈≤≥<>§©@#/²³]")
_DIGIT: Final = re.compile(r"\d|[½¼¾⅓⅔⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_WORD: Final = re.compile(r"[^\W_]+")
_LETTER_OR_DIGIT: Final = re.compile(r"[^\W_]")


def speak_english(text: str, *, is_heading: bool = False, is_day_first: bool = False) -> str:
    """``text`` as it is said. Empty only when it has no letter and no digit."""
    if not is_heading and (easy := _easy(text)):
        return easy
    spoken = _speak(text, is_heading=is_heading, is_day_first=is_day_first)
    if spoken or not _LETTER_OR_DIGIT.search(text):
        return spoken if _LETTER_OR_DIGIT.search(spoken) else ""
    bare = _speak(" ".join(_WORD.findall(text)), is_heading=False, is_day_first=is_day_first)
    return bare or " ".join(_LETTER_OR_DIGIT.findall(text))


def _easy(text: str) -> str:
    """``text`` as it is said, where that needs no thought: letters and common marks alone. Else empty."""
    if not _PLAIN_OR_CURLY.issuperset(text):
        return ""
    easy = text.strip()
    if not _PLAIN_CHARACTERS.issuperset(easy):
        easy = _EASY_QUOTES.sub(lambda mark: "'" if mark.group() == "’" else "", easy)
    if "--" in easy or "—" in easy:
        easy = _EASY_DASH.sub(lambda dash: ", " if dash.string[dash.start() - 1] != "," else " ", easy)
    if not _PLAIN_CHARACTERS.issuperset(easy) or "." in easy[:-1] or _MARK_RUN.search(easy) or _CAPITALS.search(easy):
        return ""
    if not easy or not easy[0].isalpha() or easy[-1] in ",;:-" or _ABBREVIATION_AT_END.search(easy, len(easy) - 4):
        return ""
    if "'" in easy and _ODD_APOSTROPHE.search(easy):
        return ""
    if any(title in easy for title in _TITLES) and _TITLE.search(easy):
        return ""
    if (" I" in easy or " V" in easy or " X" in easy) and _NUMERAL.search(easy):
        return ""
    return easy


def _speak(text: str, *, is_heading: bool, is_day_first: bool) -> str:
    if _MAYBE_ADDRESS.search(text):
        text = _ADDRESS.sub(lambda address: _address(address.group()), text)
    text = plain_marks(text)
    text = words_to_words(text, is_heading=is_heading)
    has_digit = _DIGIT.search(text) is not None
    if has_digit:
        text = dates_to_words(text, is_day_first=is_day_first)
    if _SIGN.search(text):
        text = _signs(text)
    if has_digit:
        text = _POWER.sub(lambda m: f" to the power of {unicodedata.normalize('NFKC', m[1])}", text)
        text = quantities_to_words(text)
    if "/" in text:
        text = _SLASH.sub(" ", text)
    if _CAPITALS.search(text):
        text = capitals_to_words(text)
    return settle_marks(text)


def _signs(text: str) -> str:
    text = _INITIALS_AND.sub(lambda m: f"{' '.join(m[1])} and {' '.join(m[2])}", text)
    for pattern, words in _SIGNS:
        text = pattern.sub(words, text)
    return text


def _address(address: str) -> str:
    """``https://www.example.com/a`` -> ``w w w dot example dot com slash a``."""
    bare = re.sub(r"\Ahttps?://", "", address, flags=re.IGNORECASE).rstrip("/")
    bare = re.sub(r"\Awww(?=\.)", "w w w", bare, flags=re.IGNORECASE)
    return " ".join("".join(_ADDRESS_SIGNS.get(character, character) for character in bare).split())
