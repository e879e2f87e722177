"""Plain text to paragraphs: hard-wrapped lines joined again, verse kept, whatever way the file marks its paragraphs.

In: lines. Out: `Group`s in order, each with its place; every word of the lines is in exactly one of them. Knows nothing
of chapters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from omnitts.pipeline.read.cleaning import collapse, collapse_lines, is_scene_break
from omnitts.types import BlockKind

MAX_WRAP_COLUMNS = 100  # longer lines were never wrapped by hand
MIN_WRAP_COLUMNS = 40
EARLY_SLACK_COLUMNS = 2  # a word that would have fit with this much to spare was not pushed out by the margin
VERSE_SHARE = 0.5  # of a group's lines that end early
MAX_VERSE_LINE = 60
DENSE_GROUP_LINES = 12  # a file without blank lines between paragraphs has groups at least this long
_TERMINAL = re.compile(r"""[.!?:;…。！？；：—*_)][\"'”’»」』)\]_*]*$|[\"”’»」』]$""")
_BULLET = re.compile(r"^\s*(?:[-*•·]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_HYPHENATED = re.compile(r"[^\W\d_]-$")
_WORD_END = re.compile(r"[^\W\d_]+$")
_WORD_START = re.compile(r"^[^\W\d_]+")


# (line, whether it stands inside a run of wrapped lines) -> whether it is a heading of its own
HeadingTest = Callable[[str, bool], bool]


@dataclass(frozen=True, slots=True)
class Group:
    """``text`` is cleaned: one line for prose, several for verse, empty for a scene break. ``line`` counts from 1.

    ``lines`` are the source's own, for telling headings; ``blank_before`` the number of blank lines above.
    """

    kind: BlockKind
    text: str
    line: int
    lines: tuple[str, ...]
    blank_before: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is set: the column its lines are wrapped at (0 if they are not), whether indents begin paragraphs,
    and the words that hyphenated line ends are checked against."""

    wrap_columns: int
    is_dense: bool
    vocabulary: frozenset[str]


def group_lines(lines: Sequence[str], is_heading_line: HeadingTest) -> list[Group]:
    """Paragraphs, stanzas and scene breaks of ``lines``. A line that ``is_heading_line`` accepts stands alone."""
    layout = _layout_of(lines)
    groups: list[Group] = []
    run: list[str] = []
    run_start, blanks = 0, 0

    def close() -> None:
        nonlocal blanks
        if run:
            groups.extend(_split_run(run, run_start + 1, blanks, layout))
            run.clear()
            blanks = 0

    for idx, line in enumerate(lines):
        if not line or line.isspace():
            close()
            blanks += 1
            continue
        if is_heading_line(line, bool(run) and bool(layout.wrap_columns)):
            close()
            groups.append(Group(BlockKind.PARAGRAPH, collapse(line), idx + 1, (line,), max(blanks, 1)))
            blanks = 0
            continue
        if not run:
            run_start = idx
        run.append(line)
    close()
    return [group for group in groups if group.text or group.kind is BlockKind.SCENE_BREAK]


def _layout_of(lines: Sequence[str]) -> Layout:
    lengths = sorted(len(line.rstrip()) for line in lines if line and not line.isspace())
    if not lengths:
        return Layout(0, False, frozenset())
    columns = lengths[int(0.95 * (len(lengths) - 1))]
    followed = sum(1 for line, after in pairwise(lines) if line.strip() and after.strip())
    ended = sum(1 for line, after in pairwise(lines) if after.strip() and _TERMINAL.search(line.rstrip()))
    is_wrapped = MIN_WRAP_COLUMNS <= columns <= MAX_WRAP_COLUMNS and followed > 0.25 * len(lengths)
    is_wrapped = is_wrapped and ended < 0.5 * followed  # lines that all end like sentences are paragraphs
    blank = sum(1 for line in lines if not line.strip())
    hyphens = is_wrapped and any(_HYPHENATED.search(line.rstrip()) for line in lines)
    words = frozenset(re.findall(r"[^\W\d_]+", "\n".join(lines).lower())) if hyphens else frozenset()
    return Layout(columns if is_wrapped else 0, blank < 0.05 * len(lines), words)


def _split_run(run: list[str], first_line: int, blanks: int, layout: Layout) -> list[Group]:
    """Consecutive lines without a blank one between them."""
    if all(is_scene_break(line.strip()) for line in run):
        return [Group(BlockKind.SCENE_BREAK, "", first_line, tuple(run), blanks)]
    if not layout.wrap_columns:
        return _unwrapped(run, first_line, blanks)
    early = _early_lines(run, layout.wrap_columns)
    if len(run) > 1 and sum(early) > VERSE_SHARE * len(early) and not any(_BULLET.match(line) for line in run[1:]):
        return [Group(BlockKind.VERSE, collapse_lines("\n".join(run)), first_line, tuple(run), blanks)]
    groups: list[Group] = []
    start = 0
    for end in range(1, len(run) + 1):
        if end == len(run) or _begins_paragraph(run, end, early[end - 1], layout):
            part = run[start:end]
            kind = (
                BlockKind.LIST_ITEM
                if len(run) > 1 and _BULLET.match(part[0]) and _is_list(run)
                else BlockKind.PARAGRAPH
            )
            text = _join(part, layout)
            if is_scene_break(text):
                kind, text = BlockKind.SCENE_BREAK, ""
            groups.append(Group(kind, text, first_line + start, tuple(part), blanks if start == 0 else 0))
            start = end
    return groups


def _unwrapped(run: list[str], first_line: int, blanks: int) -> list[Group]:
    """Lines that are paragraphs each, unless they are short and do not end like sentences: then they are verse."""
    short = len(run) >= 3 and max(map(len, run)) <= MAX_VERSE_LINE
    if short and sum(1 for line in run if _TERMINAL.search(line.rstrip())) < 0.5 * len(run) and not _is_list(run):
        return [Group(BlockKind.VERSE, collapse_lines("\n".join(run)), first_line, tuple(run), blanks)]
    groups = []
    for idx, line in enumerate(run):
        text = collapse(line)
        kind = (
            BlockKind.SCENE_BREAK
            if is_scene_break(text)
            else BlockKind.LIST_ITEM
            if _is_list(run) and _BULLET.match(line)
            else BlockKind.PARAGRAPH
        )
        groups.append(
            Group(
                kind,
                "" if kind is BlockKind.SCENE_BREAK else text,
                first_line + idx,
                (line,),
                blanks if idx == 0 else 0,
            )
        )
    return groups


def _is_list(run: list[str]) -> bool:
    return len(run) > 1 and sum(1 for line in run if _BULLET.match(line)) >= 2


def _early_lines(run: list[str], columns: int) -> list[bool]:
    """For each line but the last: whether the next line's first word would still have fit on it."""
    early = []
    for line, after in pairwise(run):
        words = after.split(None, 1)
        early.append(len(line.rstrip()) + 1 + len(words[0] if words else "") <= columns - EARLY_SLACK_COLUMNS)
    return early


def _begins_paragraph(run: list[str], idx: int, is_after_early: bool, layout: Layout) -> bool:
    """Whether line ``idx`` of a prose run begins a paragraph: by indent, by bullet, or after a line that ended
    early.
    """
    line, before = run[idx], run[idx - 1]
    ended = bool(_TERMINAL.search(before.rstrip()))
    if _BULLET.match(line) and _is_list(run):
        return True
    if line[:2].isspace() or line[:1] in "\t\u3000":
        flush_lines = sum(1 for other in run if not other[:1].isspace())
        return (flush_lines > 0.3 * len(run) and (ended or is_after_early) and not before[:1].isspace()) or (
            line[:1] == "\u3000" or (ended and not before[:2].isspace())
        )
    return layout.is_dense and len(run) >= DENSE_GROUP_LINES and is_after_early and ended


def _join(lines: list[str], layout: Layout) -> str:
    """Lines as one, words that were hyphenated at a line's end put together when the file uses them unhyphenated."""
    if len(lines) == 1:
        return collapse(lines[0])
    parts: list[str] = []
    for idx, line in enumerate(lines):
        line = line.strip()
        follower = lines[idx + 1].strip() if idx + 1 < len(lines) else ""
        if follower and _HYPHENATED.search(line) and (start := _WORD_START.match(follower)):
            end = _WORD_END.search(line[:-1])
            whole = f"{end.group() if end else ''}{start.group()}".lower()
            parts.append(line[:-1] if whole in layout.vocabulary else line)
        elif follower and _is_han(line[-1:]) and _is_han(follower[:1]):
            parts.append(line)
        else:
            parts.append(f"{line} ")
    return collapse("".join(parts))


def _is_han(char: str) -> bool:
    return "\u3000" <= char <= "\u9fff" or "\uff00" <= char <= "\uffef"
