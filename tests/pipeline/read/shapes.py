"""Short views of a book for comparing."""

from __future__ import annotations

from omnitts.types import Book


def titles(book: Book) -> list[str]:
    """Titles of the chapters to be spoken."""
    return [chapter.title for chapter in book.chapters if not chapter.skip_reason]


def skipped(book: Book) -> dict[str, str]:
    """Title -> reason of the others."""
    return {chapter.title: chapter.skip_reason for chapter in book.chapters if chapter.skip_reason}


def blocks(book: Book) -> list[tuple[str, str]]:
    """Kind and text of every block of the spoken chapters."""
    return [(b.kind.value, b.text) for chapter in book.chapters if not chapter.skip_reason for b in chapter.blocks]


def texts(book: Book) -> list[str]:
    """The blocks' texts alone."""
    return [text for _, text in blocks(book)]
