"""Where an EPUB's chapters begin: its table of contents first, then page types, then headings.

In: the whole book's items with their pages, and the table of contents resolved to items. Out: `Draft`s. A listener's
rules: chapters of a part are chapters, sections of a chapter are not; a part's title page is heard with its first
chapter; a page that the contents do not list continues the chapter before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from omnitts.pipeline.read import matter
from omnitts.pipeline.read.cleaning import count_words
from omnitts.pipeline.read.drafts import NONLINEAR_TYPE, Draft
from omnitts.pipeline.read.flow import Item
from omnitts.pipeline.read.headings_split import chapter_starts
from omnitts.pipeline.read.titles import (
    CHAPTER_LABEL,
    is_label,
    merge_title,
    same,
    starts_like_chapter,
    starts_like_part,
)
from omnitts.types import BlockKind

MAX_OPENER_WORDS = 60  # a part's title page: title, perhaps a motto
MIN_CHAPTER_WORDS = 300  # children of an entry that are shorter on average are its sections
LONG_CHILD_WORDS = 1500  # children this long are chapters even under an entry with text of its own


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the spine: where its items begin, and what the package says of it."""

    path: str
    start: int
    types: frozenset[str] = frozenset()
    is_linear: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the table of contents, at the item it leads to."""

    idx: int
    label: str
    depth: int


@dataclass(slots=True)
class _Start:
    idx: int
    label: str = ""
    in_toc: bool = False
    is_opener: bool = False
    types: frozenset[str] = frozenset()
    source: str = ""
    parts: list[str] = field(default_factory=list)


def split_book(items: Sequence[Item], pages: Sequence[Page], marks: Sequence[Mark], book_title: str) -> list[Draft]:
    """Cuts ``items`` into drafts; every item is in exactly one."""
    if not items:
        return []
    words_before = [0]
    for item in items:
        words_before.append(words_before[-1] + count_words(item.block.text))
    starts = _from_toc(marks, words_before, book_title)
    if len(starts) < 2 and len(starts) < len({page.path for page in pages}):
        starts = {**_from_headings(items, pages), **starts}
    _add_pages(starts, items, pages)
    _add_boilerplate(starts, items)
    starts.setdefault(0, _Start(0))
    return _cut(sorted(starts.values(), key=lambda start: start.idx), items, words_before, pages)


def _from_toc(marks: Sequence[Mark], words_before: list[int], book_title: str) -> dict[int, _Start]:
    ordered = sorted(marks, key=lambda mark: mark.idx)  # the spine's order wins over the contents'
    starts: dict[int, _Start] = {}
    hidden_below: int | None = None
    for place, mark in enumerate(ordered):
        if hidden_below is not None and mark.depth > hidden_below:
            continue
        hidden_below = None
        children = _children_of(place, ordered)
        stop = (
            children[0].idx
            if children
            else ordered[place + 1].idx
            if place + 1 < len(ordered)
            else len(words_before) - 1
        )
        own_words = words_before[stop] - words_before[mark.idx]
        if children and not _are_chapters(
            mark, children, own_words, _end_of(place, ordered, len(words_before) - 1), words_before
        ):
            hidden_below = mark.depth
            children = []
        is_opener = (
            (bool(children) or starts_like_part(mark.label))
            and own_words < MAX_OPENER_WORDS
            and not same(mark.label, book_title)
        )
        if mark.idx in starts:
            start = starts[mark.idx]
            if start.is_opener:
                start.parts.append(start.label)
                start.label, start.is_opener = mark.label, is_opener
            continue
        starts[mark.idx] = _Start(mark.idx, mark.label, in_toc=True, is_opener=is_opener)
    return starts


def _children_of(place: int, ordered: Sequence[Mark]) -> list[Mark]:
    depth = ordered[place].depth
    children: list[Mark] = []
    for mark in ordered[place + 1 :]:
        if mark.depth <= depth:
            break
        if not children or mark.depth <= children[0].depth:
            children.append(mark)
    return children


def _end_of(place: int, ordered: Sequence[Mark], last: int) -> int:
    depth = ordered[place].depth
    return next((mark.idx for mark in ordered[place + 1 :] if mark.depth <= depth), last)


def _are_chapters(parent: Mark, children: list[Mark], own_words: int, stop: int, words_before: list[int]) -> bool:
    """Whether a listener would call the entries under ``parent`` chapters, rather than sections of one."""
    if any(starts_like_chapter(child.label) or is_label(child.label) for child in children):
        return True
    if CHAPTER_LABEL.match(parent.label):
        return False
    if starts_like_part(parent.label):
        return True
    average = (words_before[stop] - words_before[children[0].idx]) / len(children)
    return average >= (MIN_CHAPTER_WORDS if own_words < MAX_OPENER_WORDS else LONG_CHILD_WORDS)


def _from_headings(items: Sequence[Item], pages: Sequence[Page]) -> dict[int, _Start]:
    found = set(chapter_starts(items))
    has_headings = any(item.block.kind is BlockKind.HEADING for item in items)
    for page, stop in zip(pages, [*(page.start for page in pages[1:]), len(items)], strict=True):
        opening = items[page.start : min(page.start + 2, stop)]
        if not has_headings or any(item.block.kind is BlockKind.HEADING for item in opening):
            found.add(page.start)
    return {idx: _Start(idx) for idx in found if idx < len(items)}


def _add_pages(starts: dict[int, _Start], items: Sequence[Item], pages: Sequence[Page]) -> None:
    """Pages the contents do not list: matter and what precedes the contents stand alone, others go on."""
    first_listed = min((idx for idx in starts), default=len(items))
    listed_pages = sum(1 for page in pages if page.start in starts)
    is_poor_toc = listed_pages < 0.5 * len(pages)
    after_matter = False
    for page, stop in zip(pages, [*(page.start for page in pages[1:]), len(items)], strict=True):
        if page.start >= stop:
            continue
        types = page.types | items[page.start].types
        is_matter = any(name in matter.BY_TYPE for name in types) or not page.is_linear
        extra = page.types | (frozenset() if page.is_linear else frozenset((NONLINEAR_TYPE,)))
        if page.start in starts:
            starts[page.start].types |= extra
            after_matter = is_matter
            continue
        opening = items[page.start].block
        is_headed = opening.kind is BlockKind.HEADING and (
            starts_like_chapter(opening.text) or (is_poor_toc and opening.level <= 2)
        )
        if page.start < first_listed or is_matter or after_matter or is_headed or matter.by_title(opening.text):
            starts[page.start] = _Start(page.start, types=extra)
            after_matter = is_matter
        if any(page.start < idx < stop for idx in starts):
            after_matter = False


def _add_boilerplate(starts: dict[int, _Start], items: Sequence[Item]) -> None:
    """A stretch of Project Gutenberg's wrapping is cut out of the page it stands in."""
    inside = False
    for idx, item in enumerate(items):
        now = "pg-boilerplate" in item.types
        if now != inside:
            start = starts.setdefault(idx, _Start(idx))
            if now:
                start.label, start.in_toc, start.is_opener = matter.LICENCE.reason, False, False
            inside = now
        elif now and idx in starts:
            del starts[idx]


