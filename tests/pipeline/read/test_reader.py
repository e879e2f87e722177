"""`read_book` from outside: formats told apart, options, bad input, speed."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omnitts.errors import BookError, InputError, UsageError
from omnitts.pipeline.read import ReadOptions, read_book, select_chapters
from omnitts.pipeline.read.language import guess_language, primary_tag
from omnitts.pipeline.read.registry import readers
from omnitts.types import Book, Chapter
from tests.pipeline.read.conftest import PROSE, opf, page, write_epub
from tests.pipeline.read.shapes import blocks, skipped, texts, titles

Read = Callable[..., Book]
SENTENCE = "It was the best of times and it was the worst of times. "


def test_markdown(read_text: Read) -> None:
    text = """---
title: My Book
author: [Ann, Bob]
language: en-US
cover: c.png
---
# One

Some *text*[^1] with a [link](http://x).

> quoted

- a
- b

***

[^1]: A note.

# Two

| a | b |
|---|---|
| 1 | 2 |
"""
    book = read_text(text, "book.md", notes="inline")
    assert (book.title, book.authors, book.language) == ("My Book", ("Ann", "Bob"), "en")
    assert titles(book) == ["One", "Two"]
    assert blocks(book) == [
        ("heading", "One"),
        ("paragraph", "Some text with a link."),
        ("note", "A note."),
        ("quote", "quoted"),
        ("list_item", "a"),
        ("list_item", "b"),
        ("heading", "Two"),
        ("table", "a, b"),
        ("table", "1, 2"),
    ]
    broken = read_text("---\ntitle: [\n---\n# One\n\nText.\n", "broken.md")
    assert "not valid YAML" in broken.problems[0].what


def test_html(read_text: Read) -> None:
    head = '<!DOCTYPE html><html lang="fr"><head><title>Le Livre</title><meta name="author" content="Anne"></head>'
    body = f"<body><h1>Un</h1>{PROSE}<h1>Deux</h1><p>Fin&hellip;<p>Encore</body></html>"
    book = read_text(head + body, "book.html")
    assert (book.title, book.authors, book.language) == ("Le Livre", ("Anne",), "fr")
    assert titles(book) == ["Un", "Deux"]
    assert texts(book)[-2:] == ["Fin…", "Encore"]


def test_stdin_is_sniffed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    epub = write_epub(tmp_path / "b.epub", {"book.opf": opf(["a.xhtml"]), "a.xhtml": page("<p>From a zip.</p>")})

    def from_stdin(data: bytes, **options: str) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return texts(read_book("-", ReadOptions(**options)))  # type: ignore[arg-type]

    assert from_stdin(epub.read_bytes()) == ["From a zip."]
    assert from_stdin(b"<html><body><p>From a page.</p></body></html>") == ["From a page."]
    assert from_stdin(b"# One\n\nFrom *marks*.\n\n# Two\n") == ["One", "From marks.", "Two"]
    assert from_stdin(b"Just *text*.") == ["Just *text*."]
    assert from_stdin(b"Just *text*.", format="md") == ["Just text."]
    with pytest.raises(UsageError, match="unknown format 'pdf2'"):
        from_stdin(b"x", format="pdf2")


def test_content_wins_over_a_wrong_suffix(tmp_path: Path) -> None:
    path = write_epub(tmp_path / "book.txt", {"book.opf": opf(["a.xhtml"]), "a.xhtml": page("<p>From a zip.</p>")})
    assert texts(read_book(path)) == ["From a zip."]


def test_a_new_format_is_a_new_file() -> None:
    folder = Path(read_book.__code__.co_filename).parent
    assert set(readers()) == {path.stem.removeprefix("format_") for path in folder.glob("format_*.py")}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n\t ",
        "😀🎉\n❤️".encode(),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200),
        os.urandom(0) + bytes(range(256)) * 9,
        b"PK\x03\x04 not a zip",
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.epub", "a.md", "a.html", "a"])
def test_bad_input_is_named(read_text: Read, data: bytes, name: str) -> None:
    with pytest.raises(BookError) as caught:
        read_text(data, name)
    assert name in caught.value.where
    assert caught.value.hint


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="no such file"):
        read_book(tmp_path / "none.txt")
    with pytest.raises(BookError, match="is a folder"):
        read_book(tmp_path)


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BookError, match="may not be read"):
        read_book(path)


def test_a_broken_dump_is_an_input_error(read_text: Read) -> None:
    with pytest.raises(InputError, match="line 2"):
        read_text("# omnitts spoken text 1\n{nonsense x}\n", "a.md")


@pytest.mark.parametrize("mark", [" ", ". "])
def test_huge_text_in_one_paragraph(read_text: Read, mark: str) -> None:
    started = time.perf_counter()
    book = read_text(f"word{mark}" * (10_000_000 // (4 + len(mark))))
    assert len(book.chapters[0].blocks) == 1
    assert time.perf_counter() - started < 20  # about 3 s on an idle core


def test_time_grows_with_length_only(tmp_path: Path) -> None:
    def seconds(num_chapters: int) -> float:
        pages = {f"c{i}.xhtml": page(f"<h2>Chapter {i + 1}</h2>{PROSE * 20}") for i in range(num_chapters)}
        path = write_epub(tmp_path / f"{num_chapters}.epub", {"book.opf": opf(list(pages)), **pages})
        best = float("inf")
        for _ in range(2):
            started = time.process_time()
            read_book(path)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(160) < 8 * seconds(40)  # four times the text; a quadratic step would take sixteen times as long


def book_of(*chapters: str) -> Book:
    return Book(
        "B", tuple(Chapter(name.strip("-"), (), skip_reason="x" if name.startswith("-") else "") for name in chapters)
    )


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("1", ["a"]),
        ("2-3", ["b", "c"]),
        ("1,3", ["a", "c"]),
        ("2-", ["b", "c"]),
        ("-2", ["a", "b"]),
        (" 1 - 2 , 3 ", ["a", "b", "c"]),
    ],
)
def test_select_chapters_counts_spoken_ones(selection: str, expected: list[str]) -> None:
    book = select_chapters(book_of("-cover", "a", "b", "-ad", "c"), selection)
    assert titles(book) == expected
    assert skipped(book)["cover"] == "x"


@pytest.mark.parametrize(
    ("selection", "part"),
    [
        ("4", "no chapter 4"),
        ("0", "no chapter 0"),
        ("x", "'x'"),
        ("3-1", "backwards"),
        ("", "''"),
        ("1,,2", "''"),
        ("2-9", "no chapter 9"),
    ],
)
def test_select_chapters_says_what_is_wrong(selection: str, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        select_chapters(book_of("a", "b", "c"), selection)


def test_skipping_everything_by_hand_is_an_error(read_text: Read) -> None:
    with pytest.raises(BookError, match="every chapter is skipped"):
        read_text("Some text.", skip=("all",))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (SENTENCE * 3, "en"),
        ("Es war die beste und die schlimmste Zeit, und der Mann ging mit dem Hund in das Haus. ", "de"),
        (
            "C'était le meilleur des temps et le pire des temps, et il ne savait pas que la nuit est dans les yeux. ",
            "fr",
        ),
        ("这是最好的时代，这是最坏的时代。", "zh"),
        ("それは最良の時代であり、最悪の時代でした。", "ja"),
        ("Это было лучшее из времён.", "ru"),
        ("zzz qqq xxx", ""),
        ("123", ""),
    ],
)
def test_language(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_language_override_and_tags(read_text: Read) -> None:
    assert read_text(SENTENCE * 3, language="zh-CN").language == "zh"
    assert [primary_tag(tag) for tag in ("EN-us", "eng", "zh_Hans", "und", "English", "")] == [
        "en",
        "en",
        "zh",
        "",
        "",
        "",
    ]
