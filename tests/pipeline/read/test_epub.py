"""EPUBs: contents, matter, notes, metadata, and everything that may be wrong with the file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from omnitts.errors import BookError
from omnitts.pipeline.read import ReadOptions, read_book
from omnitts.types import Book
from tests.pipeline.read.conftest import PROSE, nav, opf, page, write_epub, write_zip
from tests.pipeline.read.shapes import blocks, skipped, texts, titles

Read = Callable[..., Book]


def test_chapters_by_fragment_in_one_file(read_epub: Read) -> None:
    body = f'<h2 id="a">One</h2>{PROSE}<div><h2><a id="b"></a>Two</h2>{PROSE}</div>'
    files = {
        "book.opf": opf(["x.xhtml"], toc="nav.xhtml"),
        "x.xhtml": page(body),
        "nav.xhtml": nav("x.xhtml#a|One", "x.xhtml#b|Two"),
    }
    book = read_epub(files)
    assert titles(book) == ["One", "Two"]
    assert book.chapters[1].blocks[0].text == "Two"


def test_one_chapter_over_several_files(read_epub: Read) -> None:
    names = ["a.xhtml", "b.xhtml", "c.xhtml"]
    pages = {name: page(PROSE if name == "b.xhtml" else f"<h1>{name[0]}</h1>{PROSE}") for name in names}
    book = read_epub(
        {"book.opf": opf(names, toc="nav.xhtml"), "nav.xhtml": nav("a.xhtml|Ants", "c.xhtml|Cats"), **pages}
    )
    assert titles(book) == ["Ants", "Cats"]
    assert len(book.chapters[0].blocks) == 3


def test_ncx_with_parts(read_epub: Read) -> None:
    def point(label: str, src: str, inner: str = "") -> str:
        return f"<navPoint><navLabel><text>{label}</text></navLabel><content src='{src}'/>{inner}</navPoint>"

    points = point("Part One: Dawn", "part.xhtml", point("Chapter 1", "one.xhtml") + point("Chapter 2", "two.xhtml"))
    ncx = f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>'
    names = ["part.xhtml", "one.xhtml", "two.xhtml"]
    pages = {"part.xhtml": page("<h1>PART ONE</h1><h2>Dawn</h2>")}
    pages |= {f"{n}.xhtml": page(f"<p>CHAPTER {n.upper()}</p><p>A {n} title</p>{PROSE}") for n in ("one", "two")}
    book = read_epub({"book.opf": opf(names, toc="toc.ncx"), "toc.ncx": ncx, **pages})
    assert titles(book) == ["Part One: Dawn: Chapter 1", "Chapter 2"]
    assert texts(book)[:3] == ["PART ONE", "Dawn", "CHAPTER ONE"]  # the part is heard with its first chapter


def test_sections_of_a_chapter_are_not_chapters(read_epub: Read) -> None:
    body = f'<h1>Ants</h1>{PROSE}<h2 id="s1">Legs</h2><p>Six.</p><h2 id="s2">Eyes</h2><p>Two.</p>'
    inner = "<ol><li><a href='a.xhtml#s1'>Legs</a></li><li><a href='a.xhtml#s2'>Eyes</a></li></ol>"
    entries = [f"<li><a href='a.xhtml'>Ants</a>{inner}</li>", "b.xhtml|Bees"]
    files = {"a.xhtml": page(body), "b.xhtml": page(f"<h1>Bees</h1>{PROSE}"), "nav.xhtml": nav(*entries)}
    assert titles(read_epub({"book.opf": opf(["a.xhtml", "b.xhtml"], toc="nav.xhtml"), **files})) == ["Ants", "Bees"]


def test_no_contents_falls_back_to_headings_then_files(read_pages: Read) -> None:
    assert titles(read_pages(f"<h2>Ants</h2>{PROSE}<h2>Bees</h2>{PROSE}", f"{PROSE}", f"<h2>Cats</h2>{PROSE}")) == [
        "Ants",
        "Bees",
        "Cats",
    ]
    assert len(titles(read_pages(PROSE, PROSE, PROSE))) == 3


def test_matter_is_skipped_with_its_reason_and_kept_on_demand(read_epub: Read) -> None:
    pages = {
        "cover.xhtml": page("<p>A Book</p>", 'epub:type="cover"'),
        "c.xhtml": page("<p>Copyright © 2001 by Me.</p><p>All rights reserved. ISBN 123</p>"),
        "toc.xhtml": page("<h1>Contents</h1><p>Cover</p>", 'epub:type="toc"'),
        "one.xhtml": page(f"<h1>Cover</h1>{PROSE * 5}"),
        "fore.xhtml": page(f"<h1>Foreword</h1>{PROSE}", 'epub:type="frontmatter"'),
        "index.xhtml": page("<h1>Index</h1><p>ant, 3</p><p>bee, 4</p>"),
    }
    files = {"book.opf": opf(list(pages)), **pages}
    book = read_epub(files)
    assert titles(book) == ["Cover", "Foreword"]  # a real chapter called "Cover" stays, and so does a foreword
    assert list(skipped(book).values()) == ["cover", "copyright page", "table of contents", "index"]
    kept = read_epub(files, keep=("index", "2"), skip=("Foreword",))
    assert titles(kept) == ["Copyright page", "Cover", "Index"]
    assert skipped(kept)["Foreword"] == "--skip Foreword"
    assert "--keep 'zebra' matches no chapter" in [p.what for p in read_epub(files, keep=("zebra",)).problems]


def test_all_skipped_keeps_the_longest(read_epub: Read) -> None:
    pages = {
        "a.xhtml": page("<p>Short cover</p>", 'epub:type="cover"'),
        "b.xhtml": page(PROSE, 'epub:type="titlepage"'),
    }
    book = read_epub({"book.opf": opf(list(pages)), **pages})
    assert len(titles(book)) == 1
    assert "looked like front or back matter" in book.problems[-1].what


NOTES_BOOKS = {
    "declared": (
        '<p>Text<a epub:type="noteref" href="#n1">1</a>, more.</p><p>Next.</p>'
        '<aside epub:type="footnote" id="n1"><p>A note.</p></aside>',
        None,
    ),
    "raised": (
        '<p>Text<sup><a id="r1" href="n.xhtml#n1">1</a></sup>, more.</p><p>Next.</p>',
        '<p id="n1"><a href="a.xhtml#r1">1</a>. A note.</p>',
    ),
    "bracketed": (
        '<p>Text <a id="r1" href="n.xhtml#n1">[1]</a>, more.</p><p>Next.</p>',
        '<ol><li id="n1">A note. <a href="a.xhtml#r1">↩</a></li></ol>',
    ),
}


@pytest.mark.parametrize("kind", NOTES_BOOKS)
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("skip", ["Text, more.", "Next."]),
        ("inline", ["Text, more.", "A note.", "Next."]),
        ("end", ["Text, more.", "Next.", "A note."]),
    ],
)
def test_notes(read_epub: Read, kind: str, mode: str, expected: list[str]) -> None:
    body, notes = NOTES_BOOKS[kind]
    pages = {"a.xhtml": page(body + PROSE)} | ({"n.xhtml": page(f"<h1>Notes</h1>{notes}")} if notes else {})
    book = read_epub({"book.opf": opf(list(pages)), **pages}, notes=mode)
    prose = PROSE[3:-5]
    assert [text for text in texts(book) if text != prose] == [*expected]
    if notes and mode == "skip":
        assert skipped(book)["Notes"].startswith("notes")


def test_links_that_are_no_notes_stay(read_pages: Read) -> None:
    page = (
        '<p>See chapter <a href="#c2">2</a> and [<a href="#c3">figure 3</a>].</p>'
        + '<h2 id="c2">Two</h2><p>x</p><p id="c3">A figure</p>'
    )
    assert texts(read_pages(page))[0] == "See chapter 2 and [figure 3]."


def test_metadata(read_epub: Read) -> None:
    metadata = """<dc:title id="t2">Sub</dc:title><dc:title id="t1">Main Title</dc:title>
        <meta refines="#t1" property="title-type">main</meta><meta refines="#t2" property="title-type">subtitle</meta>
        <dc:creator id="c1">Ann Author</dc:creator><meta refines="#c1" property="role">aut</meta>
        <dc:creator opf:role="ill">Ian Artist</dc:creator><dc:language>en-GB</dc:language><dc:publisher>P</dc:publisher>
        <dc:identifier>id1</dc:identifier><dc:date>1898</dc:date><dc:description>&lt;p&gt;About
        it&lt;/p&gt;</dc:description>
        <meta name="cover" content="pic"/>"""
    image = '<item id="pic" href="my%20cover.jpg" media-type="image/jpeg"/>'
    files = {
        "book.opf": opf(["a.xhtml"], metadata=metadata, manifest=image),
        "a.xhtml": page(PROSE),
        "my cover.jpg": b"JPEG",
    }
    book = read_epub(files)
    assert (book.title, book.authors, book.language) == ("Main Title: Sub", ("Ann Author",), "en")
    assert (book.publisher, book.identifier, book.date, book.description) == ("P", "id1", "1898", "About it")
    assert book.cover == b"JPEG"


def test_bad_hrefs_are_found_or_reported(read_epub: Read) -> None:
    files = {
        "book.opf": opf(["Text/One%20Two.xhtml", "gone.xhtml"], toc="nav.xhtml"),
        "text/one two.XHTML": page(f"<h1>Ants</h1>{PROSE}"),
        "nav.xhtml": nav("text/one%20two.xhtml#nowhere|Ants", "lost.xhtml|Lost"),
    }
    book = read_epub(files)
    assert titles(book) == ["Ants"]
    told = " ".join(problem.what for problem in book.problems)
    assert "gone.xhtml" in told
    assert "lost.xhtml" in told
    assert "nowhere" in told


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<?xml version="1.0" encoding="iso-8859-1"?>', "latin-1"),
        ('<?xml version="1.0" encoding="utf-8"?>', "latin-1"),
        ("", "latin-1"),
        ("", "utf-16"),
        ("", "utf-8-sig"),
        ('<?xml version="1.0" encoding="utf-16"?>', "utf-8"),
    ],
)
def test_encodings(read_epub: Read, head: str, encoding: str) -> None:
    files = {
        "book.opf": opf(["a.xhtml"]),
        "a.xhtml": (head + page("<p>Die Straße ist schön, naïve Gäste.</p>")).encode(encoding),
    }
    assert texts(read_epub(files)) == ["Die Straße ist schön, naïve Gäste."]


def test_missing_container_and_package(tmp_path: Path) -> None:
    files = {"OPS/book.opf": opf(["a.xhtml"]), "OPS/a.xhtml": page(PROSE)}
    book = read_book(write_zip(tmp_path / "a.epub", files))
    assert "container.xml is missing" in book.problems[0].what
    bare = {"mimetype": "application/epub+zip", "10.html": page("<p>ten</p>"), "9.html": page("<p>nine</p>")}
    assert texts(read_book(write_zip(tmp_path / "b.epub", bare))) == ["nine", "ten"]


def encryption(algorithm: str, uri: str) -> str:
    return (
        f'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
        f'<e:EncryptionMethod Algorithm="{algorithm}"/>'
        f'<e:CipherData><e:CipherReference URI="{uri}"/></e:CipherData></e:EncryptedData></encryption>'
    )


AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"


@pytest.mark.parametrize(
    ("rights", "scheme"),
    [
        ("META-INF/rights.xml", "Adobe"),
        ("META-INF/sinf.xml", "Apple"),
        ("META-INF/license.lcpl", "LCP"),
        ("META-INF/x", "encrypted content"),
    ],
)
def test_protection_is_named(read_epub: Read, rights: str, scheme: str) -> None:
    files = {
        "book.opf": opf(["a.xhtml"]),
        "a.xhtml": page(PROSE),
        rights: "x",
        "META-INF/encryption.xml": encryption(AES, "OPS/a.xhtml"),
    }
    with pytest.raises(BookError, match=f"DRM.*{scheme}"):
        read_epub(files)


def test_obfuscated_fonts_are_no_protection(read_epub: Read) -> None:
    obfuscation = encryption("http://www.idpf.org/2008/embedding", "OPS/f.otf")
    files = {"book.opf": opf(["a.xhtml"]), "a.xhtml": page(PROSE), "META-INF/encryption.xml": obfuscation}
    assert len(texts(read_epub(files))) == 1


def test_encrypted_pages_without_any_notice(read_epub: Read) -> None:
    with pytest.raises(BookError, match="encrypted"):
        read_epub({"book.opf": opf(["a.xhtml"]), "a.xhtml": bytes(range(256)) * 40})


def test_damaged_zips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"book.opf": opf(["a.xhtml"]), "a.xhtml": page(PROSE * 50)}
    whole = write_epub(tmp_path / "whole.epub", files).read_bytes()
    cut = tmp_path / "cut.epub"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BookError, match="not a readable zip"):
        read_book(cut)
    office = write_zip(tmp_path / "a.epub", {"word/document.xml": "<w/>"})
    with pytest.raises(BookError, match="not an EPUB"):
        read_book(office)
    locked = tmp_path / "locked.epub"
    with zipfile.ZipFile(locked, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
    data = bytearray(locked.read_bytes())
    data[6] |= 1  # the encryption flag of the local header
    data[data.find(b"PK\x01\x02") + 8] |= 1  # and of the directory
    locked.write_bytes(bytes(data))
    with pytest.raises(BookError, match="password"):
        read_book(locked)
    monkeypatch.setattr("omnitts.pipeline.read.epub_archive.MAX_ENTRY_BYTES", 10_000)
    with pytest.raises(BookError, match="more than any book"):
        read_book(write_epub(tmp_path / "bomb.epub", {**files, "a.xhtml": "x" * 20_000}))


def test_gutenberg_licence_inside_the_pages_is_cut_out(read_pages: Read) -> None:
    start = (
        "<div id='pg-header'><p>The Project Gutenberg eBook.</p><p>*** START OF THE PROJECT "
        "GUTENBERG EBOOK A BOOK ***</p></div>"
    )
    end = (
        "<section class='pg-boilerplate pgheader' id='pg-footer'><p>*** END OF THE PROJECT "
        "GUTENBERG EBOOK A BOOK "
        "***</p><p>Licence.</p></section>"
    )
    book = read_pages(f"{start}<h2>CHAPTER I</h2>{PROSE}", f"<h2>CHAPTER II</h2>{PROSE}{end}")
    assert titles(book) == ["Chapter I", "Chapter II"]
    assert set(skipped(book).values()) == {"Project Gutenberg licence"}
    assert not any("Gutenberg" in text for text in texts(book))


def test_the_example_book(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "aesop-four-fables.epub"
    book = read_book(example)
    assert titles(book) == [
        "Chapter I: The Fox and the Crow",
        "Chapter II: The Hare and the Tortoise",
        "Chapter III: The Wind and the Sun",
        "Chapter IV: The Goose with the Golden Eggs",
    ]
    assert list(skipped(book).values()) == ["title page", "copyright page", "table of contents"]
    assert book.cover is not None
    assert book.cover.startswith(b"\x89PNG")
    assert (
        "note",
        "This is how the story is most often remembered, but the oldest books do not end with these words.",
    ) in blocks(read_book(example, ReadOptions(notes="inline")))