def _cut(starts: list[_Start], items: Sequence[Item], words_before: list[int], pages: Sequence[Page]) -> list[Draft]:
    drafts: list[Draft] = []
    carried: list[str] = []
    begin: int | None = None
    stops = [*(start.idx for start in starts[1:]), len(items)]
    page_starts = [page.start for page in pages]
    for start, stop in zip(starts, stops, strict=True):
        begin = start.idx if begin is None else begin
        words = words_before[stop] - words_before[start.idx]
        heading = items[start.idx].block
        is_unlisted_part = not start.in_toc and heading.kind is BlockKind.HEADING and starts_like_part(heading.text)
        if (start.is_opener or is_unlisted_part) and words < MAX_OPENER_WORDS and stop < len(items):
            carried += [*start.parts, start.label or heading.text]
            continue
        part = merge_title([*carried, *start.parts])
        drafts.append(
            Draft(
                list(items[begin:stop]),
                start.label,
                start.types,
                start.in_toc,
                _page_at(pages, page_starts, begin),
                part=part if start.label else "",
            )
        )
        carried, begin = [], None
    if begin is not None:
        drafts.append(
            Draft(list(items[begin:]), merge_title(carried), in_toc=True, source=_page_at(pages, page_starts, begin))
        )
    return drafts


def _page_at(pages: Sequence[Page], page_starts: list[int], idx: int) -> str:
    return pages[max(0, bisect_right(page_starts, idx) - 1)].path if pages else ""
