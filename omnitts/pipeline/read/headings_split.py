"""Chapters by headings, for pages that come without a table of contents: HTML, Markdown, poor EPUBs.

Items in, indices out where chapters begin. Knows nothing of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omnitts.pipeline.read.flow import Item
from omnitts.pipeline.read.titles import starts_like_chapter, starts_like_part
from omnitts.types import BlockKind


def chapter_starts(items: Sequence[Item]) -> list[int]:
    """Indices of the headings that begin a chapter.

    If at least two headings name chapters or parts, those; else the shallowest heading level that occurs at least
    twice. A heading directly under another one belongs to it.
    """
    headings = [idx for idx, item in enumerate(items) if item.block.kind is BlockKind.HEADING and not item.note]
    named = [
        idx for idx in headings if starts_like_chapter(items[idx].block.text) or starts_like_part(items[idx].block.text)
    ]
    if len(named) >= 2:
        level = min(items[idx].block.level for idx in named)
        named_set = set(named)
        starts = [idx for idx in headings if idx in named_set or items[idx].block.level < level]
        return _first_of_each_run(starts, items)
    levels = Counter(items[idx].block.level for idx in headings)
    repeated = [level for level in sorted(levels) if levels[level] >= 2]
    if not repeated:
        return headings[:1]
    return _first_of_each_run([idx for idx in headings if items[idx].block.level <= repeated[0]], items)


def _first_of_each_run(starts: list[int], items: Sequence[Item]) -> list[int]:
    kept: list[int] = []
    for idx in starts:
        runs_on = bool(kept) and all(item.block.kind is BlockKind.HEADING for item in items[kept[-1] : idx])
        if not runs_on or starts_like_part(items[idx].block.text):
            kept.append(idx)
    return kept
