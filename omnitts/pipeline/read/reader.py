"""`read_book`: the one verb of this folder. Finds the reader, then does what every format needs done to its book."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

from omnitts.errors import BookError
from omnitts.pipeline.read.cleaning import count_words, has_speech
from omnitts.pipeline.read.language import guess_language, primary_tag
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.registry import reader_for
from omnitts.pipeline.read.selection import keep_and_skip
from omnitts.pipeline.read.source import open_source
from omnitts.types import Book, Problem

logger = logging.getLogger(__name__)


def read_book(source: Path | Literal["-"], options: ReadOptions = ReadOptions()) -> Book:  # noqa: B008 - immutable
    """Reads a book from a file, or from stdin for ``"-"``.

    The book has at least one chapter to speak, and every chapter at least one block. Raises `BookError` when there is
    nothing to speak or the file cannot be read, `UsageError` when an option names an unknown format or encoding,
    `TextError` for a broken plan dump.
    """
    opened = open_source(source)
    reader = reader_for(opened, options)
    logger.debug("%s: read as %s", opened.name, reader.name)
    book = reader.read(opened, options)
    book = replace(book, chapters=tuple(chapter for chapter in book.chapters if chapter.blocks), source=opened.name)
    if not any(has_speech(block.text) for chapter in book.chapters for block in chapter.blocks):
        raise BookError(
            "there is nothing to speak: no letter or digit in it",
            where=opened.name,
            hint="if the pages are pictures, run them through text recognition first",
        )
    book = _silence_empty(book)
    book = keep_and_skip(book, options.keep, options.skip)
    book = _speak_something(book, by_hand=bool(options.skip))
    return replace(book, language=_language_of(book, options))


def _silence_empty(book: Book) -> Book:
    """Chapters without a word (picture pages) are never spoken, so they are listed as such."""
    chapters = tuple(
        chapter
        if chapter.skip_reason or any(has_speech(block.text) for block in chapter.blocks)
        else replace(chapter, skip_reason="no text")
        for chapter in book.chapters
    )
    return replace(book, chapters=chapters)


def _speak_something(book: Book, *, by_hand: bool) -> Book:
    """A book whose every chapter was skipped by rule keeps its longest one; skipped by hand, it is an error."""
    if any(not chapter.skip_reason for chapter in book.chapters):
        return book
    if by_hand:
        raise BookError("every chapter is skipped", where=book.source, hint="name fewer chapters with --skip")
    longest = max(range(len(book.chapters)), key=lambda idx: count_words(book.chapters[idx].text))
    chapter = book.chapters[longest]
    problem = Problem(
        f"every chapter looked like front or back matter; the longest is kept ({chapter.skip_reason})", chapter.title
    )
    chapters = list(book.chapters)
    chapters[longest] = replace(chapter, skip_reason="")
    return replace(book, chapters=tuple(chapters), problems=(*book.problems, problem))


def _language_of(book: Book, options: ReadOptions) -> str:
    if options.language:
        return primary_tag(options.language)
    return primary_tag(book.language) or guess_language(_opening_text(book))


def _opening_text(book: Book, max_chars: int = 20_000) -> str:
    parts: list[str] = []
    size = 0
    for chapter in book.chapters:
        for block in () if chapter.skip_reason else chapter.blocks:
            parts.append(block.text)
            size += len(block.text)
            if size > max_chars:
                return "\n".join(parts)
    return "\n".join(parts)
