"""The table of contents of an EPUB: EPUB 3 ``nav`` or EPUB 2 NCX, flattened with depths.

In: the package. Out: `TocEntry`s in their own order, each with a path that exists. Knows nothing of page content.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from omnitts.errors import BookError
from omnitts.pipeline.read.cleaning import collapse
from omnitts.pipeline.read.elements import all_text, plain_text, types_of
from omnitts.pipeline.read.epub_archive import EpubArchive
from omnitts.pipeline.read.epub_package import Package, locate
from omnitts.pipeline.read.markup import parse_markup, parse_xml
from omnitts.pipeline.read.notes import resolve
from omnitts.types import Problem

MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class TocEntry:
    """A line of the table of contents. ``path`` is empty for a line that leads nowhere (a mere group title)."""

    label: str
    path: str
    fragment: str
    depth: int


def read_toc(archive: EpubArchive, package: Package) -> list[TocEntry]:
    """The nav document's entries, else the NCX's, else none; what cannot be found is added to the package's
    problems.
    """
    for path, read in ((package.nav_path, _from_nav), (package.ncx_path, _from_ncx)):
        if not path:
            continue
        try:
            raw = read(archive, path)
        except BookError as error:
            package.problems.append(Problem(f"the table of contents cannot be read: {error.what}", path))
            continue
        entries = _existing(archive, path, raw, package)
        if any(entry.path for entry in entries):
            return entries
    return []


def _from_nav(archive: EpubArchive, path: str) -> list[tuple[str, str, int]]:
    root, _ = parse_markup(archive.read(path), f"{archive.name}: {path}")
    navs = list(root.iter("nav"))
    toc = next((nav for nav in navs if "toc" in types_of(nav)), navs[0] if navs else None)
    top = None if toc is None else next(toc.iter("ol", "ul"), None)
    entries: list[tuple[str, str, int]] = []
    if top is not None:
        _walk_list(top, 0, entries)
    return entries


def _walk_list(listing: etree._Element, depth: int, entries: list[tuple[str, str, int]]) -> None:
    for item in listing.iterchildren("li"):
        label = next((child for child in item.iter("a", "span") if child.tag == "a" or child.getparent() is item), None)
        if label is not None and not any(
            parent.tag in ("ol", "ul") and parent is not listing and item in parent.iterancestors()
            for parent in label.iterancestors()
        ):
            link = label if label.tag == "a" else next(label.iter("a"), label)
            entries.append((collapse(plain_text(label)), link.get("href", ""), depth))
        if depth < MAX_DEPTH:
            for inner in item.iterchildren("ol", "ul"):
                _walk_list(inner, depth + 1, entries)


def _from_ncx(archive: EpubArchive, path: str) -> list[tuple[str, str, int]]:
    root = parse_xml(archive.read(path), f"{archive.name}: {path}")
    entries: list[tuple[str, str, int]] = []
    nav_map = next(root.iter("navMap", "navmap"), None)
    for point in () if nav_map is None else nav_map.iter("navPoint", "navpoint"):
        depth = sum(1 for parent in point.iterancestors() if parent.tag == point.tag)
        label = point.find("navLabel")
        content = point.find("content")
        text = "" if label is None else collapse(all_text(label))
        entries.append((text, "" if content is None else content.get("src", ""), depth))
    return entries


def _existing(archive: EpubArchive, base: str, raw: list[tuple[str, str, int]], package: Package) -> list[TocEntry]:
    entries = []
    for label, href, depth in raw:
        path = locate(archive, href, base) if href else ""
        if path is None:
            package.problems.append(Problem(f"the table of contents leads to {href!r}, which is missing", label))
            continue
        entries.append(TocEntry(label, path, resolve(href, base)[1] if href else "", depth))
    return entries
