"""Drafts to chapters: titles chosen, notes put where the reader wants them, front and back matter marked.

A `Draft` is a stretch of the flow that one reader found to be a chapter. Serves every format; knows none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from omnitts.pipeline.read import matter
from omnitts.pipeline.read.cleaning import count_words
from omnitts.pipeline.read.flow import Item
from omnitts.pipeline.read.notes import strip_label
from omnitts.pipeline.read.options import NoteMode
from omnitts.pipeline.read.titles import calm_capitals, choose_title, is_label, key, merge_title, starts_like_part
from omnitts.types import Block, BlockKind, Chapter

NOTES_REASON = "notes (--notes inline or end reads them)"
OUTSIDE_REASON = "outside the reading order (linear=no)"
NONLINEAR_TYPE = "nonlinear"
MAX_TITLE_PARAGRAPHS = 3
MAX_TITLE_PARAGRAPH_CHARS = 140


@dataclass(slots=True)
class Draft:
    """``label`` is what the table of contents or a heading pattern calls it; ``types`` come from outside the markup."""

    items: list[Item]
    label: str = ""
    types: frozenset[str] = frozenset()
    in_toc: bool = False
    source: str = ""
    skip_reason: str = ""
    part: str = ""
    note_blocks: list[Block] = field(default_factory=list)
    is_note_list: bool = False


def chapters_of(
    drafts: Iterable[Draft], book_names: tuple[str, ...], mode: NoteMode, note_labels: Mapping[str, str] | None = None
) -> tuple[Chapter, ...]:
    """The book's chapters in order (``book_names``: its title, then its authors), skipped ones included.

    Drafts that held only notes now read elsewhere are gone.
    """
    drafts = [draft for draft in drafts if draft.items]
    blocks_of = _place_notes(drafts, mode, note_labels or {})
    kept = [(draft, _tidy(blocks, draft)) for draft, blocks in zip(drafts, blocks_of, strict=True)]
    kept = [(draft, blocks) for draft, blocks in kept if blocks]
    titles = [_title_of(draft, blocks) for draft, blocks in kept]
    chapter_titles = frozenset(key(title) for title in titles if title)
    words = [sum(count_words(block.text) for block in blocks) for _, blocks in kept]
    total, before = max(1, sum(words)), 0
    chapters = []
    for (draft, blocks), title, own in zip(kept, titles, words, strict=True):
        types = draft.types | _common_types(draft.items)
        candidate = matter.Candidate(title, types, blocks, before / total, (before + own) / total, draft.in_toc)
        before += own
        reason = draft.skip_reason or (NOTES_REASON if draft.is_note_list and mode == "skip" else "")
        reason = reason or matter.skip_reason(candidate, book_names, chapter_titles - {key(title)})
        if not reason and NONLINEAR_TYPE in types and not draft.in_toc:
            reason = OUTSIDE_REASON
        source = draft.source or blocks[0].source
        chapters.append(Chapter(title or _stand_in_title(reason, blocks), tuple(blocks), source, reason))
    return tuple(chapters)


def _common_types(items: Sequence[Item]) -> frozenset[str]:
    """Types that hold for every item of a draft."""
    common = items[0].types
    for item in items:
        if not common:
            break
        common &= item.types
    return common


def _place_notes(drafts: list[Draft], mode: NoteMode, labels: Mapping[str, str]) -> list[list[Block]]:
    bodies: dict[str, list[Block]] = {}
    for draft in drafts:
        running = sum(
            len(item.block.text) for item in draft.items if not item.note and item.block.kind is not BlockKind.HEADING
        )
        in_notes = sum(len(item.block.text) for item in draft.items if item.note)
        draft.is_note_list = in_notes > 0 and running <= 0.05 * in_notes
        draft.note_blocks = [item.block for item in draft.items if item.note]
        for item in draft.items:
            if item.note:
                bodies.setdefault(item.note, []).append(item.block)
    referred = {ref for draft in drafts for item in draft.items if not item.note for ref in item.refs}
    return [_blocks_of(draft, mode, bodies, referred, labels) for draft in drafts]


def _blocks_of(
    draft: Draft, mode: NoteMode, bodies: dict[str, list[Block]], referred: set[str], labels: Mapping[str, str]
) -> list[Block]:
    if mode == "skip":
        return [item.block for item in draft.items if draft.is_note_list or not item.note]
    blocks: list[Block] = []
    held_back: list[Block] = []
    for item in draft.items:
        if item.note:
            if item.note not in referred:
                held_back.append(item.block)
            continue
        blocks.append(item.block)
        notes = [note for ref in item.refs for note in _unlabelled(bodies.pop(ref, []), labels.get(ref, ""))]
        (blocks if mode == "inline" else held_back).extend(notes)
    if draft.is_note_list and not held_back:
        return []
    return blocks + held_back


def _unlabelled(blocks: list[Block], label: str) -> list[Block]:
    return [
        replace(block, text=strip_label(block.text, label) if idx == 0 else block.text)
        for idx, block in enumerate(blocks)
    ]


def _tidy(blocks: list[Block], draft: Draft) -> list[Block]:
    """No scene break at either end or twice in a row; no "Notes" heading whose notes are gone."""
    if draft.note_blocks and not draft.is_note_list:
        notes_heading = [
            idx
            for idx, block in enumerate(blocks)
            if block.kind is BlockKind.HEADING and matter.by_title(block.text) is matter.NOTES
        ]
        orphans = [
            idx
            for idx in notes_heading
            if idx + 1 == len(blocks) or blocks[idx + 1].kind in (BlockKind.HEADING, BlockKind.NOTE)
        ]
        blocks = [block for idx, block in enumerate(blocks) if idx not in orphans]
    tidy: list[Block] = []
    for block in blocks:
        if block.kind is BlockKind.SCENE_BREAK and (not tidy or tidy[-1].kind is BlockKind.SCENE_BREAK):
            continue
        tidy.append(block)
    while tidy and tidy[-1].kind is BlockKind.SCENE_BREAK:
        tidy.pop()
    if draft.label:
        _promote_title_lines(tidy, draft.label)
    return tidy


def _promote_title_lines(blocks: list[Block], label: str) -> None:
    """Opening paragraphs that only repeat the title are headings in all but markup."""
    wanted = key(label)
    for idx, block in enumerate(blocks[:MAX_TITLE_PARAGRAPHS]):
        own = key(block.text)
        if block.kind is BlockKind.HEADING:
            continue
        if (
            block.kind is not BlockKind.PARAGRAPH
            or not own
            or len(block.text) > MAX_TITLE_PARAGRAPH_CHARS
            or own not in wanted
        ):
            return
        blocks[idx] = replace(block, kind=BlockKind.HEADING, level=1 if idx == 0 else 2)


def _title_of(draft: Draft, blocks: list[Block]) -> str:
    headings: list[str] = []
    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            break
        headings.append(block.text)
    if draft.part:
        return merge_title([draft.part, choose_title(draft.label, [])])
    own = headings[:1]
    for heading in headings[1:3]:
        if not (is_label(own[-1]) or starts_like_part(own[-1])):
            break
        own.append(heading)
    return choose_title(draft.label, own)


def _stand_in_title(reason: str, blocks: list[Block]) -> str:
    """For a stretch without heading: the kind of matter it is, else its first words."""
    if reason and reason != "no text":
        return reason.split(" (")[0].capitalize()
    words = calm_capitals(blocks[0].text).split()
    return " ".join(words[:6]) + ("…" if len(words) > 6 else "") if words else "Untitled"
