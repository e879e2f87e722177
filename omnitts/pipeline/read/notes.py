"""Footnotes and endnotes in markup: which links refer to a note, and which elements are its body.

Works on the element trees of a whole book, before they become blocks, and leaves the three private attributes of
`elements` in them: on a reference and on a body (both hold the note's key), and on links back.
Books that say so (``epub:type``, roles) are believed; in the others a small raised or bracketed number that links to a
block which begins with the same number is a note.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from omnitts.pipeline.read.elements import (
    BLOCK_TAGS,
    BODY_ATTRIBUTE,
    DROP_ATTRIBUTE,
    HEADING_LEVELS,
    REF_ATTRIBUTE,
    all_text,
    types_of,
)
from omnitts.pipeline.read.markup import EPUB_TYPE

NOTE_TYPES = frozenset(("footnote", "endnote", "rearnote"))
NOTE_LIST_TYPES = frozenset(("footnotes", "endnotes", "rearnotes"))
REF_TYPES = frozenset(("noteref",))
MAX_CONTINUATION_PARAGRAPHS = 5
_REF_CLASS = re.compile(r"note-?_?ref|fn-?_?ref|footnote-?(?:ref|link|anchor)|fnanchor", re.IGNORECASE)
_BODY_CLASS = re.compile(r"(?:^|[\s_-])(?:foot|end|rear)note(?:$|[\s_-]|text)", re.IGNORECASE)
_LABEL = re.compile(
    r"[\[({]?\s*(\d{1,4}|[*＊†‡§¶‖#]{1,4}|[a-z]{1,2}|[ivxlc]{1,6}|[①-⑳]|注\s*\d*)\s*[\])}]?\.?", re.IGNORECASE
)
_BRACKETED = re.compile(r"[\[({].*[\])}]\.?$|[*＊†‡§¶‖#①-⑳]")
_BACK_LABEL = re.compile(
    r"[\[({]?\s*(?:\d{1,4}|[*†‡§¶‖#]{1,4}|[a-z]{1,2}|[ivxlc]{1,6}|[↩↑⇧^←⬑\ufe0e\ufe0f]+|back"
    r"|return(?: to text)?|zurück|retour)\s*[\])}]?[.:]?",
    re.IGNORECASE,
)
_CONTAINER_TAGS = frozenset(["li", "aside", "dd", "tr"])


@dataclass(frozen=True, slots=True)
class _Link:
    page: str
    element: etree._Element
    label: str
    target: tuple[str, str]
    is_declared: bool
    is_raised: bool


def resolve(href: str, base: str) -> tuple[str, str]:
    """``href`` as found in the file ``base`` -> (path in the container, fragment). Percent-encoding is undone."""
    path, _, fragment = href.strip().partition("#")
    path = unquote(path).replace("\\", "/")
    full = posixpath.normpath(posixpath.join(posixpath.dirname(base), path)).lstrip("/") if path else base
    return full, unquote(fragment)


def note_key(path: str, fragment: str) -> str:
    """The name of a note across a book."""
    return f"{path}#{fragment}"


def mark_notes(pages: Mapping[str, etree._Element]) -> dict[str, str]:
    """Marks references, bodies and back links in ``pages`` (path -> tree). Returns each note's label by its key."""
    links = [link for path, root in pages.items() for link in _links_of(path, root)]
    wanted: dict[str, set[str]] = {}
    for link in links:
        wanted.setdefault(link.target[0], set()).add(link.target[1])
    ids: dict[tuple[str, str], etree._Element] = {}
    for path in sorted(wanted.keys() & pages.keys()):
        ids.update(_ids_of(path, pages[path], wanted[path]))
    labels: dict[str, str] = {}
    declared = _mark_declared_bodies(pages)
    bodies: dict[etree._Element, str] = dict(declared)
    for link in links:
        target = ids.get(link.target)
        body = None if target is None else _body_of(target)
        if body is not None and body in bodies:
            key = bodies[body]
        elif body is not None and _is_note(link, body):
            key = note_key(*link.target)
            bodies[body] = key
            body.set(BODY_ATTRIBUTE, key)
        elif link.is_declared:
            key = note_key(*link.target)  # its body is missing: the mark still is not text
        else:
            continue
        labels.setdefault(key, link.label)
        _raised_whole(link.element).set(REF_ATTRIBUTE, key)
    for body, key in bodies.items():
        if body not in declared:
            _mark_continuation(body, key, bodies)
        _drop_back_links(body)
    return labels


def strip_label(text: str, label: str) -> str:
    """A note's text without the number it begins with: ``"[3] See above"`` -> ``"See above"``."""
    text = re.sub(r"^[.:)\]]+\s+(?=\S)", "", text)  # what is left of a label that was a link
    bare = re.escape(label.strip("[](){}. "))
    return re.sub(rf"^[\[({{]?\s*{bare}\s*[\])}}]?[.:]?\s+(?=\S)", "", text, count=1) if bare else text


def _links_of(path: str, root: etree._Element) -> list[_Link]:
    links = []
    for element in root.iter("a"):
        href = element.get("href", "")
        if "#" not in href or "://" in href:
            continue
        types = types_of(element)
        names = element.get("class", "")
        label = all_text(element).strip()
        is_declared = not types.isdisjoint(REF_TYPES) or bool(names and _REF_CLASS.search(names))
        if not is_declared and (len(label) > 8 or not _LABEL.fullmatch(label) or not types.isdisjoint(("backlink",))):
            continue
        raised = _is_raised(element) or bool(_BRACKETED.match(label))
        if is_declared or (raised and not _begins_its_block(element)):
            links.append(_Link(path, element, label, resolve(href, path), is_declared, raised))
    return links


