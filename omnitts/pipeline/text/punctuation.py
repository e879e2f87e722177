"""Marks that engines stumble over, made plain: quotes, dashes, ellipses, brackets, bullets, emoji, invisibles.

Display text in, the same words with speakable marks out. Letters and digits are never touched, except that look-alike
forms (ligatures, full-width and mathematical letters) become the usual ones. Knows nothing of numbers or words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_INVISIBLE: Final = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c"
_INVISIBLE_MORE: Final = "\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff\ufe0e\ufe0f\ufffc"
_TABLE: Final[dict[int, str | None]] = {
    **dict.fromkeys(map(ord, _INVISIBLE + _INVISIBLE_MORE), None),
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " "),
    **dict.fromkeys(map(ord, "“”„‟«»〝〞＂"), '"'),
    **dict.fromkeys(map(ord, "‚‛‹›`´"), " "),
    **dict.fromkeys(map(ord, "ʼ＇"), "’"),
    **dict.fromkeys(map(ord, "‐‑⁃﹣－"), "-"),
    **dict.fromkeys(map(ord, "‒–"), "–"),
    **dict.fromkeys(map(ord, "―⸺⸻﹘"), "—"),
    **dict.fromkeys(map(ord, "•◦‣▪▫●○■□◆◇★☆♦♣♠♥❦☙❧※⁂∙·"), " "),
    **dict.fromkeys(map(ord, "†‡¶™®℠"), " "),
    **{ord(low): digit for low, digit in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)},
    ord("…"): "...",
    ord("‥"): "..",
    ord("‽"): "?",
    ord("⁇"): "?",
    ord("⁈"): "?",
    ord("⁉"): "?",
    ord("¿"): " ",
    ord("¡"): " ",
    ord("⁄"): "/",
    ord("∕"): "/",
    ord("№"): "#",
    ord("\ufffd"): " ",
}
_UNUSUAL: Final = re.compile(r"[^\x00-\u024f’‘–—−]")
_SINGLE_OPENER: Final = re.compile(
    r"‘(?!(?:tis|twas|twere|twill|em|til|cause|bout|round|neath|n)\b|\d\ds?\b)", re.IGNORECASE
)
_SINGLE_CLOSER: Final = re.compile(r"(?<=[^\w\s])[’'](?!\w)|(?<!\w)[’'](?!\w)")
_PLAIN_OPENER: Final = re.compile(
    r"(?<![\w.,])'(?=\w)(?!(?:tis|twas|twere|twill|em|til|cause|bout|round|neath|n)\b|\d\ds?\b)", re.IGNORECASE
)
_NOTE_MARK: Final = re.compile(
    r"\[(?:\d{1,3}|\*+|[a-z])\]|(?<=[^\W\d_])[¹⁰⁴-⁹]+|(?<=[^\W\d_]{3})[²³]+|(?<=[.,;:!?\"'’])[¹²³⁰⁴-⁹]+"
)
_DASH: Final = re.compile(r"(?<!\s)\s*(?:(?<!—)—+|(?<!-)--+(?!-)|(?<=\s)[–-](?=\s)|–)[\s—–]*")
_BROKEN_OFF: Final = re.compile(r"\s*(?:—+|--+|–)[\s\"']*\Z")
_BRACKETS: Final = re.compile(r"\s*[(\[{（［｛][\s]*|\s*[)\]}）］｝]")
_BRACKET_AT_END: Final = re.compile(r"[\s)\]}）］｝]+\Z")
_DROPPED: Final = re.compile(r"[*_~^\\|<>\"]+|(?<!\w)#+(?!\w)")
_BLANKS: Final = re.compile(r"\s+")
_BLANK_BEFORE_MARK: Final = re.compile(r"(?<!\s)\s+(?=[,;:!?]|\.(?!\d))")
_SOFT_RUN: Final = re.compile(r"[,;:](?:\s*[,;:])+")
_SOFT_THEN_HARD: Final = re.compile(r"[,;:]\s*(?=[.!?])")
_HARD_THEN_SOFT: Final = re.compile(r"([.!?])\s*[,;:]+")
_HARD_RUN: Final = re.compile(r"(?<![.!?])[.!?]*[?!][.!?]*")
_DOTS: Final = re.compile(r"\.{2,}")
_LEADING: Final = re.compile(r"\A[\s,;:.!?\-–—/]+(?=[\w'])")
_TRAILING_SOFT: Final = re.compile(r"[\s,;:\-–—/]+\Z")


def plain_marks(text: str) -> str:
    """First step: one form for each mark, no invisible characters, no emoji, no note marks. Quotes stay as ``"``."""
    text = unicodedata.normalize("NFC", text).translate(_TABLE)
    is_ascii = text.isascii()
    if "[" in text or not is_ascii:
        text = _NOTE_MARK.sub("", text)
    if not is_ascii:
        text = _UNUSUAL.sub(_familiar, text)
        opened = _SINGLE_OPENER.search(text) is not None
        text = _SINGLE_CLOSER.sub(" ", _SINGLE_OPENER.sub(" ", text)).replace("‘", "'").replace("’", "'")
        if opened:
            text = re.sub(r"(?<=[^\Ws])'(?=\s|\Z)", " ", text)
    if "'" in text:
        text = _PLAIN_OPENER.sub(" ", _SINGLE_CLOSER.sub(" ", text))
    return text


def settle_marks(text: str) -> str:
    """Last step: drops quotes and leftovers, turns dashes and brackets into commas, mends blanks and runs of marks."""
    text = _DASH.sub(", ", _BROKEN_OFF.sub(".", text))
    text = _BRACKETS.sub(", ", _BRACKET_AT_END.sub("", text))
    text = _DROPPED.sub(" ", text)
    text = _BLANKS.sub(" ", text)
    text = _BLANK_BEFORE_MARK.sub("", text)
    text = _SOFT_RUN.sub(lambda run: run.group()[0], text)
    text = _SOFT_THEN_HARD.sub("", text)
    text = _HARD_RUN.sub(lambda run: "?" if "?" in run.group() else "!", text)
    text = _DOTS.sub("...", text)
    text = _HARD_THEN_SOFT.sub(lambda run: run.group(1) + ("," if _softens(text, run) else ""), text)
    text = _LEADING.sub("", text)
    return _TRAILING_SOFT.sub(_closing, text).strip()


def _softens(text: str, run: re.Match[str]) -> bool:
    """A comma after an abbreviation's full stop (``Smith Jr., who``) stays; after a sentence's end it goes."""
    rest = text[run.end() :].lstrip()
    return run.group(1) == "." and rest[:1].islower()


def _closing(tail: re.Match[str]) -> str:
    """A sentence broken off with a dash ends in a full stop; a colon or comma at a line's end stays a comma."""
    marks = tail.group().strip()
    return "." if "—" in marks or "–" in marks else "," if marks[:1] in {",", ";", ":"} and marks else ""


def _familiar(found: re.Match[str]) -> str:
    """One character in its usual form; pictures and private or unassigned characters become a blank."""
    character = found.group()
    code = ord(character)
    category = unicodedata.category(character)
    if category in {"So", "Sk", "Co", "Cn", "Cs", "Cf"} and not 0x2150 <= code <= 0x218F:
        folded = unicodedata.normalize("NFKC", character)
        return folded if folded.isalnum() else " "
    if 0xFB00 <= code <= 0xFB06 or 0xFF00 <= code <= 0xFF5E or 0x1D400 <= code <= 0x1D7FF or 0x2160 <= code <= 0x217F:
        return unicodedata.normalize("NFKC", character)
    return character
