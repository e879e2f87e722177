"""HTML: one page, chapters by its headings."""

from __future__ import annotations

import re
from dataclasses import replace

from lxml import etree

from omnitts.pipeline.read import gutenberg
from omnitts.pipeline.read.cleaning import collapse
from omnitts.pipeline.read.drafts import chapters_of
from omnitts.pipeline.read.epub_chapters import Page, split_book
from omnitts.pipeline.read.flow import flow_of
from omnitts.pipeline.read.markup import parse_markup
from omnitts.pipeline.read.notes import mark_notes
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.registry import Reader
from omnitts.pipeline.read.source import Source
from omnitts.types import BlockKind, Book, Problem

_OPENING = re.compile(
    rb"^\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html\b|head\b|body\b)", re.IGNORECASE | re.DOTALL
)


def sniff(source: Source) -> int:
    """Certain for a page that opens as one."""
    head = source.head[:4096].removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"")
    return 95 if _OPENING.match(head) else 0


def read_html(source: Source, options: ReadOptions) -> Book:
    """Reads a page. Raises `BookError` for binary data."""
    root, problems = parse_markup(source.read_bytes(), source.name, encoding=options.encoding)
    return book_of_tree(root, source, options, tuple(Problem(problem, source.name) for problem in problems))


def book_of_tree(
    root: etree._Element, source: Source, options: ReadOptions, problems: tuple[Problem, ...] = ()
) -> Book:
    """A book from a page's tree; Markdown comes this way too."""
    note_labels = mark_notes({source.name: root})
    flow = flow_of(root, "")
    start, stop = gutenberg.find_body([item.block.text for item in flow.items])
    wrapping = frozenset(("pg-boilerplate",))
    items = [
        item if start <= idx < stop else replace(item, types=item.types | wrapping)
        for idx, item in enumerate(flow.items)
    ]
    first_heading = next((item.block.text for item in items if item.block.kind is BlockKind.HEADING), "")
    title = (
        _meta(root, "dc.title")
        or collapse(root.findtext("head/title") or "")
        or first_heading
        or source.stem
        or "Untitled"
    )
    drafts = split_book(items, [Page(source.name, 0)], [], title)
    author = _meta(root, "author") or _meta(root, "dc.creator")
    return Book(
        title=title,
        chapters=chapters_of(drafts, (title, author), options.notes, note_labels),
        authors=(author,) if author else (),
        language=root.get("lang", "") or _meta(root, "dc.language"),
        description=_meta(root, "description"),
        problems=problems,
    )


def _meta(root: etree._Element, name: str) -> str:
    metas = (meta for meta in root.iter("meta") if meta.get("name", "").lower() == name)
    return next((collapse(meta.get("content", "")) for meta in metas), "")


READER = Reader("html", (".html", ".htm", ".xhtml", ".xht"), sniff, read_html)
