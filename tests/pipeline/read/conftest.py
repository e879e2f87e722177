"""Builds small EPUBs and other sources in memory, so that every oddity of a real book has a test of its own."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from omnitts.pipeline.read import ReadOptions, read_book
from omnitts.types import Book

CONTAINER = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
XHTML = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><body{}>{}</body></html>'
PROSE = "<p>" + "It was a long and quiet road through the hills that day. " * 8 + "</p>"

Files = Mapping[str, str | bytes]


def page(body: str, attributes: str = "") -> str:
    """A page with ``body`` inside its body element."""
    return XHTML.format(f" {attributes}" if attributes else "", body)


def nav(*entries: str) -> str:
    """A nav document; an entry is ``"href|label"``, or a ready ``<li>``."""
    items = [
        entry if entry.startswith("<li") else "<li><a href='{}'>{}</a></li>".format(*entry.split("|"))
        for entry in entries
    ]
    return page(f"<nav epub:type='toc'><ol>{''.join(items)}</ol></nav>")


def opf(pages: list[str], *, metadata: str = "", toc: str = "", manifest: str = "", guide: str = "") -> str:
    """A package file listing ``pages`` in reading order, with ``nav.xhtml`` or ``toc.ncx`` as its contents."""
    items = "".join(
        f'<item id="p{i}" href="{href}" media-type="application/xhtml+xml"/>' for i, href in enumerate(pages)
    )
    if toc == "nav.xhtml":
        items += '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    elif toc:
        items += f'<item id="ncx" href="{toc}" media-type="application/x-dtbncx+xml"/>'
    spine = "".join(f'<itemref idref="p{i}"/>' for i in range(len(pages)))
    facts = metadata or "<dc:title>A Book</dc:title>"
    return (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:opf="http://www.idpf.org/2007/opf">{facts}</metadata><manifest>{items}{manifest}</manifest>'
        f"<spine>{spine}</spine>{guide}</package>"
    )


def write_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_epub(path: Path, files: Files) -> Path:
    """An EPUB whose ``files`` lie under ``OPS/`` unless they name ``META-INF``."""
    placed = {name if name.startswith("META-INF") else f"OPS/{name}": content for name, content in files.items()}
    head: Files = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER}
    return write_zip(path, {**head, **placed})


@pytest.fixture
def read_epub(tmp_path: Path) -> Callable[..., Book]:
    """``read_epub(files, **options)`` -> the book."""

    def read(files: Files, **options: object) -> Book:
        return read_book(write_epub(tmp_path / "book.epub", files), ReadOptions(**options))  # type: ignore[arg-type]

    return read


@pytest.fixture
def read_pages(read_epub: Callable[..., Book]) -> Callable[..., Book]:
    """``read_pages(body, body, ..., **options)`` -> a book of these pages without a table of contents."""

    def read(*bodies: str, **options: object) -> Book:
        files = {f"p{i}.xhtml": page(body) for i, body in enumerate(bodies)}
        return read_epub({"book.opf": opf(list(files)), **files}, **options)

    return read


@pytest.fixture
def read_text(tmp_path: Path) -> Callable[..., Book]:
    """``read_text(text or bytes, name="t.txt", **options)`` -> the book."""

    def read(text: str | bytes, name: str = "t.txt", **options: object) -> Book:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_book(path, ReadOptions(**options))  # type: ignore[arg-type]

    return read
