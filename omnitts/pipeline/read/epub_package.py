"""The package file of an EPUB: metadata, manifest, spine, and where its table of contents is.

In: an opened archive. Out: a `Package` whose paths all exist, and problems. EPUB 2 and 3; a missing or odd
``container.xml`` is worked around. Knows nothing of page content.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from lxml import etree

from omnitts.errors import BookError
from omnitts.pipeline.read.cleaning import collapse
from omnitts.pipeline.read.elements import all_text
from omnitts.pipeline.read.epub_archive import EpubArchive
from omnitts.pipeline.read.markup import parse_xml
from omnitts.pipeline.read.notes import resolve
from omnitts.types import Problem

PAGE_MEDIA_TYPES = frozenset(
    ("application/xhtml+xml", "text/html", "application/xml", "text/x-oeb1-document", "application/x-dtbook+xml")
)
_PAGE_SUFFIX = re.compile(r"\.(?:x?html?|xml)$", re.IGNORECASE)
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True, slots=True)
class SpineItem:
    """A page in reading order. ``types`` are what the EPUB 2 guide calls it; ``is_linear`` is false for asides."""

    path: str
    is_linear: bool = True
    types: frozenset[str] = frozenset()


@dataclass(slots=True)
class Package:
    """What the package file tells. ``nav_path`` and ``ncx_path`` are empty where the book has none."""

    title: str = ""
    authors: tuple[str, ...] = ()
    language: str = ""
    identifier: str = ""
    publisher: str = ""
    date: str = ""
    description: str = ""
    cover_path: str = ""
    nav_path: str = ""
    ncx_path: str = ""
    spine: list[SpineItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    media_type: str
    properties: frozenset[str]


def read_package(archive: EpubArchive) -> Package:
    """Reads the package file. Raises `BookError` when the zip holds no package and no page, so is not an EPUB."""
    package = Package()
    opf_path = _find_opf(archive, package)
    if opf_path is None:
        return _without_opf(archive, package)
    root = parse_xml(archive.read(opf_path), f"{archive.name}: {opf_path}")
    _read_metadata(root, package)
    manifest = _read_manifest(root, archive, opf_path, package)
    guide = _read_guide(root, archive, opf_path)
    _read_spine(root, archive, manifest, guide, package)
    _find_cover(root, manifest, guide, archive, package)
    if not package.spine:
        package.problems.append(
            Problem("the reading order is empty; pages are taken in the order of their names", opf_path)
        )
        package.spine = _pages_by_name(archive)
    return package


def _find_opf(archive: EpubArchive, package: Package) -> str | None:
    container = archive.find("META-INF/container.xml")
    if container is not None:
        try:
            root = parse_xml(archive.read(container), f"{archive.name}: {container}")
        except BookError:
            root = etree.Element("container")
        for rootfile in root.iter("rootfile"):
            path = archive.find(resolve(rootfile.get("full-path", ""), "")[0])
            if path is not None:
                return path
    found = sorted(
        (path for path in archive.paths if path.lower().endswith(".opf")), key=lambda path: (path.count("/"), path)
    )
    if found:
        state = "is missing" if container is None else "does not name the package file"
        package.problems.append(Problem(f"META-INF/container.xml {state}; {found[0]} is used", archive.name))
        return found[0]
    return None


def _without_opf(archive: EpubArchive, package: Package) -> Package:
    """A zip of pages without a package file, if its mimetype says it is an EPUB."""
    mimetype = archive.find("mimetype")
    says_epub = mimetype is not None and b"epub" in archive.read(mimetype)
    package.spine = _pages_by_name(archive)
    if not (says_epub or archive.find("META-INF/container.xml")) or not package.spine:
        raise BookError(
            "is a zip, but not an EPUB: it has no package file (.opf)",
            where=archive.name,
            hint="unpack it and give the book inside; Word and OpenDocument files are zips too",
        )
    package.problems.append(
        Problem("the package file (.opf) is missing; pages are taken in the order of their names", archive.name)
    )
    return package


def _pages_by_name(archive: EpubArchive) -> list[SpineItem]:
    def natural(path: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]

    pages = [path for path in archive.paths if _PAGE_SUFFIX.search(path) and not path.startswith("META-INF/")]
    return [SpineItem(path) for path in sorted(pages, key=natural)]


def _read_metadata(root: etree._Element, package: Package) -> None:
    refinements: dict[str, dict[str, str]] = {}
    for meta in root.iter("meta"):
        if (refined := meta.get("refines", "")).startswith("#"):
            refinements.setdefault(refined[1:], {})[meta.get("property", "")] = collapse(meta.text or "")

    def values(name: str) -> list[tuple[str, etree._Element]]:
        elements = [element for element in root.iter(name) if _is_in_metadata(element)]
        texts = [(collapse(all_text(element)), element) for element in elements]
        return [(text, element) for text, element in texts if text]

    def refinement(element: etree._Element, name: str) -> str:
        return refinements.get(element.get("id", ""), {}).get(name, "")

    titles = values("title")
    main = [text for text, element in titles if refinement(element, "title-type") == "main"]
    subtitle = [text for text, element in titles if refinement(element, "title-type") == "subtitle"]
    package.title = (main or [text for text, _ in titles] or [""])[0]
    if main and subtitle and subtitle[0].casefold() not in package.title.casefold():
        package.title = f"{package.title}: {subtitle[0]}"
    creators = [
        (text, _attribute(element, "role") or refinement(element, "role")) for text, element in values("creator")
    ]
    authors = [text for text, role in creators if role in ("", "aut")] or [text for text, _ in creators]
    package.authors = tuple(dict.fromkeys(authors))
    package.language = next((text for text, _ in values("language")), "")
    package.publisher = next((text for text, _ in values("publisher")), "")
    package.description = collapse(_TAG.sub(" ", next((text for text, _ in values("description")), "")))
    dates = [(text, _attribute(element, "event")) for text, element in values("date")]
    original = [text for text, event in dates if event in ("original-publication", "publication", "")]
    package.date = (original or [text for text, _ in dates] or [""])[0]
    unique = root.get("unique-identifier", "")
    identifiers = values("identifier")
    package.identifier = next((text for text, element in identifiers if element.get("id") == unique), "") or next(
        (text for text, _ in identifiers), ""
    )


def _is_in_metadata(element: etree._Element) -> bool:
    return any(parent.tag in ("metadata", "dc-metadata", "x-metadata") for parent in element.iterancestors())


def _attribute(element: etree._Element, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name), "")


def _read_manifest(root: etree._Element, archive: EpubArchive, opf_path: str, package: Package) -> dict[str, _Entry]:
    manifest: dict[str, _Entry] = {}
    for item in root.iter("item"):
        href = item.get("href", "")
        path = locate(archive, href, opf_path)
        entry = _Entry(path or href, item.get("media-type", ""), frozenset(item.get("properties", "").split()))
        if path is None and (entry.media_type in PAGE_MEDIA_TYPES or "nav" in entry.properties):
            package.problems.append(Problem(f"the page {href!r} is listed but missing from the file", opf_path))
        if path is not None:
            manifest[item.get("id", href)] = entry
            if "nav" in entry.properties:
                package.nav_path = path
            elif entry.media_type == "application/x-dtbncx+xml" or path.lower().endswith(".ncx"):
                package.ncx_path = path
    return manifest


def locate(archive: EpubArchive, href: str, base: str) -> str | None:
    """The file an href in ``base`` means; also looked for at the root and by its bare name, for books packed
    carelessly.
    """
    path, _ = resolve(href, base)
    found = archive.find(path) or archive.find(resolve(href, "")[0])
    if found is not None or not href:
        return found
    name = posixpath.basename(path).casefold()
    matching = [candidate for candidate in archive.paths if posixpath.basename(candidate).casefold() == name]
    return matching[0] if len(matching) == 1 else None


def _read_guide(root: etree._Element, archive: EpubArchive, opf_path: str) -> dict[str, set[str]]:
    guide: dict[str, set[str]] = {}
    for reference in root.iter("reference"):
        path = locate(archive, reference.get("href", ""), opf_path)
        kind = reference.get("type", "").lower()
        if path is not None and kind not in ("text", "start", ""):
            guide.setdefault(path, set()).add(kind)
    return guide


def _read_spine(
    root: etree._Element,
    archive: EpubArchive,
    manifest: dict[str, _Entry],
    guide: dict[str, set[str]],
    package: Package,
) -> None:
    spine = next(root.iter("spine"), None)
    toc_id = "" if spine is None else spine.get("toc", "")
    if toc_id in manifest:
        package.ncx_path = manifest[toc_id].path
    seen: set[str] = set()
    for itemref in () if spine is None else spine.iter("itemref"):
        entry = manifest.get(itemref.get("idref", ""))
        if entry is None:
            package.problems.append(
                Problem(f"the reading order names {itemref.get('idref', '')!r}, which does not exist", archive.name)
            )
            continue
        is_page = entry.media_type in PAGE_MEDIA_TYPES or _PAGE_SUFFIX.search(entry.path)
        if entry.path in seen or not is_page:
            continue
        seen.add(entry.path)
        types = frozenset(guide.get(entry.path, ()))
        package.spine.append(SpineItem(entry.path, itemref.get("linear", "yes").lower() != "no", types))


def _find_cover(
    root: etree._Element,
    manifest: dict[str, _Entry],
    guide: dict[str, set[str]],
    archive: EpubArchive,
    package: Package,
) -> None:
    named = next((meta.get("content", "") for meta in root.iter("meta") if meta.get("name", "").lower() == "cover"), "")
    images = {
        key: entry
        for key, entry in manifest.items()
        if entry.media_type.startswith("image/") and "svg" not in entry.media_type
    }
    choices = [entry.path for entry in images.values() if "cover-image" in entry.properties]
    if named in images:
        choices.append(images[named].path)
    choices += [entry.path for entry in images.values() if named and entry.path.endswith(named)]
    choices += [
        path
        for path, kinds in guide.items()
        if "cover" in kinds and any(path == entry.path for entry in images.values())
    ]
    choices += [picture for path, kinds in guide.items() if "cover" in kinds for picture in _pictures_on(archive, path)]
    choices += [
        entry.path for key, entry in images.items() if "cover" in f"{key} {posixpath.basename(entry.path)}".lower()
    ]
    package.cover_path = choices[0] if choices else ""


def _pictures_on(archive: EpubArchive, path: str) -> list[str]:
    """The images shown on a cover page."""
    if not _PAGE_SUFFIX.search(path):
        return []
    sources = re.findall(
        rb"""(?:src|href)\s*=\s*["']([^"']+\.(?:jpe?g|png|gif|webp))["']""", archive.read(path), re.IGNORECASE
    )
    found = [locate(archive, source.decode("utf-8", "replace"), path) for source in sources]
    return [picture for picture in found if picture]
