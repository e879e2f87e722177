"""Symmetric normalisation: brings the text that was to be said and the text that was heard into one form.

Text and language in, `Token`s out (canonical form and what was written). Both sides go through the same door, so a
rule may be crude as long as it is the same for both. English: case, punctuation, accents, numbers, money, times,
percent, Roman numerals after "chapter" and the like, abbreviations, spelling variants, contractions, fillers. Chinese
and Japanese: one token per character; Chinese also digits, units and traditional characters through wetext. Other
languages: case, punctuation, accents, whole numbers through num2words. Compound words ("every one") are not joined here
but in `wer`, which sees both sides. Not known: Chinese homophones; a wrong character that sounds right is an error.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from omnitts.pipeline.check.numbers_en import Token, fold_numbers
from omnitts.pipeline.check.spelling_en import contraction, one_spelling

if TYPE_CHECKING:
    from wetext import Normalizer

UNSPACED_LANGUAGES: Final = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
_LIGATURES: Final = str.maketrans(
    {"æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "’": "'", "‘": "'",
     "ʼ": "'", "`": "'", "½": " one half", "¼": " one quarter", "¾": " three quarters"}
)  # fmt: skip
_SPOKEN_SYMBOLS: Final = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\b([ap])\.\s?m\b\.?", re.I), r"\1m"),
    (re.compile(r"\b(\d{1,2}):00\s*(?=[ap]m\b)", re.I), r"\1 "),
    (re.compile(r"\b(\d{1,2}):00\b"), r"\1 o'clock"),
    (re.compile(r"\b(\d{1,2}):0(\d)\b"), r"\1 oh \2"),
    (re.compile(r"\b(\d{1,2}):(\d\d)\b"), r"\1 \2 "),
    (re.compile(r"(\d)([ap]m)\b", re.I), r"\1 \2"),
    (re.compile(r"%"), " percent "),
    (re.compile(r"\bper cent\b", re.I), "percent"),
    (re.compile(r"&"), " and "),
    (re.compile(r"\+"), " plus "),
    (re.compile(r"°"), " degrees "),
    (re.compile(r"\bno\.\s?(?=\d)", re.I), "number "),
    (re.compile(r"\bet cetera\b", re.I), "etc"),
    (re.compile(r"(?<=\d)s\b"), " s"),
)
_MONEY: Final = re.compile(
    r"(?P<sign>[$£€])\s?(?P<whole>\d+)(?:\.(?P<part>\d\d)\b|(?P<decimal>\.\d+))?"
    r"(?P<scale>\s(?:hundred|thousand|million|billion|trillion)\b)?",
    re.I,
)
_CURRENCY: Final = {"$": ("dollar", "cent"), "£": ("pound", "pence"), "€": ("euro", "cent")}
_DECIMAL: Final = re.compile(r"(?<=\d)\.(\d+)")
_ROMAN_PLACE: Final = re.compile(
    r"\b(chapter|book|part|volume|vol|act|scene|canto|section|letter|king|queen|pope|louis|henry|charles|george|edward|"
    r"william|james|richard|philip|napoleon)\.?\s+([IVXLC]+)\b(?!')",
    re.I,
)
_ROMAN: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_NAMES_TAKE_ORDINALS: Final = frozenset({
    "king", "queen", "pope", "louis", "henry", "charles", "george", "edward", "william", "james", "richard",
    "philip", "napoleon",
})  # fmt: skip
_FILLERS: Final = frozenset({
    "um", "uh", "uhm", "er", "erm", "hm", "hmm", "mm", "mhm",
})  # fmt: skip
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W\d_]+)*")
_CJK: Final = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u9fff]+")
_SAME_SOUND_ZH: Final = str.maketrans(
    {"她": "他", "它": "他", "妳": "你", "祂": "他", "地": "的", "得": "的", "那": "哪"}
)


def tokens_of(text: str, language: str) -> list[Token]:
    """Words (characters where the language has no spaces) in the form that is compared."""
    if language in UNSPACED_LANGUAGES:
        return _character_tokens(text, language)
    text = unicodedata.normalize("NFKC", text.translate(_LIGATURES)).translate(_LIGATURES)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _english_tokens(text) if language == "en" else _plain_tokens(text, language)


def counts_characters(language: str) -> bool:
    """Whether the error rate is per character (CER) instead of per word (WER)."""
    return language in UNSPACED_LANGUAGES


def _english_tokens(text: str) -> list[Token]:
    for pattern, replacement in _SPOKEN_SYMBOLS:
        text = pattern.sub(replacement, text)
    text = _MONEY.sub(_money_words, text)
    text = _ROMAN_PLACE.sub(_roman_words, text)
    text = _DECIMAL.sub(lambda match: " point " + " ".join(match[1]), text)
    words = [Token(word.lower(), word) for word in _WORD.findall(text)]
    spoken = [word for word in words if word.text not in _FILLERS]
    contracted = _contract([Token(word.text.replace("'", ""), word.shown) for word in spoken])
    numbers = fold_numbers(contracted)
    numbers = [word for place, word in enumerate(numbers) if not _joins_cents(numbers, place)]
    return [Token(one_spelling(word.text), word.shown) for word in numbers]


def _contract(words: list[Token]) -> list[Token]:
    joined: list[Token] = []
    for word in words:
        short = contraction(joined[-1].text, word.text) if joined else None
        if short:
            joined[-1] = Token(short, f"{joined[-1].shown} {word.shown}")
        elif word.text == "cannot":
            joined.append(Token("cant", word.shown))
        else:
            joined.append(word)
    return joined


def _joins_cents(words: list[Token], place: int) -> bool:
    """The "and" of "twelve dollars and fifty cents", which nobody says for $12.50 with certainty."""
    if words[place].text != "and" or not 0 < place < len(words) - 2:
        return False
    before, after = words[place - 1].text, words[place + 2].text
    return before.rstrip("s") in ("dollar", "pound", "euro") and after in ("cent", "cents", "pence")


def _money_words(match: re.Match[str]) -> str:
    unit, small = _CURRENCY[match["sign"]]
    words = f"{match['whole']}{match['decimal'] or ''}{match['scale'] or ''} {unit}"
    return f"{words} {int(match['part'])} {small}" if match["part"] and int(match["part"]) else words


def _roman_words(match: re.Match[str]) -> str:
    letters = [_ROMAN[letter] for letter in match[2].upper()]
    if match[2] != match[2].upper():
        return match[0]
    value = sum(
        -one if place + 1 < len(letters) and one < letters[place + 1] else one for place, one in enumerate(letters)
    )
    ordinal = match[1].lower() in _NAMES_TAKE_ORDINALS
    return f"{match[1]} the {value}th" if ordinal else f"{match[1]} {value}"


def _plain_tokens(text: str, language: str) -> list[Token]:
    tokens = []
    for word in _WORD.findall(text):
        spelled = _number_words(word, language) if word.isdigit() else [word]
        tokens += [Token(part.lower().replace("'", ""), word) for part in spelled]
    return tokens


def _number_words(digits: str, language: str) -> list[str]:
    from num2words import num2words

    try:
        words = num2words(int(digits), lang=language)
    except (NotImplementedError, OverflowError, ValueError):
        return [digits]
    plain = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    return _WORD.findall(plain) or [digits]


def _character_tokens(text: str, language: str) -> list[Token]:
    text = unicodedata.normalize("NFKC", text)
    if language in ("zh", "yue"):
        text = _chinese_normalizer().normalize(text)
    found = (match[0] for match in _CJK.finditer(text))
    return [Token(piece.lower().translate(_SAME_SOUND_ZH), piece) for piece in found]


@lru_cache(maxsize=1)
def _chinese_normalizer() -> Normalizer:
    from wetext import Normalizer

    return Normalizer(lang="zh", operator="tn", traditional_to_simple=True)
