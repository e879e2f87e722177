"""Chapters of a plain text: which groups of lines are headings, which of them begin chapters, which are a contents
list.

In: `Group`s. Out: the same as `Item`s, and `Draft`s over them. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from omnitts.pipeline.read import matter
from omnitts.pipeline.read.cleaning import collapse, count_words
from omnitts.pipeline.read.drafts import Draft
from omnitts.pipeline.read.flow import Item
from omnitts.pipeline.read.titles import (
    CHAPTER_LABEL,
    NAMED_CHAPTER,
    PART_LABEL,
    ROMAN,
    is_label,
    key,
    merge_title,
    starts_like_part,
)
from omnitts.pipeline.read.txt_paragraphs import Group
from omnitts.types import Block, BlockKind

MAX_HEADING_CHARS = 90
MAX_HEADING_LINES = 4
MAX_HAN_HEADING_CHARS = 40
MIN_CHAPTER_WORDS = 20  # headings in capitals closer together than this are one title
MAX_LISTED_WORDS = 60  # of a chapter's summary in a list of contents
MIN_FRONT_WORDS = 120  # more than a title page or a dedication
PART, CHAPTER, NUMBER, CAPITALS = "part", "chapter", "number", "capitals"
_NUMBER_LINE = re.compile(rf"^(?:(\d{{1,3}})|({ROMAN.pattern}))(?:[.)]?|[.)]?\s*[—–:.-]?\s+(?=[A-Z\"“‘À-Þ]).{{1,70}})$")
_SENTENCE_END = re.compile(r"[,;]$|[a-z]\.$")
_INITIALS = re.compile(r"^(?:\w+ )?(?:[A-Z]\.\s?)+\w*\.?$")  # a signature, no heading
_LISTED = re.compile(r"(?:\.\s?){3,}\s*\d+\s*$|\s{3,}\d+\s*$")


@dataclass(frozen=True, slots=True)
class _Heading:
    idx: int
    kind: str
    number: int = 0


def is_heading_line(line: str, inside_wrapped_run: bool) -> bool:
    """Whether a line is a chapter heading wherever it stands, so that it is parted from the lines around it."""
    text = line.strip()
    if inside_wrapped_run or len(text) > MAX_HEADING_CHARS:
        return False
    if text[:1] in "第卷":
        match = CHAPTER_LABEL.match(text) or PART_LABEL.match(text)
        return (
            match is not None
            and len(text) <= MAX_HAN_HEADING_CHARS
            and text[-1] not in "。，；！？：”"
            and text[match.end() : match.end() + 1] in ("", " ", "\u3000", "、", "：", ":", ".", "·", "—")
        )
    return bool(is_label(text) and (CHAPTER_LABEL.match(text) or PART_LABEL.match(text)))


def split_text(groups: Sequence[Group], book_title: str) -> list[Draft]:
    """Cuts a text into drafts. Every group is in exactly one."""
    headings = _chapter_headings(groups)
    listed = _contents_list(headings, groups)
    starts = [heading for heading in headings if heading.idx not in listed]
    blocks = [Item(_block_of(group)) for group in groups]
    titles: dict[int, str] = {}
    taken: set[int] = set()
    for heading in starts:
        if heading.idx not in taken:
            titles[heading.idx], follower = _mark_headings(heading, groups, blocks)
            taken.add(follower)
    if listed:
        first, last = min(listed), max(listed)
        contents_at = (
            first - 1 if first > 0 and matter.by_title(blocks[first - 1].block.text) is matter.CONTENTS else first
        )
        titles = {idx: title for idx, title in titles.items() if not contents_at <= idx <= last}
        titles[contents_at] = "Contents"
        after = _end_of_contents(groups, listed, min((idx for idx in titles if idx > last), default=len(groups)))
        if after < len(groups) and after not in titles:
            titles[after] = _opening_title(after, groups, blocks)
    if 0 not in titles:
        titles[0] = _opening_title(0, groups, blocks)
    if len(titles) == 1:
        titles[0] = titles[0] or book_title
    return _cut(titles, blocks, groups)


def _opening_title(idx: int, groups: Sequence[Group], items: list[Item]) -> str:
    """The title of a stretch that no chapter heading opens: its first line, if that reads like a heading."""
    heading = _heading_of(idx, groups[idx])
    return _mark_headings(heading, groups, items)[0] if heading else ""


def _cut(titles: dict[int, str], items: list[Item], groups: Sequence[Group]) -> list[Draft]:
    drafts: list[Draft] = []
    begin: int | None = None
    part = ""
    starts = sorted(titles)
    for idx, stop in zip(starts, [*starts[1:], len(items)], strict=True):
        begin = idx if begin is None else begin
        words = (
            sum(count_words(item.block.text) for item in items[idx:stop]) if stop - idx < 6 else MIN_CHAPTER_WORDS * 3
        )
        if (
            starts_like_part(titles[idx])
            and words < MIN_CHAPTER_WORDS * 3
            and stop < len(items)
            and titles[stop] != "Contents"
            and titles[stop]
        ):
            part = titles[idx]
            continue
        is_contents = titles[idx] == "Contents"
        drafts.append(
            Draft(
                items[begin:stop],
                titles[idx],
                frozenset(("toc",)) if is_contents else frozenset(),
                in_toc=bool(titles[idx]),
                source=f"line {groups[begin].line}",
                part=part,
            )
        )
        begin, part = None, ""
    if begin is not None:
        drafts.append(Draft(items[begin:], part, in_toc=True, source=f"line {groups[begin].line}"))
    return drafts


def _block_of(group: Group) -> Block:
    return Block(group.kind, group.text, f"line {group.line}")


def _chapter_headings(groups: Sequence[Group]) -> list[_Heading]:
    """Headings that begin chapters: those that say so; else a rising series of numbers; else lines in capitals.

    What stands before the first of them under a heading in capitals is a chapter too, if it is longer than a title
    page.
    """
    found = [heading for idx, group in enumerate(groups) if (heading := _heading_of(idx, group))]
    chosen = [heading for heading in found if heading.kind in (PART, CHAPTER)]
    numbers = _rising([heading for heading in found if heading.kind == NUMBER])
    capitals = [heading for heading in found if heading.kind == CAPITALS]
    num_chapters = sum(1 for h in chosen if h.kind == CHAPTER and not NAMED_CHAPTER.fullmatch(groups[h.idx].text))
    num_parts = sum(1 for heading in chosen if heading.kind == PART)
    main = [heading for heading in chosen if heading.kind == CHAPTER] or chosen
    if num_chapters < 2 and len(numbers) >= 2:
        chosen, main = chosen + numbers, numbers
    elif num_chapters < 2 and num_parts < 2 and len(capitals) >= 2:
        chosen, main = _apart(chosen + capitals, groups), []
    first = min((heading.idx for heading in main), default=0)
    stops = {heading.idx: after.idx for heading, after in pairwise(found)}
    for heading in capitals:
        if heading.idx < first and _words(groups[heading.idx : stops.get(heading.idx, first)]) > MIN_FRONT_WORDS:
            chosen.append(heading)
    return sorted(set(chosen), key=lambda heading: heading.idx)


def _apart(headings: list[_Heading], groups: Sequence[Group]) -> list[_Heading]:
    """Without those that follow another one at once: the lines of a title page, or a chapter's second title."""
    kept: list[_Heading] = []
    before: _Heading | None = None
    for heading in sorted(headings, key=lambda heading: heading.idx):
        follows_at_once = before is not None and _words(groups[before.idx : heading.idx]) < MIN_CHAPTER_WORDS
        if heading.kind != CAPITALS or not follows_at_once:
            kept.append(heading)
        before = heading
    return kept