def _ids_of(path: str, root: etree._Element, wanted: set[str]) -> dict[tuple[str, str], etree._Element]:
    found: dict[tuple[str, str], etree._Element] = {}
    for element in root.iter(etree.Element):
        if len(element.attrib):
            name = element.get("id") or (element.get("name") if element.tag == "a" else None)
            if name in wanted:
                found.setdefault((path, name), element)
    return found


def _mark_declared_bodies(pages: Mapping[str, etree._Element]) -> dict[etree._Element, str]:
    bodies: dict[etree._Element, str] = {}
    for path, root in pages.items():
        for number, element in enumerate(root.iter(etree.Element)):
            attributes = element.attrib
            if not len(attributes) or not (EPUB_TYPE in attributes or "role" in attributes):
                continue
            types = types_of(element)
            listed = element.tag == "li" and any(
                not types_of(parent).isdisjoint(NOTE_LIST_TYPES)
                for parent in element.iterancestors("ol", "ul", "section", "aside", "div")
            )
            if (listed or not types.isdisjoint(NOTE_TYPES)) and element.tag in BLOCK_TAGS:
                key = note_key(path, element.get("id") or f"note {number}")
                element.set(BODY_ATTRIBUTE, key)
                bodies[element] = key
    return bodies


def _body_of(target: etree._Element) -> etree._Element | None:
    """The block a link's target stands for: itself, the block around it, or the one after an empty anchor."""
    block: etree._Element | None = target
    while block is not None and block.tag not in BLOCK_TAGS:
        block = block.getparent()
    if block is None or block.tag in HEADING_LEVELS:
        return None
    if block is not target and block.tag in ("body", "section", "div", "article") and not all_text(target).strip():
        follower = target.getnext()
        return follower if follower is not None and follower.tag in BLOCK_TAGS else None
    if block.tag == "dt":
        follower = block.getnext()
        return follower if follower is not None and follower.tag == "dd" else None
    for parent in block.iterancestors():
        declared = BODY_ATTRIBUTE in parent.attrib
        if declared or parent.tag in _CONTAINER_TAGS or _BODY_CLASS.search(parent.get("class", "")):
            return parent
        if parent.tag in ("body", "section", "article", "ol", "ul", "table"):
            break
    return block


def _is_note(link: _Link, body: etree._Element) -> bool:
    """Whether an undeclared link's target reads like its note: begins with the same label, or links back."""
    if body.tag in ("body", "html", "section", "article", "nav") or any(body.iter(*HEADING_LEVELS)):
        return False
    if any(parent is body for parent in link.element.iterancestors()):
        return False
    if link.is_declared:
        return True
    text = " ".join(all_text(body).split())
    bare = link.label.strip("[](){}. ")
    if bare and re.match(rf"[\[({{]?\s*{re.escape(bare)}(?!\d)", text):
        return True
    own_ids = {link.element.get("id"), *(p.get("id") for p in list(link.element.iterancestors())[:3])} - {None}
    return any(resolve(a.get("href", ""), "")[1] in own_ids for a in body.iter("a") if "#" in a.get("href", ""))


def _mark_continuation(body: etree._Element, key: str, bodies: Mapping[etree._Element, str]) -> None:
    """Paragraphs between one note and the next belong to the first; after the last note, none is claimed."""
    if body.tag != "p":
        return
    between: list[etree._Element] = []
    for follower in body.itersiblings():
        if follower in bodies:
            for element in between:
                element.set(BODY_ATTRIBUTE, key)
            return
        if follower.tag not in ("p", "blockquote") or len(between) >= MAX_CONTINUATION_PARAGRAPHS:
            return
        between.append(follower)


def _drop_back_links(body: etree._Element) -> None:
    for link in body.iter("a"):
        if "#" in link.get("href", "") and REF_ATTRIBUTE not in link.attrib:
            label = all_text(link).strip()
            is_back = not types_of(link).isdisjoint(("backlink",)) or _BACK_LABEL.fullmatch(label)
            if is_back and len(label) <= 20:
                _raised_whole(link).set(DROP_ATTRIBUTE, "")


def _raised_whole(link: etree._Element) -> etree._Element:
    """The ``<sup>`` around a link if it holds nothing else, so that brackets and spaces inside it go with the link."""
    parent = link.getparent()
    if parent is not None and parent.tag in ("sup", "span") and len(parent) == 1:
        around = f"{parent.text or ''}{link.tail or ''}"
        if not any(map(str.isalnum, around)):
            return parent
    return link


def _is_raised(link: etree._Element) -> bool:
    inside = any(True for _ in link.iter("sup"))
    parent = link.getparent()
    return inside or (
        parent is not None and (parent.tag == "sup" or (parent.tag == "span" and "sup" in parent.get("class", "")))
    )


def _begins_its_block(link: etree._Element) -> bool:
    """Whether no text stands before ``link`` in its block: there, a numbered link is a note's own way back."""
    element: etree._Element | None = link
    while element is not None and element.tag not in BLOCK_TAGS:
        before = element.getprevious()
        while before is not None:
            if (before.tail or "").strip() or all_text(before).strip():
                return False
            before = before.getprevious()
        element = element.getparent()
        if element is not None and (element.text or "").strip():
            return False
    return True
