"""Chapter titles: which short line is a chapter's label, and how label and name become one title.

Strings in, strings out. Knows nothing of files or markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_TITLE_CHARS = 120

_ENGLISH_NUMBER = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen"
    "|nineteen|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three"
    "|four|five|six|seven|eight|nine))?"
    "|hundred|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|last"
)
_NUMBER = rf"(?:\d{{1,4}}|[ivxlcdm]+|{_ENGLISH_NUMBER})"
_HAN_NUMBER = r"[0-9０-９零〇一二三四五六七八九十百千两兩廿卅]+"
_CHAPTER_WORD = (
    "chapter|chap\\.|kapitel|chapitre|cap[ií]tulo|capitolo|hoofdstuk|rozdzia[łl]|b[öo]l[üu]m|глава|stave|canto|letter"
    "|lesson|scene|sc[eè]ne|fable|tale|§"
)
_PART_WORD = "part|book|volume|vol\\.|act|section|teil|buch|partie|livre|tome|acte|parte|libro|deel|del|часть|книга"

# "CHAPTER I", "Chapter One.", "第一章"; what follows the number is the chapter's own name.
CHAPTER_LABEL = re.compile(
    rf"(?:the\s+)?(?:(?:{_CHAPTER_WORD})\s*(?:the\s+)?{_NUMBER}|(?:{_ENGLISH_NUMBER})\s+(?:chapter|scene|letter)"
    rf"|第\s*{_HAN_NUMBER}\s*[章回节節話话幕])(?![\w'’])",
    re.IGNORECASE,
)
PART_LABEL = re.compile(
    rf"(?:the\s+)?(?:(?:{_PART_WORD})\s*(?:the\s+)?{_NUMBER}|(?:{_ENGLISH_NUMBER})\s+(?:part|book|act|volume)"
    rf"|第\s*{_HAN_NUMBER}\s*[卷部集篇編编]|卷\s*{_HAN_NUMBER}|[上中下]\s*[卷部篇])(?![\w'’])",
    re.IGNORECASE,
)
# Chapters that have a name instead of a number.
NAMED_CHAPTER = re.compile(
    r"(?:the\s+)?(?:prologue|epilogue|preface|foreword|introduction|introductory(?: note)?|afterword|postscript"
    r"|interlude|(?:author|editor|translator|publisher)['’]?s (?:note|preface|introduction|foreword"
    r"|afterword)|conclusion|finale"
    r"|dedication|epigraph|appendix(?:\s+\w{1,4})?|acknowledge?ments|dramatis person(?:ae|æ)|contents|index"
    r"|glossary|bibliography|notes|footnotes"
    r"|vorwort|nachwort|einleitung|prolog|epilog|pr[ée]face|avant-propos|[ée]pilogue|pr[óo]logo|ep[íi]logo"
    r"|prefazione"
    r"|楔子|引子|序|序[章言幕]|自序|前言|引言|导[言读]|后记|後記|尾[声聲]|终章|終章|番外.{0,12}|附[录錄]|跋|目[录錄次]"
    r"|あとがき|まえがき|プロローグ|エピローグ)[.:：]?",
    re.IGNORECASE,
)
ROMAN = re.compile(r"(?=[IVXLCDM])M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})", re.IGNORECASE)
_BARE_NUMBER = re.compile(rf"(?:\d{{1,3}}|{ROMAN.pattern})[.)]?", re.IGNORECASE)
_SMALL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and as at but by for from in into nor of off on or out over the to up with von de la le du des und der",
    )
)
_ABBREVIATIONS = frozenset(("MR", "MRS", "DR", "ST", "MS", "SR", "JR"))
_ENDS_SENTENCE = re.compile(r"[.!?:;,…。！？：]$")


def is_label(text: str) -> bool:
    """Whether ``text`` is only a chapter's or part's number: ``CHAPTER I.``, ``Part Two``, ``XIV``, ``3``."""
    text = text.strip(" .:—–-")
    return any(pattern.fullmatch(text) for pattern in (CHAPTER_LABEL, PART_LABEL, _BARE_NUMBER))


def starts_like_chapter(text: str) -> bool:
    """Whether a heading names or numbers a chapter, whatever follows the number."""
    return bool(CHAPTER_LABEL.match(text) or NAMED_CHAPTER.fullmatch(text.strip()))


def starts_like_part(text: str) -> bool:
    """Whether a heading numbers a part, book, volume or act."""
    return bool(PART_LABEL.match(text))


def merge_title(headings: Sequence[str]) -> str:
    """Heading lines as one title: ``["CHAPTER I", "THE EVE OF WAR"]`` -> ``"Chapter I: The Eve of War"``."""
    title = ""
    for line in headings:
        line = _label_apart(calm_capitals(" ".join(line.split()).strip(" —–-~*") or line))
        if not line or same(line, title):
            continue
        if not title:
            title = line
        elif is_label(title.rsplit(": ", 1)[-1]):
            title = f"{title.rstrip(' .:—–-')}: {line}"
        else:
            title = f"{title} {line}" if _ENDS_SENTENCE.search(title) else f"{title}: {line}"
    return shorten(title)


def choose_title(label: str, headings: Sequence[str]) -> str:
    """The better of a table of contents' ``label`` and the chapter's own ``headings``: the one that holds the other."""
    merged = merge_title(headings)
    label = _label_apart(calm_capitals(" ".join(label.split())))
    if not label or not merged:
        return shorten(label or merged)
    if is_label(label) and len(headings) > 1 and is_label(headings[0]):
        return merged  # "Chapter 1" in the contents, "CHAPTER ONE / The Boy" on the page
    if key(label) in key(merged) and len(merged) < MAX_TITLE_CHARS:
        return merged
    return shorten(label)


def calm_capitals(text: str) -> str:
    """``"THE EVE OF WAR"`` -> ``"The Eve of War"``; text that is not all capitals, and Roman numerals, stay."""
    if not text.isupper() or len(text) < 4:
        return text
    words = text.split(" ")
    return " ".join(
        _calm_word(word, first=idx == 0 or is_label(words[idx - 1]), label_before=idx > 0 and words[idx - 1])
        for idx, word in enumerate(words)
    )


def same(one: str, other: str) -> bool:
    """Whether two titles differ only in case, spacing and punctuation."""
    return key(one) == key(other)


def key(title: str) -> str:
    """What is left of a title for comparing: letters and digits, lower case."""
    return "".join(filter(str.isalnum, title.casefold()))


def shorten(title: str) -> str:
    """At most `MAX_TITLE_CHARS`, cut at a word."""
    if len(title) <= MAX_TITLE_CHARS:
        return title
    cut = title[: MAX_TITLE_CHARS - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[60:] else cut).rstrip(" ,;:") + "…"


def _label_apart(line: str) -> str:
    """``"Chapter 1. Loomings."`` and ``"Chapter 1 Loomings"`` as ``"Chapter 1: Loomings"``; other lines unchanged."""
    match = CHAPTER_LABEL.match(line) or PART_LABEL.match(line)
    if match is None:
        return line
    label, rest = match.group(), line[match.end() :]
    name = re.sub(r"^[\s.:—–-]+", "", rest)
    if not name or not (name[0].isupper() or name[0].isdigit() or name[0] in "“‘\"'" or not name[0].isascii()):
        return line.rstrip(" .:—–-") if not name else line
    label, name = calm_capitals(label), calm_capitals(name)
    if label[:1] in "第卷":
        return f"{label} {name}"
    name = name[:-1] if name.endswith(".") and not name.endswith("..") else name
    return f"{label}: {name}"


def _calm_word(word: str, *, first: bool, label_before: str | bool) -> str:
    bare = word.strip(".,:;!?()[]\"'“”‘’—–-")
    if ROMAN.fullmatch(bare) and (label_before or first) and bare not in {"I", "MIX", "DI", "MI", "LI"}:
        return word
    if (
        bare == "I"
        or any(mark in bare for mark in ".")
        or (bare.isalpha() and len(bare) > 1 and not _has_vowel(bare) and bare not in _ABBREVIATIONS)
    ):
        return word  # I, W.H.D., DNA
    if not first and bare.lower() in _SMALL_WORDS:
        return word.lower()
    return re.sub(
        r"(?:[^\W\d_](?=['’]\w{2}))|[^\W\d_]+(?:['’][^\W\d_]+)*", lambda match: match.group().capitalize(), word
    )


def _has_vowel(word: str) -> bool:
    return any(letter in "AEIOUYÀÁÂÄÅÆÈÉÊËÌÍÎÏÒÓÔÖØÙÚÛÜŒ" for letter in word) or not word.isascii()
