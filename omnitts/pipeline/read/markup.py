"""HTML and XHTML bytes to an element tree, however broken: encodings, named entities, tags that are never closed.

Out comes an lxml tree without namespaces, ``epub:type`` as `EPUB_TYPE`, so that one walk serves all. Knows
nothing of books.
"""

from __future__ import annotations

import html
import re
from html.entities import name2codepoint

from lxml import etree

from omnitts.errors import BookError
from omnitts.pipeline.read.charset import decode

EPUB_TYPE = "data-epub-type"  # what ``epub:type`` is called in the trees given out: lxml accepts no such plain name
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DECLARED = re.compile(
    rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)|<meta[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE
)
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.IGNORECASE | re.DOTALL)
_NAMED_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_XML_ENTITIES = frozenset(("amp", "lt", "gt", "quot", "apos"))
_BARE_AMPERSAND = re.compile(r"&(?![A-Za-z][A-Za-z0-9]{1,31};|#\d{1,7};|#[xX][0-9A-Fa-f]{1,6};)")
_SELF_CLOSED = re.compile(
    r"<(a|p|div|span|title|script|style|i|b|em|strong|td|th|li|ul|ol|table|h[1-6]|section|iframe|textarea|noscript|small|sup|sub)\b([^<>]*?)/>",
    re.IGNORECASE,
)
_ILLEGAL_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_REFUSED_REFERENCE = re.compile(
    r"&#(?:0*(?:[0-8]|1[0124-9]|11|12|2\d|3[01])|[xX]0*(?:[0-8]|[bB]|[cC]|[eEfF]|1[0-9a-fA-F]));"
)


def parse_markup(data: bytes, where: str, *, encoding: str = "") -> tuple[etree._Element, list[str]]:
    """The root element of a page, and what had to be repaired. Raises `BookError` for binary data.

    ``encoding`` overrules what the page declares. An empty or hopeless page gives an empty ``html`` element.
    """
    declared = _DECLARED.search(data[:2048])
    name = (declared[1] or declared[2]).decode("ascii") if declared else ""
    decoded = decode(data, where=where, override=encoding, declared=name)
    problems = [decoded.problem] if decoded.problem else []
    return _strip_namespaces(_parse(decoded.text)), problems


def parse_markup_text(text: str) -> etree._Element:
    """As `parse_markup`, for text that is already decoded."""
    return _strip_namespaces(_parse(text))


def parse_xml(data: bytes, where: str) -> etree._Element:
    """A package file (OPF, NCX, container).

    Recovers what it can; raises `BookError` when there is no element at all.
    """
    declared = _DECLARED.search(data[:2048])
    text = decode(data, where=where, declared=(declared[1] or b"").decode("ascii") if declared else "").text
    root = _as_xml(_prepare(text), recover=True)
    if root is None:
        raise BookError(
            "is damaged: no XML in it", where=where, hint="get the book again, or convert it with another tool"
        )
    return _strip_namespaces(root)


def local_name(tag: object) -> str:
    """``"{http://www.w3.org/1999/xhtml}p"`` -> ``"p"``; empty for comments and instructions."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _parse(text: str) -> etree._Element:
    prepared = _prepare(text)
    root = _as_xml(prepared, recover=False) if _looks_like_xhtml(prepared) else None
    if root is None:
        # HTML ignores "/>" on these and would swallow what follows.
        root = _as_html(_SELF_CLOSED.sub(r"<\1\2></\1>", prepared))
    return root if root is not None else etree.Element("html")


def _looks_like_xhtml(text: str) -> bool:
    return "<html" in text[:2000].lower() and "xmlns" in text[:4000]


def _prepare(text: str) -> str:
    text = _XML_DECLARATION.sub("", text.removeprefix("\ufeff"), count=1)
    text = _DOCTYPE.sub("", text, count=1)
    text = _REFUSED_REFERENCE.sub(" ", _ILLEGAL_IN_XML.sub(" ", text))
    if "&" in text:
        text = _NAMED_ENTITY.sub(_resolve, text)
        text = _BARE_AMPERSAND.sub("&amp;", text)
    return text


def _resolve(match: re.Match[str]) -> str:
    name = match[1]
    if name in _XML_ENTITIES:
        return match[0]
    if name in name2codepoint:
        return chr(name2codepoint[name])
    resolved = html.unescape(match[0])
    return resolved if resolved != match[0] else f"&amp;{name};"


def _as_xml(text: str, *, recover: bool) -> etree._Element | None:
    parser = etree.XMLParser(
        recover=recover, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, encoding="utf-8"
    )
    try:
        return etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _as_html(text: str) -> etree._Element | None:
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, no_network=True)
    try:
        return etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _strip_namespaces(root: etree._Element) -> etree._Element:
    for element in root.iter(etree.Element):
        tag = element.tag
        name = local_name(tag)
        if name != tag or not name.islower():
            element.tag = name.lower() if "}" not in str(tag) or "xhtml" in str(tag) else name
        attributes = element.attrib
        for attribute in [name for name in map(str, attributes) if name[0] == "{" or name == "epub:type"]:
            if attribute in ("{http://www.idpf.org/2007/ops}type", "epub:type"):
                attributes[EPUB_TYPE] = attributes[attribute]
            elif attribute.endswith(("}href", "}role", "}file-as", "}lang")):
                short = local_name(attribute)
                if short not in attributes:
                    attributes[short] = attributes[attribute]
    return root
