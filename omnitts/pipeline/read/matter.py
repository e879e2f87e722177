"""Front and back matter: which chapters a narrator leaves out, and why. A real chapter is never left out on a hunch.

In: what is known of one chapter (its title, the source's own word for it, its words, its place). Out: a reason to
skip it,
or nothing. Each rule holds only within a size that such matter has, so a novel's chapter called "Cover" stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from omnitts.pipeline.read.cleaning import count_words
from omnitts.pipeline.read.titles import key
from omnitts.types import Block, BlockKind

FRONT_SHARE = 0.25  # how far into a book front matter reaches
MAX_TITLE_PAGE_SHARE = 0.1  # of a book's words: in a text of a few lines, the first is no title page
MIN_NAME_CHARS = 8  # shorter titles occur inside other words
BACK_SHARE = 0.6  # from where on back matter may begin


@dataclass(frozen=True, slots=True)
class Matter:
    """A kind of matter: the ``reason`` people see, the most words it has, and the most words a block of it has."""

    reason: str
    max_words: int
    max_block_words: float = float("inf")


COVER = Matter("cover", 100)
TITLE_PAGE = Matter("title page", 200)
COPYRIGHT = Matter("copyright page", 2_500)
CONTENTS = Matter("table of contents", 8_000, 30)
INDEX = Matter("index", 60_000, 40)
LISTING = Matter("list of illustrations or tables", 4_000, 40)
BIBLIOGRAPHY = Matter("bibliography", 60_000, 120)
NOTES = Matter("notes", 200_000)
ADVERTISEMENT = Matter("advertisement", 4_000)
ABOUT_AUTHOR = Matter("about the author", 1_500)
COLOPHON = Matter("colophon", 1_000)
TRANSCRIBER = Matter("transcriber's note", 1_500)
LICENCE = Matter("Project Gutenberg licence", 6_000)

# epub:type, ARIA doc- roles and EPUB 2 guide types, without their prefixes.
BY_TYPE = {
    name: matter
    for matter, names in (
        (COVER, "cover"),
        (TITLE_PAGE, "titlepage title-page halftitlepage half-title-page halftitle"),
        (COPYRIGHT, "copyright-page copyright imprint imprimatur"),
        (CONTENTS, "toc toc-brief landmarks page-list"),
        (LISTING, "loi lot loa lov"),
        (INDEX, "index"),
        (BIBLIOGRAPHY, "bibliography"),
        (NOTES, "endnotes footnotes rearnotes notes"),
        (COLOPHON, "colophon"),
        (ADVERTISEMENT, "other-books advertisement"),
        (LICENCE, "pg-boilerplate"),
    )
    for name in names.split()
}

_TITLES = (
    (COVER, r"(?:front |book )?cover(?: page| image)?|umschlag|couverture|copertina|cubierta|封面"),
    (TITLE_PAGE, r"(?:half[- ]?)?title(?:[- ]?page)?|titelseite|page de titre|扉页|书名页"),
    (
        COPYRIGHT,
        r"copyright(?: (?:page|notice|information|and permissions))?|legal notices?|impressum|imprint|mentions légales"
        r"|colofone?|cr[ée]ditos|derechos de autor|版权(?:页|信息|声明)?|版權(?:頁|聲明)?",
    ),
    (
        CONTENTS,
        r"(?:table of )?contents|toc|inhalt(?:sverzeichnis)?|table(?: des matières)?|sommaire|índice(?: general)?"
        r"|indice|sumário|inhoud|innehåll(?:sförteckning)?|spis treści|içindekiler|目\s*[录錄次]",
    ),
    (INDEX, r"index|general index|register|stichwortverzeichnis|index of .{1,40}|索引"),
    (
        LISTING,
        r"list of (?:illustrations|figures|tables|maps|plates|charts|photographs)|illustrations|abbildungsverzeichnis"
        r"|table des illustrations",
    ),
    (
        BIBLIOGRAPHY,
        r"(?:selected |select )?bibliography|works cited|references|literaturverzeichnis|bibliographie|bibliografía"
        r"|bibliografia|参考文献",
    ),
    (NOTES, r"(?:end|foot)?notes?|anmerkungen|fußnoten|notes de bas de page|notas|注释|註釋"),
    (
        ADVERTISEMENT,
        r"(?:also|other (?:books|titles|works)|books|more) (?:available )?(?:by|from)\b.{0,60}|also available"
        r"|(?:similar|recommended) books|recommendations|advertisements?|newsletter.{0,20}|praise(?: for .{1,80})?"
        r"|you may also (?:like|enjoy).{0,40}|discover more.{0,40}",
    ),
    (
        ABOUT_AUTHOR,
        r"about the (?:author|editor|translator|publisher|type)s?|(?:über|zu) (?:den autor|die autorin)"
        r"|à propos de l['’]auteure?|作者简介|关于作者",
    ),
    (COLOPHON, r"colophon|about this e-?book|credits"),
    (TRANSCRIBER, r"transcriber['’]?s['’]? notes?.{0,20}"),
    (LICENCE, r"(?:full )?project gutenberg(?:™|-tm)? licen[sc]e.{0,40}|full license"),
)
_BY_TITLE = tuple(
    (re.compile(rf"(?:the\s+)?(?:{pattern})[\s.:]*", re.IGNORECASE), matter) for matter, pattern in _TITLES
)
_COPYRIGHT_SIGNS = re.compile(
    r"all rights reserved|\bisbn\b|©|\(c\)\s*\d{4}|copyright\s+(?:©|\(c\)|\d{4})|no part of this"
    r"|library of congress|catalogu?ing[- ]in[- ]publication"
    r"|published by|first published|printed (?:and bound )?in|this is a work of fiction"
    r"|alle rechte vorbehalten|tous droits réservés"
    r"|版权所有|版權所有|出版社|moral rights?|entered according to act of congress",
    re.IGNORECASE,
)
_LEADER_DOTS = re.compile(r"(?:\.\s?){4,}\s*(?:\d+|[ivxlc]+)\s*$|\s{2,}\d{1,4}$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One chapter before it is decided.

    ``place`` is where it starts, 0.0 to 1.0 by words; ``in_toc`` whether it is listed.
    """

    title: str
    types: frozenset[str]
    blocks: Sequence[Block]
    place: float
    end_place: float
    in_toc: bool = True


