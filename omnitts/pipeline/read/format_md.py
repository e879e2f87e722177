"""Markdown (CommonMark with tables) with optional YAML front matter: title, author, language, cover, date,
description.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import yaml
from markdown_it import MarkdownIt

from omnitts.pipeline.read.charset import decode
from omnitts.pipeline.read.format_html import book_of_tree
from omnitts.pipeline.read.markup import parse_markup_text
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.registry import Reader
from omnitts.pipeline.read.source import Source
from omnitts.types import Book, Problem

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FOOTNOTE_BODY = re.compile(r"^\[\^([^\]\s]+)\]:[ \t]*(.*(?:\n(?:[ \t]+.*|(?![\[\n]|\s*$).+))*)", re.MULTILINE)
_FOOTNOTE_REF = re.compile(r"\[\^([^\]\s]+)\](?!:)")
_ATX_HEADINGS = re.compile(rb"^#{1,3} \S", re.MULTILINE)


def sniff(source: Source) -> int:
    """Likely for front matter, or for several ``#`` headings; plain text may look the same, so never certain."""
    if re.match(rb"---\s*\n[\w-]+\s*:", source.head):
        return 60
    return 40 if len(_ATX_HEADINGS.findall(source.head)) >= 2 else 0


def read_md(source: Source, options: ReadOptions) -> Book:
    """Reads Markdown. Broken front matter is a problem, not an error; raises `BookError` for binary data."""
    decoded = decode(source.read_bytes(), where=source.name, override=options.encoding)
    problems = [Problem(decoded.problem, source.name)] if decoded.problem else []
    text, fields, problem = _front_matter(decoded.text.replace("\r\n", "\n").replace("\r", "\n"))
    if problem:
        problems.append(Problem(problem, source.name))
    text = text.replace("\x00", " ")
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(_with_footnotes(text))
    root = parse_markup_text(f"<html><head></head><body>{html}</body></html>")
    book = book_of_tree(root, source, options, tuple(problems))
    authors = fields.get("authors", fields.get("author", ()))
    names = [authors] if isinstance(authors, str) else list(authors) if isinstance(authors, list) else []
    return replace(
        book,
        title=str(fields.get("title") or book.title),
        authors=tuple(str(name) for name in names) or book.authors,
        language=str(fields.get("language") or fields.get("lang") or ""),
        date=str(fields.get("date") or ""),
        publisher=str(fields.get("publisher") or ""),
        description=str(fields.get("description") or ""),
        cover=_cover(fields, source),
    )


def _front_matter(text: str) -> tuple[str, dict[str, Any], str]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return text, {}, ""
    try:
        fields = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return text[match.end() :], {}, f"the front matter is not valid YAML (line {mark.line + 2 if mark else 1})"
    if not isinstance(fields, dict):
        return text, {}, ""
    return text[match.end() :], {str(name).lower(): value for name, value in fields.items()}, ""


def _with_footnotes(text: str) -> str:
    """``[^1]`` and ``[^1]: body`` as the markup that `notes` understands; the bodies go to the end."""
    bodies = {match[1]: match[2] for match in _FOOTNOTE_BODY.finditer(text)}
    if not bodies:
        return text
    text = _FOOTNOTE_BODY.sub("", text)
    text = _FOOTNOTE_REF.sub(
        lambda m: f'<a epub:type="noteref" href="#fn-{m[1]}">{m[1]}</a>' if m[1] in bodies else m[0], text
    )
    notes = "\n\n".join(
        f'<aside epub:type="footnote" id="fn-{name}">\n\n{" ".join(body.split())}\n\n</aside>'
        for name, body in bodies.items()
    )
    return f"{text}\n\n{notes}\n"


def _cover(fields: dict[str, Any], source: Source) -> bytes | None:
    """The picture that front matter names, beside the source; none when it is not there."""
    name = fields.get("cover") or fields.get("cover-image")
    if not isinstance(name, str) or source.path is None:
        return None
    path = source.path.parent / name
    return path.read_bytes() if path.is_file() else None


READER = Reader("md", (".md", ".markdown", ".mdown", ".mkd"), sniff, read_md)
