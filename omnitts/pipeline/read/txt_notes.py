"""Footnotes in plain text: ``[Footnote 1: ...]`` paragraphs, ``[1] ...`` paragraphs, and the ``[1]`` that refer to
them.

Items in, items out with references taken from the text and bodies marked, as `notes` does for markup.
"""

from __future__ import annotations

import re
from dataclasses import replace

from omnitts.pipeline.read.flow import Item
from omnitts.types import BlockKind

LOOK_BACK_BLOCKS = 400  # a note follows its reference within a chapter
_DECLARED_BODY = re.compile(r"^\[(?:Foot|End)?note(?:\s*([\w*†‡]{1,4}))?\s*:\s*(.*)$", re.IGNORECASE | re.DOTALL)
_BODY = re.compile(r"^\[(\d{1,3}|[*†‡]{1,3})\]\s+(\S.*)$", re.DOTALL)
_REFERENCE = re.compile(r"\s?\[(\d{1,3}|[A-Z]|[*†‡]{1,3})\]")


def mark_text_notes(items: list[Item]) -> tuple[list[Item], dict[str, str]]:
    """``items`` with notes marked, and each note's label by its key. Numbers in brackets that no note answers stay."""
    bodies = _find_bodies(items)
    if not bodies:
        return items, {}
    marked = list(items)
    labels: dict[str, str] = {}
    taken: set[int] = set()
    for first in sorted(bodies):
        label, text, last = bodies[first]
        key = f"note {first}"
        refers = _reference_before(marked, first, label, bodies, taken)
        if refers is None and not items[first].block.text.startswith(("[Footnote", "[Endnote", "[FOOTNOTE")):
            continue
        if refers is not None:
            item = marked[refers]
            stripped = re.sub(rf"\s?\[{re.escape(label)}\]", "", item.block.text, count=1).strip()
            if stripped:
                marked[refers] = replace(item, block=replace(item.block, text=stripped), refs=(*item.refs, key))
        for idx in range(first, last + 1):
            body = text if idx == first else items[idx].block.text
            body = body.removesuffix("]") if idx == last and text != items[first].block.text else body
            marked[idx] = replace(
                items[idx], note=key, block=replace(items[idx].block, kind=BlockKind.NOTE, text=body.strip() or label)
            )
            taken.add(idx)
        labels[key] = label
    return marked, labels


def _find_bodies(items: list[Item]) -> dict[int, tuple[str, str, int]]:
    """Index of a body's first block -> label, text without the label, index of its last block."""
    bodies: dict[int, tuple[str, str, int]] = {}
    idx = 0
    while idx < len(items):
        text = items[idx].block.text
        last = idx
        if text.startswith("[") and (match := _DECLARED_BODY.match(text)):
            while last + 1 < len(items) and last < idx + 20 and not items[last].block.text.endswith("]"):
                last += 1
            if not items[last].block.text.endswith("]"):
                last = idx
            bodies[idx] = (match[1] or "*", match[2], last)
        elif text.startswith("[") and (match := _BODY.match(text)):
            bodies[idx] = (match[1], match[2], idx)
        idx = last + 1
    return bodies


def _reference_before(
    items: list[Item], first: int, label: str, bodies: dict[int, tuple[str, str, int]], taken: set[int]
) -> int | None:
    for idx in range(first - 1, max(-1, first - LOOK_BACK_BLOCKS), -1):
        text = items[idx].block.text
        if idx in bodies or idx in taken or "[" not in text:
            continue
        if any(match[1] == label for match in _REFERENCE.finditer(text)):
            return idx
    return None
