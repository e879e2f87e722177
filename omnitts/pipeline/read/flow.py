"""A page's element tree to a flow of blocks: what a listener would hear, in order, with the anchors that point into it.

In: a tree from `markup`, its notes already marked by `notes`. Out: a `Flow` of `Item`s. Knows nothing of chapters or
files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from lxml import etree

from omnitts.pipeline.read.cleaning import collapse, is_scene_break
from omnitts.pipeline.read.elements import (
    BLOCK_TAGS,
    BODY_ATTRIBUTE,
    DROP_ATTRIBUTE,
    HEADING_LEVELS,
    REF_ATTRIBUTE,
    VERSE_CLASS,
    all_text,
    classes_of,
    is_data_table,
    is_dropped,
    plain_text,
    types_of,
)
from omnitts.pipeline.read.titles import is_label
from omnitts.types import Block, BlockKind

LINE = "\x0b"  # a line end that is meant; plain newlines in markup are only spaces, and XML forbids this character
MAX_VERSE_LINE_CHARS = 70  # longer lines between <br/> are paragraphs of a careless conversion
_EMPTY_BRACKETS = re.compile(r"\s*(?:\[\s*\]|\(\s*\))")
_BEFORE_PUNCTUATION = re.compile(r"[.,;:!?…)\]”’\"']")
_STANZA_CLASS = re.compile(r"stanza|linegroup|verse-?group|\blg\b", re.IGNORECASE)
_BREAK_CLASS = re.compile(
    r"(?:scene|section|space|thought|context)[-_]?break|ornament|asterism|separator", re.IGNORECASE
)
_SUPERSCRIPT = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
_SUBSCRIPT = str.maketrans("0123456789+-−", "₀₁₂₃₄₅₆₇₈₉₊₋₋")


@dataclass(frozen=True, slots=True)
class Item:
    """A block in the flow. ``types`` are those of the sections around it; ``refs`` the notes it refers to, in order;
    ``note`` the key of the note it belongs to, empty for the running text."""

    block: Block
    types: frozenset[str] = frozenset()
    refs: tuple[str, ...] = ()
    note: str = ""


@dataclass(slots=True)
class Flow:
    """A page's items, and for each id the index of the first item at or after it."""

    items: list[Item] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What an open block element means for the text inside it."""

    kind: BlockKind = BlockKind.PARAGRAPH
    level: int = 0
    types: frozenset[str] = frozenset()
    note: str = ""
    is_pre: bool = False
    is_stanza: bool = False
    counter: list[int] | None = None  # the next number of an ordered list
    numbering: str = "1"


def flow_of(root: etree._Element, where: str) -> Flow:
    """The blocks of a page; ``where`` names it in their ``source``."""
    body = root.find("body")
    return _Walker(where).walk(root if body is None else body)


class _Walker:
    """One pass over a tree, without recursion: a page may nest deeper than Python's stack."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.flow = Flow()
        self.frames = [_Frame()]
        self.parts: list[str] = []
        self.refs: list[str] = []
        self.prefix = ""
        self.last_id = ""

    def walk(self, root: etree._Element) -> Flow:
        walker = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
        skipped: etree._Element | None = None
        for event, element in walker:
            if event == "start":
                if self.start(element):
                    skipped = element
                    walker.skip_subtree()
                continue
            if event == "end":
                if element is skipped:
                    skipped = None
                else:
                    self.end(element)
            if element.tail and element is not root:
                self.text(element.tail)
        self.flush()
        return self.flow

    def start(self, element: etree._Element) -> bool:
        """Opens ``element``; true when what is inside it is not to be walked."""
        tag = element.tag
        attributes = element.attrib
        if len(attributes):
            if (name := attributes.get("id") or (attributes.get("name") if tag == "a" else None)) is not None:
                if tag in BLOCK_TAGS:
                    self.break_before(element)
                self.flow.anchors.setdefault(name, len(self.flow.items))
                self.last_id = name
            if REF_ATTRIBUTE in attributes:
                self.note_reference(element)
                return True
            if DROP_ATTRIBUTE in attributes:
                return True
        if is_dropped(element):
            self.anchors_inside(element)
            self.replacement(element)
            return True
        if tag in BLOCK_TAGS:
            self.break_before(element)
            if tag == "table" and is_data_table(element):
                self.table(element)
                return True
            self.frames.append(self.frame_of(element))
        elif tag == "br":
            self.parts.append(LINE)
        elif tag in ("sup", "sub") and not len(element) and element.text and element.text.strip().isdigit():
            self.parts.append(element.text.translate(_SUPERSCRIPT if tag == "sup" else _SUBSCRIPT))
            return True
        if element.text:
            self.text(element.text)
        return False

    def end(self, element: etree._Element) -> None:
        tag = element.tag
        if tag not in BLOCK_TAGS:
            return
        frame = self.frames[-1]
        single_line_of_stanza = (
            frame.kind is BlockKind.VERSE and not frame.is_stanza and tag in ("p", "div", "li") and self.inside_stanza()
        )
        if single_line_of_stanza and not any(LINE in part for part in self.parts[:-1]):
            self.parts.append(LINE)
        else:
            self.flush()
        self.frames.pop()
        if tag == "hr" or (tag in ("p", "div") and not len(element) and self.is_empty_break(element)):
            self.add(Block(BlockKind.SCENE_BREAK, "", self.place()), frame)
        if tag == "li":
            self.prefix = ""

    def text(self, text: str) -> None:
        self.parts.append(text.replace("\n", LINE) if self.frames[-1].is_pre else text)

    def break_before(self, element: etree._Element) -> None:
        """Ends the running block, unless ``element`` is one line of a stanza whose lines are gathered."""
        if not (element.tag in ("p", "div") and self.frames[-1].kind is BlockKind.VERSE and self.inside_stanza()):
            self.flush()

    def inside_stanza(self) -> bool:
        return any(frame.is_stanza for frame in self.frames)

    def frame_of(self, element: etree._Element) -> _Frame:
        parent = self.frames[-1]
        tag = element.tag
        frame = replace(parent, is_stanza=False) if parent.is_stanza else parent
        if tag in HEADING_LEVELS:
            frame = replace(frame, kind=BlockKind.HEADING, level=HEADING_LEVELS[tag])
        elif tag == "blockquote":
            frame = replace(frame, kind=BlockKind.QUOTE, level=0)
        elif tag == "li":
            frame = replace(frame, kind=BlockKind.LIST_ITEM, level=0)
            self.prefix = _list_prefix(parent, element)
        elif tag in ("figcaption", "caption"):
            frame = replace(frame, kind=BlockKind.CAPTION, level=0)
        elif tag == "pre":
            frame = replace(frame, kind=BlockKind.VERSE, is_pre=True, level=0)
        elif tag in ("ol", "ul"):
            start = element.get("start", "1")
            counter = [int(start) if start.lstrip("-").isdigit() else 1] if tag == "ol" else None
            frame = replace(frame, counter=counter, numbering=element.get("type", "1"))
        if not len(element.attrib):
            return frame
        types = types_of(element)
        if BODY_ATTRIBUTE in element.attrib:
            frame = replace(frame, note=element.get(BODY_ATTRIBUTE, ""), kind=BlockKind.NOTE, level=0)
        if types:
            frame = replace(frame, types=frame.types | types)
        names = classes_of(element)
        is_verse = bool(names and VERSE_CLASS.search(names)) or not types.isdisjoint(
            ("z3998:verse", "z3998:poem", "z3998:song")
        )
        if is_verse and frame.kind in (BlockKind.PARAGRAPH, BlockKind.QUOTE) and tag != "body":
            frame = replace(frame, kind=BlockKind.VERSE)
        if frame.kind is BlockKind.VERSE and names and _STANZA_CLASS.search(names) and tag != "p":
            frame = replace(frame, is_stanza=True)
        return frame

    def note_reference(self, element: etree._Element) -> None:
        self.refs.append(element.get(REF_ATTRIBUTE, ""))
        if self.parts and element.tail and _BEFORE_PUNCTUATION.match(element.tail):
            self.parts[-1] = self.parts[-1].rstrip(" \n\t\u00a0")

    def replacement(self, element: etree._Element) -> None:
        """What stands in for a dropped element: a drop capital's letter, a formula's words."""
        if element.tag == "img":
            alt = (element.get("alt") or "").strip()
            if len(alt) == 1 and alt.isalpha() and element.tail and element.tail[:1].isalpha():
                self.parts.append(alt)
        elif element.tag == "math":
            self.parts.append(f" {element.get('alttext') or all_text(element)} ")

    def anchors_inside(self, element: etree._Element) -> None:
        for inner in element.iter(etree.Element):
            if (name := inner.get("id")) is not None:
                self.flow.anchors.setdefault(name, len(self.flow.items))

    def table(self, table: etree._Element) -> None:
        """A data table row by row, its cells joined by commas."""
        frame = self.frames[-1]
        caption = table.find("caption")
        if caption is not None and (text := collapse(plain_text(caption))):
            self.add(Block(BlockKind.CAPTION, text, self.place()), frame)
        for row in table.iter("tr"):
            self.anchors_inside(row)
            cells = [collapse(plain_text(cell)) for cell in row if cell.tag in ("td", "th")]
            if text := _join_cells([cell for cell in cells if cell]):
                refs = tuple(
                    ref.get(REF_ATTRIBUTE, "") for ref in row.iter("a", "sup", "span") if REF_ATTRIBUTE in ref.attrib
                )
                self.add(Block(BlockKind.TABLE, text, self.place()), frame, refs)

    def is_empty_break(self, element: etree._Element) -> bool:
        names = classes_of(element)
        return bool(names and _BREAK_CLASS.search(names)) and not (element.text or "").strip()

    def flush(self) -> None:
        """Turns what was gathered since the last block into blocks."""
        raw = "".join(self.parts)
        self.parts.clear()
        if not raw or raw.isspace():
            return
        if self.refs:
            raw = _EMPTY_BRACKETS.sub("", raw)
        frame = self.frames[-1]
        refs, self.refs = tuple(self.refs), []
        texts = [(frame.kind, collapse(raw))] if LINE not in raw else _lines_to_texts(raw, frame)
        texts = [(kind, text) for kind, text in texts if text]
        for idx, (kind, text) in enumerate(texts):
            if is_scene_break(text) and kind is not BlockKind.HEADING:
                self.add(Block(BlockKind.SCENE_BREAK, "", self.place()), frame)
                continue
            if self.prefix:
                text, self.prefix = self.prefix + text, ""
            if frame.note:
                kind = BlockKind.NOTE
            level = frame.level if kind is BlockKind.HEADING else 0
            self.add(Block(kind, text, self.place(), level), frame, refs if idx == len(texts) - 1 else ())

    def add(self, block: Block, frame: _Frame, refs: tuple[str, ...] = ()) -> None:
        self.flow.items.append(Item(block, frame.types, refs, frame.note))

    def place(self) -> str:
        return f"{self.where}#{self.last_id}" if self.last_id else self.where


