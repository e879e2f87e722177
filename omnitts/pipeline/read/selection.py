"""Choosing chapters: ``--keep`` and ``--skip`` (all chapters of the source), ``--chapters`` (those to be spoken).

A `Book` in, the same chapters out with other skip reasons. Knows no format.
"""

from __future__ import annotations

import re
from dataclasses import replace

from omnitts.errors import UsageError
from omnitts.types import Book, Chapter, Problem

ALL = "all"
_RANGE = re.compile(r"(\d+)?\s*(-|–|\.\.)?\s*(\d+)?")


def select_chapters(book: Book, selection: str) -> Book:
    """``book`` with all but the selected chapters skipped.

    ``selection`` is like ``"3-7,10"``, ``"5-"`` or ``"-3"``; numbers count the chapters that are to be spoken, from 1,
    as ``omnitts plan`` lists them. Raises `UsageError` naming the part that is wrong.
    """
    spoken = [idx for idx, chapter in enumerate(book.chapters) if not chapter.skip_reason]
    wanted: set[int] = set()
    for part in selection.replace("，", ",").split(","):
        numbers = _numbers(part.strip(), len(spoken))
        if numbers is None:
            raise UsageError(
                f"cannot read {part.strip()!r}", where="--chapters", hint='use numbers and ranges: "3-7,10"'
            )
        if not numbers:
            raise UsageError(
                f"{part.strip()!r} runs backwards", where="--chapters", hint='write the smaller number first: "3-7"'
            )
        outside = [number for number in (numbers[0], numbers[-1]) if not 1 <= number <= len(spoken)]
        if outside:
            raise UsageError(
                f"there is no chapter {outside[0]}",
                where="--chapters",
                hint=f"the book has chapters 1 to {len(spoken)} to speak; `omnitts plan` lists them",
            )
        wanted.update(spoken[number - 1] for number in numbers)
    reason = f"not among --chapters {selection.strip()}"
    chapters = tuple(
        chapter if chapter.skip_reason or idx in wanted else replace(chapter, skip_reason=reason)
        for idx, chapter in enumerate(book.chapters)
    )
    return replace(book, chapters=chapters)


def keep_and_skip(book: Book, keep: tuple[str, ...], skip: tuple[str, ...]) -> Book:
    """``book`` with its skipping overruled; patterns as in `ReadOptions`.

    One that matches nothing becomes a problem.
    """
    chapters = list(book.chapters)
    problems = list(book.problems)
    for flag, patterns in (("--keep", keep), ("--skip", skip)):
        for pattern in patterns:
            matching = [idx for idx, chapter in enumerate(chapters) if _matches(pattern, idx, chapter, len(chapters))]
            if not matching:
                problems.append(Problem(f"{flag} {pattern!r} matches no chapter", book.source))
            reason = "" if flag == "--keep" else f"--skip {pattern}"
            for idx in matching:
                chapters[idx] = replace(chapters[idx], skip_reason=reason)
    return replace(book, chapters=tuple(chapters), problems=tuple(problems))


def _matches(pattern: str, idx: int, chapter: Chapter, num_chapters: int) -> bool:
    pattern = pattern.strip()
    if pattern.casefold() == ALL:
        return True
    numbers = _numbers(pattern, num_chapters)
    if numbers is not None:
        return idx + 1 in numbers
    return bool(pattern) and pattern.casefold() in chapter.title.casefold()


def _numbers(part: str, last: int) -> range | None:
    """``"3"``, ``"3-7"``, ``"3-"``, ``"-7"`` as a range of numbers; None for anything else."""
    match = _RANGE.fullmatch(part)
    if match is None or not (match[1] or match[3]) or (match[3] and not match[2]):
        return None
    if not match[2]:
        return range(int(match[1]), int(match[1]) + 1)
    start = int(match[1]) if match[1] else 1
    stop = int(match[3]) if match[3] else max(last, start)
    return range(start, stop + 1)
