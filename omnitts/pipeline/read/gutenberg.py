"""Project Gutenberg's wrapping: where the licence header ends, where the footer begins, and what the header tells.

Lines or paragraphs in, positions out. Serves text, HTML and EPUB alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADER_REASON = "Project Gutenberg header"
LICENCE_REASON = "Project Gutenberg licence"

_START = re.compile(
    r"^\W*(?:START|BEGINNING) OF (?:TH(?:E|IS) )?PROJECT GUTENBERG|^\W*START\W+THE SMALL PRINT", re.IGNORECASE
)
_SMALL_PRINT_END = re.compile(r"END\W+THE SMALL PRINT", re.IGNORECASE)
_END = re.compile(
    r"^\W*END OF (?:(?:TH(?:E|IS) )?PROJECT GUTENBERG|THE PROJECT GUTENBERG)"
    r"|^\W*END OF (?:THIS )?(?:THE )?PROJECT GUTENBERG",
    re.IGNORECASE,
)
_PRODUCED_BY = re.compile(
    r"^(?:\[?E-?(?:text|book) prepared by|Produced by|This (?:file|e-?text|e-?book) was (?:produced"
    r"|prepared|transcribed)|HTML version by)\b",
    re.IGNORECASE,
)
_FIELD = re.compile(r"^(Title|Author|Language|Release Date|Translator)\s*:\s*(.+)$", re.IGNORECASE)


def find_body(texts: Sequence[str]) -> tuple[int, int]:
    """``(start, stop)`` of what lies between header and footer; the whole range when there is neither.

    ``texts`` are the source's lines, or its paragraphs in order. A footer mark counts only after the header.
    """
    start, stop = 0, len(texts)
    for idx, text in enumerate(texts):
        if "GUTENBERG" in text or "Gutenberg" in text or "SMALL PRINT" in text.upper()[:120]:
            if _START.search(text) or _SMALL_PRINT_END.search(text):
                if stop == len(texts):
                    start = idx + 1
            elif _END.search(text) and idx > start:
                stop = min(stop, idx)
    return start, max(start, stop)


def is_production_credit(text: str) -> bool:
    """Whether a paragraph only says who prepared the file."""
    return len(text) < 600 and _PRODUCED_BY.match(text) is not None


def header_fields(lines: Sequence[str]) -> dict[str, str]:
    """``title``, ``author``, ``language``, ``release date`` of a header; an indented line goes on with the one
    above.
    """
    fields: dict[str, str] = {}
    last = ""
    for line in lines:
        match = _FIELD.match(line)
        if match:
            last = match[1].lower()
            if last in fields:
                last = ""
                continue
            fields[last] = match[2].strip()
        elif last and line[:1].isspace() and line.strip():
            fields[last] += f", {line.strip()}" if last == "author" else f": {line.strip()}"
        else:
            last = ""
    if "release date" in fields:
        fields["release date"] = re.sub(r"\s*\[.*", "", fields["release date"])
    return fields
