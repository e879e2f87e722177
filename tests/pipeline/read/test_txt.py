"""Plain text: paragraphs, verse, chapters, contents lists, notes, Gutenberg's wrapping, encodings, and no lost word."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnitts.errors import BookError
from omnitts.pipeline.read import ReadOptions, read_book
from omnitts.types import BlockKind, Book
from tests.pipeline.read.shapes import blocks, skipped, texts, titles

Read = Callable[..., Book]
WRAPPED = """It was a bright cold day in April, and the clocks of the town were all
striking the hour while the people of the place went about in the long
streets with their collars up against the wind, which was blowing hard
from the sea.
"""
BODY = f"\n\n{WRAPPED}\n{WRAPPED}\n\n"


def test_wrapped_lines_are_joined_and_verse_is_kept(read_text: Read) -> None:
    verse = (
        "The sun was shining on the sea,\n  Shining with all his might:\nHe did his very best "
        "to make\n  The billows smooth\n"
    )
    book = read_text(f"{WRAPPED}\n{verse}\n{WRAPPED}\n* * * * *\n\n{WRAPPED}")
    assert [kind for kind, _ in blocks(book)] == ["paragraph", "verse", "paragraph", "scene_break", "paragraph"]
    assert texts(book)[0] == " ".join(WRAPPED.split())
    assert texts(book)[1].split("\n")[1] == "Shining with all his might:"


def test_indents_and_bullets_part_paragraphs(read_text: Read) -> None:
    indented = "".join(
        f"    {line}" if idx % 4 == 0 else line for idx, line in enumerate((WRAPPED * 3).splitlines(keepends=True))
    )
    assert len(texts(read_text(indented))) == 3
    listed = (
        f"{WRAPPED}\n1. Take the long road over the hills, past the mill, and then turn to "
        f"the\n   left at the old bridge.\n2. Ask "
        f"again.\n"
    )
    assert [kind for kind, _ in blocks(read_text(listed))] == ["paragraph", "list_item", "list_item"]


def test_lines_that_are_paragraphs(read_text: Read) -> None:
    long_lines = [
        f"{'This line is a whole paragraph and was never wrapped by hand. ' * 3}Number {n}." for n in range(5)
    ]
    assert texts(read_text("\n".join(long_lines))) == long_lines


def test_words_hyphenated_at_line_ends(read_text: Read) -> None:
    text = (
        "The old continent lay far behind them by then, and nobody on the con-\n"
        "tinent knew where they were, or what had become of such a well-\n"
        "known captain and of all the people who had gone to sea with him, so\n"
        "many years ago.\n"
    )
    assert "on the continent knew" in texts(read_text(text))[0]
    assert "such a well-known captain" in texts(read_text(text))[0]


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (["CHAPTER I", "CHAPTER II."], ["Chapter I", "Chapter II"]),
        (["Chapter One", "Chapter Two: The Road"], ["Chapter One", "Chapter Two: The Road"]),
        (
            ["CHAPTER I.\n\nThe Eve of the War", "CHAPTER II.\n\nTHE FALLING STAR"],
            ["Chapter I: The Eve of the War", "Chapter II: The Falling Star"],
        ),
        (
            ["PROLOGUE", "PART ONE\n\nCHAPTER 1", "CHAPTER 2", "EPILOGUE"],
            ["Prologue", "Part One: Chapter 1", "Chapter 2", "Epilogue"],
        ),
        (["I", "II", "III"], ["I", "II", "III"]),
        (["1. The Hill", "2. The Mill"], ["1. The Hill", "2. The Mill"]),
        (["THE RED ROOM", "THE BLUE ROOM"], ["The Red Room", "The Blue Room"]),
        (["Kapitel 1", "Kapitel 2"], ["Kapitel 1", "Kapitel 2"]),
        (["第一章 风起", "第2回 云涌"], ["第一章 风起", "第2回 云涌"]),
        (["卷一", "卷二"], ["卷一", "卷二"]),
    ],
)
def test_chapter_headings(read_text: Read, heads: list[str], expected: list[str]) -> None:
    book = read_text("".join(f"{head}{BODY}" for head in heads))
    assert titles(book) == expected
    assert not skipped(book)


def test_sentences_that_begin_like_headings_are_none(read_text: Read) -> None:
    text = f"CHAPTER I{BODY}Chapter one was dull, he said.\n\nPart of it I liked.\n\nI\n\nCHAPTER II{BODY}"
    assert titles(read_text(text)) == ["Chapter I", "Chapter II"]


def test_unwrapped_chinese_chapters(read_text: Read) -> None:
    prose = "　　那天早上天气很冷，他一个人走在长长的街上，谁也没有看见。第一章里说过的那座桥还在。\n" * 3
    book = read_text(f"书名\n第一章　风起\n{prose}第二章　云涌\n{prose}")
    assert titles(book)[-2:] == ["第一章 风起", "第二章 云涌"]
    assert book.language == "zh"
    assert len(book.chapters[-1].blocks) == 4


def test_a_list_of_contents_is_no_chapter(read_text: Read) -> None:
    heads = ["CHAPTER I. Down the Hole", "CHAPTER II. The Pool", "CHAPTER III. The Race"]
    separate = "\n\n".join(heads)
    book = read_text(f"CONTENTS\n\n{separate}\n\n\n" + "".join(f"{head}{BODY}" for head in heads))
    assert titles(book) == ["Chapter I: Down the Hole", "Chapter II: The Pool", "Chapter III: The Race"]
    assert list(skipped(book).values()) == ["table of contents"]


def test_gutenberg_wrapping(read_text: Read) -> None:
    text = (
        "The Project Gutenberg EBook of A Book\n\nTitle: A Book\n       Its Second Line\n\nAuthor: "
        "Ann Author\n\nRelease Date: May 1, 2003 [EBook #1]\n\n"
        f"Language: English\n\n*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***\n\nProduced by "
        f"Somebody\n\nCHAPTER I{BODY}CHAPTER II{BODY}"
        "End of the Project Gutenberg EBook of A Book\n\n*** END OF THIS PROJECT GUTENBERG EBOOK A "
        "BOOK ***\n\nThe licence.\n"
    )
    book = read_text(text)
    assert (book.title, book.authors, book.language, book.date) == (
        "A Book: Its Second Line",
        ("Ann Author",),
        "en",
        "May 1, 2003",
    )
    assert titles(book) == ["Chapter I", "Chapter II"]
    assert list(skipped(book)) == ["Project Gutenberg header", "Project Gutenberg licence"]
    assert "Produced by Somebody" in book.chapters[0].text


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("skip", ["Text, more.", "Next [sic]."]),
        ("inline", ["Text, more.", "A note.", "Next [sic]."]),
        ("end", ["Text, more.", "Next [sic].", "A note."]),
    ],
)
@pytest.mark.parametrize("note", ["[Footnote 1: A note.]", "[1] A note."])
def test_notes(read_text: Read, note: str, mode: str, expected: list[str]) -> None:
    assert texts(read_text(f"Text[1], more.\n\nNext [sic].\n\n{note}\n", notes=mode)) == expected


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Die Straße ist schön und der Käse ist gut. " * 9, "utf-8-sig"),
        ("Die Straße ist schön und der Käse ist gut. " * 9, "latin-1"),
        ("“Smart” quotes — and €5. It was the best of times. " * 9, "cp1252"),
        ("It was the best of times. " * 9, "utf-16"),
        ("It was the best of times. " * 9, "utf-16-le"),
        ("It was the best of times. " * 9, "utf-16-be"),
        ("那天早上天气很冷，他一个人走在长长的街上，谁也没有看见。" * 20, "gb18030"),
        ("那天早上天氣很冷，他一個人走在長長的街上，誰也沒有看見。" * 20, "big5"),
        ("Было холодное утро, и он шёл один по длинной улице. " * 20, "cp1251"),
    ],
)
def test_encodings(read_text: Read, text: str, encoding: str) -> None:
    assert " ".join(texts(read_text(text.encode(encoding)))) == " ".join(text.split())


def test_encoding_override(read_text: Read) -> None:
    assert texts(read_text("Łódź".encode("cp1250"), encoding="cp1250")) == ["Łódź"]
    with pytest.raises(BookError, match="cannot be decoded as ascii"):
        read_text("Łódź", encoding="ascii")


# Lines of Chinese are joined without a space, so there every character counts for itself.
WORD = re.compile("(?![\\W_])[\u3000-\u9fff\uff00-\uffef]|[^\\W_\u3000-\u9fff\uff00-\uffef]+")
NO_FURNITURE = st.text(
    alphabet=st.characters(exclude_categories=("Cs", "Cc", "Cf", "Cn", "Co"), exclude_characters="[]_-")
    | st.sampled_from("\n\n\n \tIVX.,*#12aA"),
    max_size=400,
)
LINES = st.lists(
    st.sampled_from(
        [
            "CHAPTER I",
            "CONTENTS",
            "II",
            "Part Two",
            "第一章 风",
            "",
            "",
            WRAPPED,
            "* * *",
            "1. one",
            "    indented",
            "A LINE",
            "so it goes",
        ]
    )
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(NO_FURNITURE, LINES.map("\n".join)))
def test_no_word_is_lost_and_blocks_are_clean(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.txt"
        path.write_bytes(text.encode())
        try:
            book = read_book(path, ReadOptions(encoding="utf-8"))
        except BookError:
            assert not WORD.search(text)
            return
    found = [block for chapter in book.chapters for block in chapter.blocks]
    assert Counter(WORD.findall("\n".join(block.text for block in found))) == Counter(WORD.findall(text))
    for block in found:
        if block.kind is BlockKind.SCENE_BREAK:
            continue
        assert block.text
        assert block.text == "\n".join(" ".join(line.split()) for line in block.text.split("\n"))
        assert block.kind is BlockKind.VERSE or "\n" not in block.text