def _words(groups: Sequence[Group]) -> int:
    return sum(count_words(group.text) for group in groups)


def _heading_of(idx: int, group: Group) -> _Heading | None:
    if group.kind is BlockKind.SCENE_BREAK or len(group.lines) > MAX_HEADING_LINES:
        return None
    text = collapse(" ".join(group.lines)).strip("_*=~ ")
    if not text or len(text) > MAX_HEADING_CHARS + 30 or not (group.blank_before or idx == 0):
        return None
    first = collapse(group.lines[0]).strip("_*=~ ")
    if PART_LABEL.match(first) and _is_title_after(PART_LABEL, first):
        return _Heading(idx, PART)
    if CHAPTER_LABEL.match(first) and _is_title_after(CHAPTER_LABEL, first):
        return _Heading(idx, CHAPTER)
    if NAMED_CHAPTER.fullmatch(first) and (len(group.lines) == 1 or first.isupper()) and first[:1] == first[:1].upper():
        return _Heading(idx, CHAPTER)
    if (
        len(group.lines) <= 2
        and (match := _NUMBER_LINE.match(text))
        and (match[1] or match[2].isupper())
        and not _SENTENCE_END.search(text.rstrip("."))
    ):
        return _Heading(idx, NUMBER, int(match[1]) if match[1] else _roman_value(match[2]))
    letters = sum(map(str.isalpha, text))
    if (
        letters >= 3
        and text.isupper()
        and len(text) <= 70
        and not re.search(r"[,;:]$", text)
        and not text.startswith(("[", "(", '"', "“"))
        and not _INITIALS.search(text)
    ):
        return _Heading(idx, CAPITALS)
    return None


def _is_title_after(pattern: re.Pattern[str], line: str) -> bool:
    """Whether what follows the label is a title, not the rest of a sentence ("Chapter one was dull")."""
    match = pattern.match(line)
    rest = line[match.end() :] if match else ""
    if not rest.strip(" .:—–-"):
        return True
    if line[:1].islower() or _LISTED.search(line):
        return not line[:1].islower()
    if rest[0] in ".:—–-、：·\u3000":
        return not re.search(r"[a-z]{2},$|;$", rest)
    words = rest.split()
    return (
        bool(words)
        and (rest[0].isspace() or not rest[0].isascii())
        and not words[0][:1].islower()
        and not _SENTENCE_END.search(rest.rstrip("."))
    )


