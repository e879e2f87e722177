"""Chapters of a plain text: which groups of lines are headings, which of them begin chapters, which are a contents list.

In: `Group`s. Out: the same as `Item`s, and `Draft`s over them. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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
MIN_CHAPTER_WORDS = 20  # headings closer together than this, three in a row, are a list of contents
PART, CHAPTER, NUMBER, CAPITALS = "part", "chapter", "number", "capitals"
_MARKED = re.compile(r"^#{1,3}\s+\S")
_NUMBER_LINE = re.compile(rf"^(?:(\d{{1,3}})|({ROMAN.pattern}))(?:[.)]?|[.)]?\s*[—–:.-]?\s+(?=[A-Z\"“‘À-Þ]).{{1,70}})$")
_SENTENCE_END = re.compile(r"[,;]$|[a-z]\.$")
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
    for heading in starts:
        titles[heading.idx] = _mark_headings(heading, groups, blocks)
    if listed:
        first, last = min(listed), max(listed)
        contents_at = (
            first - 1 if first > 0 and matter.by_title(blocks[first - 1].block.text) is matter.CONTENTS else first
        )
        titles = {idx: title for idx, title in titles.items() if not contents_at <= idx <= last}
        titles[contents_at] = "Contents"
        after = _end_of_contents(groups, last, min((idx for idx in titles if idx > last), default=len(groups)))
        if after < len(groups):
            titles.setdefault(after, "")
    titles.setdefault(0, "")
    return _cut(titles, blocks, groups, book_title)


def _cut(titles: dict[int, str], items: list[Item], groups: Sequence[Group], book_title: str) -> list[Draft]:
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
    """Headings that begin chapters: those that say so; else a rising series of numbers; else lines in capitals."""
    found = [heading for idx, group in enumerate(groups) if (heading := _heading_of(idx, group))]
    kinds = Counter(heading.kind for heading in found)
    chosen = {PART, CHAPTER}
    numbers = _rising([heading for heading in found if heading.kind == NUMBER])
    numbered_chapters = sum(1 for h in found if h.kind == CHAPTER and not NAMED_CHAPTER.fullmatch(groups[h.idx].text))
    if numbered_chapters < 2 and len(numbers) >= 2:
        return sorted(
            [heading for heading in found if heading.kind in chosen] + numbers, key=lambda heading: heading.idx
        )
    if numbered_chapters < 2 and kinds[PART] < 2 and kinds[CAPITALS] >= 2:
        chosen.add(CAPITALS)
    return [heading for heading in found if heading.kind in chosen]


def _heading_of(idx: int, group: Group) -> _Heading | None:
    if group.kind is BlockKind.SCENE_BREAK or len(group.lines) > MAX_HEADING_LINES:
        return None
    text = collapse(" ".join(group.lines))
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
    """Headings near the start that are only listed: three or more with hardly a word between them, named again later."""
    if len(headings) < 3:
        return set()
    run: list[_Heading] = [headings[0]]
    best: list[_Heading] = []
    for before, heading in zip(headings, headings[1:], strict=False):
        between = sum(count_words(group.text) for group in groups[before.idx : heading.idx])
        if between <= MIN_CHAPTER_WORDS:
            run.append(heading)
            continue
        best = run if len(run) >= 3 and len(run) > len(best) else best
        run = [heading]
    later = {key(groups[heading.idx].text) for heading in headings if best and heading.idx > best[-1].idx}
    later_labels = {_label_key(groups[heading.idx].text) for heading in headings if best and heading.idx > best[-1].idx}
    named_again = [
        h for h in best if key(groups[h.idx].text) in later or _label_key(groups[h.idx].text) in later_labels
    ]
    if not best or len(named_again) < 0.5 * len(best):
        return set()
    last = max(h.idx for h in named_again)
    return {h.idx for h in best if h.idx <= last}


def _label_key(text: str) -> str:
    match = CHAPTER_LABEL.match(text) or PART_LABEL.match(text) or re.match(r"[IVXLC]+\b|\d+\b", text)
    return key(match.group()) if match else key(text)


def _end_of_contents(groups: Sequence[Group], last: int, stop: int) -> int:
    """Where the list ends after its last heading: its title line may follow, prose does not belong to it."""
    idx = last + 1
    while (
        idx < stop
        and idx < last + 3
        and len(groups[idx].lines) <= 2
        and count_words(groups[idx].text) <= 12
        and not groups[idx].text.endswith(".")
    ):
        idx += 1
    return idx


def _mark_headings(heading: _Heading, groups: Sequence[Group], items: list[Item]) -> str:
    """Turns a heading's group, and a title that follows a bare number, into heading blocks. Returns the title."""
    group = groups[heading.idx]
    lines = [collapse(line).strip("_=~") for line in group.lines]
    level = 1 if heading.kind == PART else 2
    text = " ".join(line for line in lines if line)
    items[heading.idx] = Item(Block(BlockKind.HEADING, text, f"line {group.line}", level))
    parts = [lines[0], " ".join(lines[1:])] if len(lines) > 1 and is_label(lines[0]) else [text]
    follower = heading.idx + 1
    if len(parts) == 1 and is_label(text) and follower < len(groups) and _is_title_line(groups[follower]):
        title = groups[follower]
        items[follower] = Item(
            Block(BlockKind.HEADING, collapse(" ".join(title.lines)).strip("_"), f"line {title.line}", level + 1)
        )
        parts.append(title.text)
    return merge_title([part.strip("_") for part in parts if part])


def _is_title_line(group: Group) -> bool:
    """Whether the group after a bare ``CHAPTER I`` is its name: short, and in capitals or with capital letters throughout."""
    text = group.text.replace("\n", " ").strip("_*=")
    if (
        group.kind not in (BlockKind.PARAGRAPH, BlockKind.VERSE)
        or len(group.lines) > 3
        or not 2 <= len(text) <= MAX_HEADING_CHARS
    ):
        return False
    if re.search(r"[,;:]$|[.!?]['\"”’]$", text) or text[0] in "\"“‘'[(" or is_label(text):
        return False
    if text.isupper():
        return True
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
