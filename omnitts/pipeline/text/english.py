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
_PLAIN_OR_CURLY: Final = _PLAIN_CHARACTERS | frozenset("“”’\"")
_CURLY: Final = {ord("“"): None, ord("”"): None, ord('"'): None, ord("’"): "'"}
_EASY_QUOTES: Final = re.compile(r"(?:\A|(?<=\s))[“\"](?=\w)|(?<=[\w.!?,])[”\"](?=\s|\Z)|(?<=\w)’(?=\w)")
_UNEASY: Final = re.compile(r"[A-Z]{2}|\.\S|\.\s|[ -]-|- |(?<!\w)'|'(?!\w)|[.!?,;:]{2}|\s[,.!?;:]|\s\s|\A\W|[,;:\s-]\Z|[A-Z] [A-Z]\Z|\b(?:Mrs?|Dr|St|Ms|Prof)\b|[A-Z]\w* [IVX]\b|\b(?:[JS]r|etc|Bros|Inc|Ltd|Corp|Co|Esq|Ave|Rd|Blvd)\.\Z")
_ADDRESS: Final = re.compile(
    r"(?<![\w@])(?:https?://|www\.)[^\s<>\"“”]+[\w/]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+|"
    r"(?<![\w@./])(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|co\.uk|info)(?:/[\w/.-]*\w)?(?![\w])",
    re.IGNORECASE,
)
_ADDRESS_SIGNS: Final = {
    ".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", ":": " colon ", "?": " question mark ",
    "=": " equals ", "&": " and ", "#": " hash ", "%": " percent ", "+": " plus ", "~": " tilde ",
}  # fmt: skip
_SIGNS: Final = (
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"(?<=\w)\s*=\s*(?=\w)"), " equals "),
    (re.compile(r"(?<=\d)\s*\+\s*(?=\d)|(?<=\w) \+ (?=\w)"), " plus "),
    (re.compile(r"(?<=\d)\+(?!\w)"), " plus"),
    (re.compile(r"(?<=[A-Za-z])\+\+"), " plus plus"),
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
_SLASH: Final = re.compile(r"/")
_SIGN: Final = re.compile(r"[&=+÷×±~≈≤≥<>§©@#/²³]")
_DIGIT: Final = re.compile(r"\d|[½¼¾⅓⅔⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_LETTER_OR_DIGIT: Final = re.compile(r"[^\W_]")


def speak_english(text: str, *, is_heading: bool = False, is_day_first: bool = False) -> str:
    """``text`` as it is said. Empty only when it has no letter and no digit."""
    if _PLAIN_OR_CURLY.issuperset(text):
        easy = text.strip()
        if not _PLAIN_CHARACTERS.issuperset(easy):
            easy = _EASY_QUOTES.sub(lambda mark: "'" if mark.group() == "’" else "", easy)
        if not is_heading and _PLAIN_CHARACTERS.issuperset(easy) and not _UNEASY.search(easy):
            return easy
    spoken = _speak(text, is_heading=is_heading, is_day_first=is_day_first)
    if spoken or not _LETTER_OR_DIGIT.search(text):
        return spoken if _LETTER_OR_DIGIT.search(spoken) else ""
    return " ".join(_LETTER_OR_DIGIT.findall(text))


def _speak(text: str, *, is_heading: bool, is_day_first: bool) -> str:
    if "/" in text or "@" in text or "." in text:
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
