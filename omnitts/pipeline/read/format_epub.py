"""EPUB 2 and 3: archive, package, table of contents and pages put together into a `Book`."""

from __future__ import annotations

from dataclasses import replace

from lxml import etree

from omnitts.errors import BookError
from omnitts.pipeline.read import gutenberg
from omnitts.pipeline.read.charset import NOT_TEXT
from omnitts.pipeline.read.drafts import chapters_of
from omnitts.pipeline.read.elements import types_of
from omnitts.pipeline.read.epub_archive import NO_DRM_HINT, EpubArchive, refuse_protected
from omnitts.pipeline.read.epub_chapters import Mark, Page, split_book
from omnitts.pipeline.read.epub_package import Package, read_package
from omnitts.pipeline.read.epub_toc import TocEntry, read_toc
from omnitts.pipeline.read.flow import Item, flow_of
from omnitts.pipeline.read.markup import parse_markup
from omnitts.pipeline.read.notes import mark_notes
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.registry import Reader
from omnitts.pipeline.read.source import Source
from omnitts.types import Book, Problem

ZIP_MAGIC = b"PK\x03\x04"
MAX_PROBLEMS = 50


def sniff(source: Source) -> int:
    """Certain for a zip whose first entry is the EPUB mimetype; likely for any zip."""
    if not source.head.startswith(ZIP_MAGIC):
        return 0
    return 100 if b"application/epub+zip" in source.head[:120] else 50


def read_epub(source: Source, options: ReadOptions) -> Book:
    """Reads an EPUB. Raises `BookError`: not a zip, not an EPUB, protected, damaged, too large."""
    with source.open() as file, EpubArchive(file, source.name) as archive:
        package = read_package(archive)
        refuse_protected(archive, {item.path for item in package.spine})
        toc = read_toc(archive, package)
        trees = _parse_pages(archive, package, options.encoding)
        note_labels = mark_notes(trees)
        items, pages, anchors = _flow_together(trees, package)
        items = _mark_boilerplate(items)
        marks = [mark for mark in _resolve(toc, pages, anchors, package) if mark.idx < len(items)]
        drafts = split_book(items, pages, marks, package.title)
        cover = _cover(archive, package)
    title = package.title or source.stem or "Untitled"
    return Book(
        title=title,
        chapters=chapters_of(drafts, (title, *package.authors), options.notes, note_labels),
        authors=package.authors,
        language=package.language,
        cover=cover,
        identifier=package.identifier,
        publisher=package.publisher,
        date=package.date,
        description=package.description,
        problems=tuple(dict.fromkeys(package.problems))[:MAX_PROBLEMS],
    )


def _parse_pages(archive: EpubArchive, package: Package, encoding: str) -> dict[str, etree._Element]:
    trees: dict[str, etree._Element] = {}
    failures: list[BookError] = []
    for item in package.spine:
        try:
            tree, problems = parse_markup(archive.read(item.path), f"{archive.name}: {item.path}", encoding=encoding)
        except BookError as error:
            failures.append(error)
            package.problems.append(
                Problem(f"a page cannot be read and is left out: {error.what}", item.path, fatal=True)
            )
            continue
        package.problems += [Problem(problem, item.path) for problem in problems]
        trees[item.path] = tree
    if failures and not trees:
        if NOT_TEXT not in failures[0].what:
            raise failures[0]
        raise BookError("its pages are encrypted (DRM) or damaged", where=archive.name, hint=NO_DRM_HINT)
    return trees


def _flow_together(
    trees: dict[str, etree._Element], package: Package
) -> tuple[list[Item], list[Page], dict[tuple[str, str], int]]:
    """All pages' items in reading order, where each page begins, and the item each anchor stands before."""
    items: list[Item] = []
    pages: list[Page] = []
    anchors: dict[tuple[str, str], int] = {}
    for spine_item in package.spine:
        tree = trees.get(spine_item.path)
        if tree is None:
            continue
        flow = flow_of(tree, spine_item.path.rpartition("/")[2])
        types = spine_item.types | types_of(tree)
        pages.append(Page(spine_item.path, len(items), types, spine_item.is_linear))
        anchors.update({(spine_item.path, name): len(items) + idx for name, idx in flow.anchors.items()})
        items += flow.items
    return items, pages, anchors


def _mark_boilerplate(items: list[Item]) -> list[Item]:
    start, stop = gutenberg.find_body([item.block.text for item in items])
    if (start, stop) == (0, len(items)):
        return items
    wrapping = frozenset(("pg-boilerplate",))
    return [
        item if start <= idx < stop else replace(item, types=item.types | wrapping) for idx, item in enumerate(items)
    ]


def _resolve(
    toc: list[TocEntry], pages: list[Page], anchors: dict[tuple[str, str], int], package: Package
) -> list[Mark]:
    starts = {page.path: page.start for page in pages}
    marks: list[Mark] = []
    for entry in toc:
        if not entry.path:
            continue
        if entry.path not in starts:
            package.problems.append(
                Problem(
                    f"the table of contents leads to {entry.path!r}, which is not in the reading order", entry.label
                )
            )
            continue
        idx = anchors.get((entry.path, entry.fragment)) if entry.fragment else starts[entry.path]
        if idx is None:
            package.problems.append(
                Problem(f"the table of contents leads to #{entry.fragment}, which {entry.path} lacks", entry.label)
            )
            idx = starts[entry.path]
            if any(mark.idx == idx for mark in marks):
                continue
        marks.append(Mark(idx, entry.label, entry.depth))
    return marks


def _cover(archive: EpubArchive, package: Package) -> bytes | None:
    if not package.cover_path:
        return None
    try:
        return archive.read(package.cover_path) or None
    except BookError as error:
        package.problems.append(Problem(f"the cover cannot be read: {error.what}", package.cover_path))
        return None


READER = Reader("epub", (".epub",), sniff, read_epub)