def _lines_to_texts(raw: str, frame: _Frame) -> list[tuple[BlockKind, str]]:
    """Text with line ends that are meant: headings, stanzas, or paragraphs that were parted by line ends."""
    groups = [
        [line for line in map(collapse, group.split(LINE)) if line] for group in re.split(rf"{LINE}(?:\s*{LINE})+", raw)
    ]
    groups = [group for group in groups if group]
    if frame.kind is BlockKind.HEADING:
        lines = [line for group in groups for line in group]
        if len(lines) > 1 and is_label(lines[0]):
            return [(frame.kind, lines[0]), (frame.kind, " ".join(lines[1:]))]
        return [(frame.kind, " ".join(lines))]
    texts: list[tuple[BlockKind, str]] = []
    for group in groups:
        if frame.kind is BlockKind.VERSE or frame.is_pre:
            texts.append((BlockKind.VERSE, "\n".join(group)))
        elif len(group) == 1:
            texts.append((frame.kind, group[0]))
        elif max(map(len, group)) <= MAX_VERSE_LINE_CHARS and frame.kind in (BlockKind.PARAGRAPH, BlockKind.QUOTE):
            texts.append((BlockKind.VERSE, "\n".join(group)))
        elif frame.kind is BlockKind.PARAGRAPH:
            texts.extend((frame.kind, line) for line in group)
        else:
            texts.append((frame.kind, " ".join(group)))
    return texts


def _join_cells(cells: list[str]) -> str:
    text = ""
    for cell in cells:
        separator = "" if not text else " " if text[-1] in ".,;:!?" else ", "
        text += separator + cell
    return text


def _list_prefix(frame: _Frame, element: etree._Element) -> str:
    """``"3. "`` for an item of an ordered list, else nothing. Tables of contents are lists without spoken numbers."""
    if frame.counter is None or not frame.types.isdisjoint(("toc", "landmarks", "page-list")) or frame.note:
        return ""
    value = element.get("value", "")
    number = int(value) if value.lstrip("-").isdigit() else frame.counter[0]
    frame.counter[0] = number + 1
    if frame.numbering in ("a", "A") and 1 <= number <= 26:
        return f"{chr(ord(frame.numbering) + number - 1)}. "
    return f"{number}. "
