"""Display text in, spans of its sentences out: English by Punkt's data and guards, Chinese by its own marks.

Spans follow each other without a gap; the blanks after a sentence belong to it. Knows nothing of spoken text.

Most full stops need no thought: they end a common word. Punkt would say the same of each, so it is only asked (and
nltk, which takes a second to import, only loaded) about abbreviations, initials and numbers that the guards leave open.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from omnitts.types import Span

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer

_CLOSERS: Final = "\"'”’»›)\\]}」』）】》"
# A possible end: Latin marks before a blank, or Chinese marks anywhere; closing quotes and brackets go along.
_CANDIDATE: Final = re.compile(
    rf"(?<![.!?…‽⁇⁈⁉])[.!?…‽⁇⁈⁉]+[{_CLOSERS}]*(?:\[\d{{1,3}}\]|[¹²³⁰⁴-⁹]+)*(?=\s)|[。！？；]+[{_CLOSERS}。！？…]*|……[」』”]+(?=[^，。！？；、\s])"
)
_TRAIL: Final = re.compile(r"(?:\s*\[[\d*]{1,3}\])*\s*")  # note marks and blanks belong to the sentence before
_LAST_WORD: Final = re.compile(r"[^\s\"“”‘’«»()\[\]—–]+\Z")
_NEXT_WORD: Final = re.compile(r"\s*[\"'“‘«‹(\[„]*([^\W_][\w'’.&-]*)?")

# Never the end of a sentence: a name or a number follows.
_OPEN_TITLES_LIST: Final = (
    "mr mrs ms dr prof rev hon capt col gen lt sgt cpl cmdr adm maj messrs mme mlle gov sen rep pres supt insp mt ft "
    "fr mgr msgr vs e.g i.e cf viz fig figs eq ca approx esp incl ed eds trans illus"
)
_OPEN_TITLES: Final = frozenset(_OPEN_TITLES_LIST.split())
# Open only before a number; else an ordinary word ("No. He left.") or an end.
_BEFORE_NUMBERS_LIST: Final = "no nos p pp vol vols ch chap sec art pt par fol op nr jan feb mar apr jun jul"
_BEFORE_NUMBERS: Final = frozenset(_BEFORE_NUMBERS_LIST.split())
# May end a sentence: they do before a word that seldom stands elsewhere with a capital.
_STARTERS_LIST: Final = (
    "A After All Although An And Another Any As At Because Before Both But By Can Did Do Does During Each Even Every "
    "Few Finally First For From Had Has Have He Her Here His How However I If In Instead Is It Its Just Last Later "
    "Let Many Maybe Meanwhile Most My Never Next No Nobody None Nothing Now Of On Once One Only Or Other Our Perhaps "
    "She Should Since So Some Someone Soon Still Such That The Their Then There These They This Those Though Through "
    "Thus To Today Two Under Until Upon Was We Were What When Where Whether Which While Who Whose Why Will With "
    "Without Would Yes Yet You Your"
)
_STARTERS: Final = frozenset(_STARTERS_LIST.split())
_NUMBER: Final = re.compile(r"[(\[]?\d+(?:[.,]\d+)*\Z")
_ACRONYM: Final = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]\Z|[Pp]h\.?D\Z")


def sentence_spans(text: str) -> list[Span]:
    """Spans of the sentences of ``text``; they rebuild it exactly. Text without an end mark is one sentence.

    ``text`` is one paragraph; a text of blanks alone is one span, an empty one none. Mixed scripts are welcome.
    """
    if not text:
        return []
    spans: list[Span] = []
    start = 0
    for match in _CANDIDATE.finditer(text):
        end = match.end()
        if end <= start or not _is_end(text, start, match):
            continue
        end = _TRAIL.match(text, end).end()  # type: ignore[union-attr]
        if end == len(text):
            break
        spans.append(Span(start, end))
        start = end
    spans.append(Span(start, len(text)))
    return spans


def _is_end(text: str, start: int, match: re.Match[str]) -> bool:
    marks = match.group()
    if marks[0] in "。！？；…" and not (match.end() < len(text) and text[match.end()].isspace()):
        return True
    following = _NEXT_WORD.match(text, match.end())
    word_after = following.group(1) if following else None
    if not word_after:
        return True
    is_lower = word_after[0].islower()
    if marks[0] in "!?‽⁇⁈⁉":
        return not is_lower
    if marks.startswith(("..", "…")) or len(marks) > 1:
        return not is_lower
    return _full_stop_ends(text, start, match.start(), word_after)


def _full_stop_ends(text: str, start: int, dot: int, word_after: str) -> bool:
    """Whether the full stop at ``dot`` ends the sentence that began at ``start``."""
    if dot - start > 8 and text[dot - 7 : dot].isalpha() and text[dot - 7 : dot].islower():
        return True  # a long common word: by far the most frequent case, and Punkt has no abbreviation of seven letters
    found = _LAST_WORD.search(text, max(start, dot - 40), dot)
    word = found.group() if found else ""
    lowered = word.lower()
    if _NUMBER.match(word):
        is_list_mark = text[start:dot].strip() == word
        return not is_list_mark and not word_after[0].islower()
    if lowered in _OPEN_TITLES:
        return False
    if lowered in _BEFORE_NUMBERS and word_after[0].isdigit():
        return False
    if lowered in {"no", "nos", "art", "ch", "par", "op", "mar"}:
        return True
    is_starter = word_after in _STARTERS
    if len(word) == 1 and word.isalpha() and word.isupper():
        return is_starter and (word == "I" or word_after not in {"A", "I"})
    if _ACRONYM.match(word):
        return is_starter
    if lowered in _abbreviations():
        return not word_after[0].islower() and (is_starter or _punkt_breaks(word, word_after))
    return True


@lru_cache(maxsize=1)
def _abbreviations() -> frozenset[str]:
    return frozenset(_data("abbrev_types.txt").split("\n")) | {"etc", "bros", "esq", "dept", "est", "ave", "blvd", "rd"}


@lru_cache(maxsize=4096)
def _punkt_breaks(word: str, word_after: str) -> bool:
    """Punkt's own decision about ``word.`` before ``word_after``: abbreviation, collocation and case statistics."""
    return bool(punkt_tokenizer().text_contains_sentbreak(f"{word}. {word_after} x"))


@lru_cache(maxsize=1)
def punkt_tokenizer() -> PunktSentenceTokenizer:
    """nltk's Punkt with the English parameters shipped here. Reads no search path and downloads nothing."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(_data("abbrev_types.txt").split("\n"))
    parameters.sent_starters = set(_data("sent_starters.txt").split("\n"))
    parameters.collocations = {tuple(line.split("\t")) for line in _data("collocations.tab").split("\n")}
    for line in _data("ortho_context.tab").split("\n"):
        word, flags = line.split("\t")
        parameters.ortho_context[word] = int(flags)
    return PunktSentenceTokenizer(parameters)


def _data(name: str) -> str:
    folder = resources.files("omnitts.pipeline.text") / "data" / "punkt_english"
    return (folder / name).read_text(encoding="utf-8").rstrip("\n")
