"""Small repairs every format needs: invisible characters out, whitespace collapsed, scene breaks recognised.

Text in, text out; no word is ever added or dropped.
"""

from __future__ import annotations

import re

# Soft hyphen, zero-width space, word joiner, byte order mark, directional marks, C0 and C1 controls but line ends
# and tabs.
# Zero-width joiners stay: Persian and Indic words need them.
_INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\ufffb\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]"
)
_SCENE_BREAK = re.compile(r"(?:[*＊⁂✽✻❖❦❧•·∙~〜♦◆◇○●☆★※#=_+\-–—―⸻■□▪▫\u0640]\s*)+")
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def strip_invisible(text: str) -> str:
    """``text`` without the characters that show nothing."""
    return _INVISIBLE.sub("", text) if not text.isascii() or _INVISIBLE.search(text) else text


def collapse(text: str) -> str:
    """Single-spaced and stripped, on one line."""
    return " ".join(strip_invisible(text).split())


def collapse_lines(text: str) -> str:
    """Each line single-spaced and stripped; empty lines dropped."""
    return "\n".join(line for line in map(collapse, text.split("\n")) if line)


def unify_line_ends(text: str) -> str:
    """Every kind of line or page end as a newline."""
    return _LINE_ENDS.sub("\n", text)


def is_scene_break(text: str) -> bool:
    """Whether ``text`` is only an ornament: ``* * *``, ``⁂``, ``---``, ``#``."""
    return len(text) <= 80 and _SCENE_BREAK.fullmatch(text) is not None


def count_words(text: str) -> int:
    """Words as people count them; each Chinese character or kana counts as one."""
    if text.isascii():
        return len(_WORD.findall(text))
    han = len(_HAN_OR_KANA.findall(text))
    return han + len(_WORD.findall(_HAN_OR_KANA.sub(" ", text) if han else text))


def has_speech(text: str) -> bool:
    """Whether there is any letter or digit to speak."""
    return any(map(str.isalnum, text))
