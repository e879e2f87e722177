"""What single HTML elements mean to a listener: blocks, what is never read aloud, semantic types.

Sees one element at a time.
"""

from __future__ import annotations

import re

from lxml import etree

from omnitts.pipeline.read.markup import EPUB_TYPE

BLOCK_TAGS = frozenset(
    re.findall(
        r"\S+",
        "address article aside blockquote body caption center dd details dir div dl dt fieldset figcaption figure "
        "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre search section "
        "summary table tbody td tfoot th thead tr ul",
    )
)
HEADING_LEVELS = {f"h{level}": level for level in range(1, 7)}
DROPPED_TAGS = frozenset(
    re.findall(
        r"\S+",
        "script style head title meta link svg audio video object embed iframe canvas template noscript button "
        "select textarea input map rt rp rtc math img picture source track progress meter datalist applet",
    )
)
# Private marks that `notes` leaves in a tree: a reference to a note, a note's body (both hold its key), a link back.
REF_ATTRIBUTE = "data-omnitts-ref"
BODY_ATTRIBUTE = "data-omnitts-note"
DROP_ATTRIBUTE = "data-omnitts-drop"
VERSE_CLASS = re.compile(
    r"\b(?:poem|poetry|verse|stanza|lyrics?|linegroup|song)\b|\b(?:poem|poetry|verse|stanza)[-_]", re.IGNORECASE
)
_PAGE_NUMBER_CLASS = re.compile(
    r"(?:^|[\s_-])(?:page-?(?:num(?:ber)?|no|break)|pagenum(?:ber)?|pageno|folio|pb)(?:$|[\s\d_-])", re.IGNORECASE
)
_BOILERPLATE = re.compile(
    r"\bpg-?(?:header|footer|boilerplate|start-separator|end-separator|machine-header)\b", re.IGNORECASE
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_MAX_PAGE_NUMBER_CHARS = 16
_MAX_CELL_CHARS = 400


def types_of(element: etree._Element) -> frozenset[str]:
    """The element's ``epub:type`` and ``doc-`` roles without prefix; ``pg-boilerplate`` for Project Gutenberg's
    wrapping.
    """
    attributes = element.attrib
    names: list[str] = []
    if types := attributes.get(EPUB_TYPE):
        names += types.lower().split()
    if role := attributes.get("role"):
        names += [name.removeprefix("doc-") for name in role.lower().split() if name.startswith("doc-")]
    label = f"{attributes.get('id', '')} {attributes.get('class', '')}"
    if "pg" in label and _BOILERPLATE.search(label):
        names.append("pg-boilerplate")
    return frozenset(names)


def classes_of(element: etree._Element) -> str:
    """The ``class`` attribute, or an empty string."""
    return element.attrib.get("class", "")


def is_dropped(element: etree._Element) -> bool:
    """Whether the element shows nothing that is read aloud: scripts, pictures, hidden parts, page numbers."""
    if element.tag in DROPPED_TAGS:
        return True
    attributes = element.attrib
    if not len(attributes):
        return False
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    if "style" in attributes and _HIDDEN_STYLE.search(str(attributes["style"])):
        return True
    return is_page_number(element)


def is_page_number(element: etree._Element) -> bool:
    """Whether the element marks a page of the printed book."""
    attributes = element.attrib
    named = (
        "pagebreak" in attributes.get(EPUB_TYPE, "")
        or attributes.get("role") == "doc-pagebreak"
        or ("class" in attributes and _PAGE_NUMBER_CLASS.search(str(attributes["class"])))
    )
    return bool(named) and len(all_text(element).strip()) <= _MAX_PAGE_NUMBER_CHARS


def all_text(element: etree._Element) -> str:
    """Every character inside the element, dropped parts included."""
    return "".join(map(str, element.itertext()))


def plain_text(element: etree._Element) -> str:
    """The element's text without dropped parts and note references; blocks and line ends become spaces."""
    parts: list[str] = []
    walker = etree.iterwalk(element, events=("start", "end", "comment", "pi"))
    skipped: etree._Element | None = None
    for event, node in walker:
        if event == "start":
            if node is not element and (
                REF_ATTRIBUTE in node.attrib or DROP_ATTRIBUTE in node.attrib or is_dropped(node)
            ):
                skipped = node
                walker.skip_subtree()
                continue
            parts.append(" " if node.tag in BLOCK_TAGS or node.tag == "br" else "")
            parts.append(node.text or "")
            continue
        if event == "end":
            if node is skipped:
                skipped = None
            elif node.tag in BLOCK_TAGS:
                parts.append(" ")
        if node is not element:
            parts.append(node.tail or "")
    return "".join(parts)


def is_data_table(table: etree._Element) -> bool:
    """Whether a table holds data in rows and columns, rather than lay out a page."""
    if table.find(".//table") is not None or any(table.find(f".//{tag}") is not None for tag in HEADING_LEVELS):
        return False
    widest = 0
    for row in table.iter("tr"):
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        widest = max(widest, len(cells))
        if any(len(all_text(cell)) > _MAX_CELL_CHARS for cell in cells):
            return False
    return widest > 1