def _rising(numbers: list[_Heading]) -> list[_Heading]:
    """The bare numbers that count 1, 2, 3 ...; a new count from 1 may begin in each part."""
    kept: list[_Heading] = []
    for heading in numbers:
        if heading.number == 1 or (kept and heading.number == kept[-1].number + 1):
            kept.append(heading)
    return [h for i, h in enumerate(kept) if h.number != 1 or (i + 1 < len(kept) and kept[i + 1].number == 2)]


def _contents_list(headings: list[_Heading], groups: Sequence[Group]) -> set[int]:
    """Headings near the start that are only listed: three or more with hardly a word between them, named again
    later.
    """
    if len(headings) < 3:
        return set()
    run: list[_Heading] = [headings[0]]
    best: list[_Heading] = []
    for before, heading in pairwise(headings):
        if _words(groups[before.idx : heading.idx]) <= MAX_LISTED_WORDS:
            run.append(heading)
            continue
        best = run if len(run) >= 3 and len(run) > len(best) else best
        run = [heading]
    last_named: dict[str, int] = {}
    for heading in headings:
        last_named[key(groups[heading.idx].text)] = last_named[_label_key(groups[heading.idx].text)] = heading.idx
    named_again = [
        heading
        for heading in best
        if max(last_named[name(groups[heading.idx].text)] for name in (key, _label_key)) > heading.idx
    ]
    if not best or len(named_again) < 0.5 * len(best):
        return set()
    last = max(h.idx for h in named_again)
    return {h.idx for h in best if h.idx <= last}


def _label_key(text: str) -> str:
    match = CHAPTER_LABEL.match(text) or PART_LABEL.match(text) or re.match(r"[IVXLC]+\b|\d+\b", text)
    return key(match.group()) if match else key(text)


def _end_of_contents(groups: Sequence[Group], listed: set[int], stop: int) -> int:
    """Where the list ends after its last heading: summaries may follow it as they usually follow the others."""
    order = sorted(listed)
    gaps = sorted(_words(groups[one + 1 : other]) for one, other in pairwise(order))
    usual = gaps[len(gaps) // 2]
    idx, words = order[-1] + 1, 0
    while idx < stop and _heading_of(idx, groups[idx]) is None:
        words += count_words(groups[idx].text)
        if words > 2 * usual:
            break
        idx += 1
    return idx


def _mark_headings(heading: _Heading, groups: Sequence[Group], items: list[Item]) -> tuple[str, int]:
    """Turns a heading's group, and a title that follows a bare number, into heading blocks.

    Returns the title and the index of the last group that is part of it.
    """
    group = groups[heading.idx]
    lines = [collapse(line).strip("_=~") for line in group.lines]
    level = 1 if heading.kind == PART else 2
    text = " ".join(line for line in lines if line)
    items[heading.idx] = Item(Block(BlockKind.HEADING, text, f"line {group.line}", level))
    parts = [lines[0], " ".join(lines[1:])] if len(lines) > 1 and is_label(lines[0]) else [text]
    last, follower = heading.idx, heading.idx + 1
    if len(parts) == 1 and is_label(text) and follower < len(groups) and _is_title_line(groups[follower]):
        title = groups[follower]
        items[follower] = Item(
            Block(BlockKind.HEADING, collapse(" ".join(title.lines)).strip("_"), f"line {title.line}", level + 1)
        )
        parts.append(title.text)
        last = follower
    return merge_title([part.replace("_", "") for part in parts if part]), last


def _is_title_line(group: Group) -> bool:
    """Whether the group after a bare ``CHAPTER I`` is its name: short, and in capitals or with capital letters
    throughout.
    """
    text = group.text.replace("\n", " ").strip("_*=")
    if (
        group.kind not in (BlockKind.PARAGRAPH, BlockKind.VERSE)
        or len(group.lines) > 3
        or not 2 <= len(text) <= MAX_HEADING_CHARS
    ):
        return False
    if re.search(r"[,;:]$|[.!?]['\"”’]$", text) or is_label(text):
        return False
    if text.isupper():
        return True
    if text[0] in "\"“‘'[(":
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 3]
    capitals = sum(1 for word in words if word[0].isupper())
    if any("\u4e00" <= char <= "\u9fff" for char in text):
        return len(text) <= 20 and text[-1] not in "。！？，"
    return (
        not text.endswith(".")
        and len(group.lines) == 1
        and (capitals >= 0.6 * len(words) if words else text[0].isupper())
    )


def _roman_value(text: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in text.upper()]
    return sum(-value if value < max(values[idx:]) else value for idx, value in enumerate(values))