def skip_reason(candidate: Candidate, book_names: tuple[str, ...], chapter_titles: frozenset[str]) -> str:
    """Why ``candidate`` is not spoken, or ``""``.

    ``book_names`` are the book's title, then its authors; ``chapter_titles`` holds the `key` of every chapter's title.
    """
    words = sum(count_words(block.text) for block in candidate.blocks)
    if not words:
        return "no text"
    matter = _by_type(candidate.types) or _by_title(candidate)
    if matter is not None and _fits(matter, words, candidate.blocks):
        return matter.reason
    return _by_content(candidate, words, book_names, chapter_titles)


def by_title(title: str) -> Matter | None:
    """The kind of matter a whole title names, or None."""
    title = title.strip()
    return next((matter for pattern, matter in _BY_TITLE if pattern.fullmatch(title)), None)


def _by_type(types: frozenset[str]) -> Matter | None:
    return next((BY_TYPE[name] for name in sorted(types) if name in BY_TYPE), None)


def _by_title(candidate: Candidate) -> Matter | None:
    matter = by_title(candidate.title)
    if matter is INDEX and candidate.place < FRONT_SHARE and _mean_line_words(candidate.blocks) < 10:
        return LISTING  # a contents list's last line, "Index", followed by the list of illustrations
    if matter in (NOTES, ABOUT_AUTHOR, INDEX, BIBLIOGRAPHY) and candidate.end_place < BACK_SHARE:
        return None
    return matter


def _mean_line_words(blocks: Sequence[Block]) -> float:
    lines = [line for block in blocks for line in block.text.split("\n") if line]
    return sum(map(count_words, lines)) / max(1, len(lines))


def _fits(matter: Matter, words: int, blocks: Sequence[Block]) -> bool:
    spoken = [block for block in blocks if block.text]
    return words <= matter.max_words and words / len(spoken) <= matter.max_block_words


def _by_content(candidate: Candidate, words: int, book_names: tuple[str, ...], chapter_titles: frozenset[str]) -> str:
    """Matter that bears no name: recognised at the ends of a book only."""
    at_front = candidate.place < FRONT_SHARE
    at_back = candidate.place > BACK_SHARE
    text = "\n".join(block.text for block in candidate.blocks) if words <= COPYRIGHT.max_words else ""
    if (at_front or at_back) and words <= 600 and len({m.lower() for m in _COPYRIGHT_SIGNS.findall(text)}) >= 2:
        return COPYRIGHT.reason
    if "project gutenberg" in text.lower() and "license" in text.lower() and (at_front or at_back):
        return LICENCE.reason
    if at_front and _lists_chapters(candidate.blocks, chapter_titles):
        return CONTENTS.reason
    if at_front and words <= TITLE_PAGE.max_words and _is_title_page(candidate, book_names):
        return TITLE_PAGE.reason
    return ""


def _is_title_page(candidate: Candidate, book_names: tuple[str, ...]) -> bool:
    """Whether a short opening without a sentence in it bears the book's title or author on a line of its own."""
    if candidate.end_place - candidate.place > MAX_TITLE_PAGE_SHARE:
        return False
    texts = [block.text for block in candidate.blocks if block.kind is BlockKind.PARAGRAPH and not block.text.isupper()]
    if any(count_words(text) > 25 or (count_words(text) > 3 and text[-1] in ".!?。") for text in texts):
        return False
    own, title = key(candidate.title), key(book_names[0])
    is_named_like_book = bool(own) and bool(title) and (own in title or title in own)
    lines = {key(line) for block in candidate.blocks for line in block.text.split("\n")}
    opening = key(" ".join(block.text for block in candidate.blocks)[:400])
    names = [key(name) for name in book_names if key(name)]
    names_book = any(name in lines or (len(name) >= MIN_NAME_CHARS and name in opening) for name in names)
    return names_book and (is_named_like_book or not candidate.in_toc)


def _lists_chapters(blocks: Sequence[Block], chapter_titles: frozenset[str]) -> bool:
    """Whether most blocks are names of other chapters, or lines that end in leader dots and a page number."""
    lines = [line for block in blocks for line in block.text.split("\n") if line]
    if len(lines) < 4:
        return False
    hits = sum(1 for line in lines if key(line) in chapter_titles or _LEADER_DOTS.search(line))
    return hits >= 0.6 * len(lines)
