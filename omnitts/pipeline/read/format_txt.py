"""Plain text: any encoding, wrapped or not, with or without chapters; Project Gutenberg's wrapping is known."""

from __future__ import annotations

import re
from dataclasses import replace

from omnitts.pipeline.read import gutenberg
from omnitts.pipeline.read.charset import decode, is_binary
from omnitts.pipeline.read.cleaning import collapse, count_words, strip_invisible, unify_line_ends
from omnitts.pipeline.read.drafts import Draft, chapters_of
from omnitts.pipeline.read.flow import Item
from omnitts.pipeline.read.language import LANGUAGE_NAMES
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.registry import Reader
from omnitts.pipeline.read.source import Source
from omnitts.pipeline.read.titles import calm_capitals, starts_like_chapter, starts_like_part
from omnitts.pipeline.read.txt_chapters import is_heading_line, split_text
from omnitts.pipeline.read.txt_notes import mark_text_notes
from omnitts.pipeline.read.txt_paragraphs import group_lines
from omnitts.types import Block, BlockKind, Book, Problem

_ITALICS = re.compile(r"(?<!\w)_(?=\S)([^_]+?)(?<=\S)_(?!\w)")
_ILLUSTRATION = re.compile(r"^\[Illustration(?:\s*:\s*(.*?))?\s*\]$", re.IGNORECASE | re.DOTALL)
_BYLINE = re.compile(r"^(?:by|von|par|por|di|作者[:：]?)\s*(.{2,60})$", re.IGNORECASE)
MAX_TITLE_WORDS = 12


def sniff(source: Source) -> int:
    """Takes any text that nobody else takes."""
    return 0 if is_binary(source.head) else 1


def read_txt(source: Source, options: ReadOptions) -> Book:
    """Reads a text. Raises `BookError` for binary data."""
    decoded = decode(source.read_bytes(), where=source.name, override=options.encoding)
    problems = (Problem(decoded.problem, source.name),) if decoded.problem else ()
    lines = strip_invisible(unify_line_ends(decoded.text)).split("\n")
    start, stop = gutenberg.find_body(lines)
    fields = gutenberg.header_fields(lines[: start or 0])
    groups = group_lines(lines[start:stop], is_heading_line)
    groups = [replace(group, line=group.line + start) for group in groups]
    title, author = _title_and_author([group.text for group in groups[:6]], fields, source)
    items_drafts = split_text(groups, title) if groups else []
    drafts = [replace(draft, items=[_without_marks(item) for item in draft.items]) for draft in items_drafts]
    labels = _mark_notes(drafts)
    header = _wrapping(lines[:start], 0, gutenberg.HEADER_REASON)
    _move_credits(drafts, header)
    drafts = [*header, *drafts, *_wrapping(lines[stop:], stop, gutenberg.LICENCE_REASON)]
    return Book(
        title=title,
        chapters=chapters_of(drafts, (title, author), options.notes, labels),
        authors=(author,) if author else (),
        language=LANGUAGE_NAMES.get(fields.get("language", "").split(",")[0].strip().lower(), ""),
        date=fields.get("release date", ""),
        publisher="Project Gutenberg" if fields else "",
        problems=problems,
    )


def _mark_notes(drafts: list[Draft]) -> dict[str, str]:
    """Finds notes across all drafts (they may be collected at the book's end) and puts the marked items back."""
    marked, labels = mark_text_notes([item for draft in drafts for item in draft.items])
    place = 0
    for draft in drafts:
        draft.items = marked[place : place + len(draft.items)]
        place += len(draft.items)
    return labels


def _without_marks(item: Item) -> Item:
    """``_italics_`` without their marks; ``[Illustration: caption]`` as a caption."""
    text = item.block.text
    kind = item.block.kind
    if text.startswith("[") and (match := _ILLUSTRATION.match(text)):
        kind, text = (BlockKind.CAPTION, collapse(match[1])) if match[1] else (BlockKind.SCENE_BREAK, "")
    if "_" in text:
        text = _ITALICS.sub(r"\1", text)
    return item if text is item.block.text else replace(item, block=replace(item.block, kind=kind, text=text))


def _wrapping(lines: list[str], before: int, reason: str) -> list[Draft]:
    """Project Gutenberg's header or licence as a chapter that is not spoken."""
    if not any(map(str.strip, lines)):
        return []
    groups = group_lines(lines, lambda line, inside: False)
    items = [Item(Block(group.kind, group.text, f"line {group.line + before}")) for group in groups]
    return [Draft(items, reason, source=f"line {before + 1}", skip_reason=reason)]


def _move_credits(drafts: list[Draft], header: list[Draft]) -> None:
    """A line "Produced by ..." right under the header belongs to it."""
    if header and drafts and drafts[0].items and gutenberg.is_production_credit(drafts[0].items[0].block.text):
        header[0].items.append(drafts[0].items.pop(0))


def _title_and_author(openings: list[str], fields: dict[str, str], source: Source) -> tuple[str, str]:
    """From the header; else the file's first short line and a line "by NAME" after it; else the file's name."""
    if "title" in fields:
        return fields["title"], _forename_first(fields.get("author", ""))
    lines = [line for text in openings for line in text.split("\n") if line][:4]
    for idx, line in enumerate(lines[1:], 1):
        if match := _BYLINE.match(line):
            return calm_capitals(" ".join(lines[:idx])), calm_capitals(match[1])
    first = lines[0] if lines else ""
    is_title = 0 < count_words(first) <= MAX_TITLE_WORDS and not first.endswith((".", ",", ";", "。", "，"))
    is_chapter = starts_like_chapter(first) or starts_like_part(first)
    if source.stem:
        return source.stem, ""
    return (calm_capitals(first), "") if is_title and not is_chapter else ("Untitled", "")


def _forename_first(author: str) -> str:
    """``"Lindsay, Anna Brown"`` -> ``"Anna Brown Lindsay"``; lists of names stay."""
    parts = [part.strip() for part in author.split(",")]
    return f"{parts[1]} {parts[0]}" if len(parts) == 2 and " " not in parts[0] and parts[1] else author


READER = Reader("txt", (".txt", ".text", ".asc"), sniff, read_txt)
