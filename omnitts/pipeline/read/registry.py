"""Which reader takes a source: by the format a person names, by content, by suffix.

A reader lives in a file ``format_NAME.py`` beside this one and defines ``READER``; a new file is a new format, and
nothing else changes. Readers know nothing of each other.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from omnitts.errors import BookError, UsageError
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.source import Source
from omnitts.types import Book

FORMAT_PREFIX = "format_"


@dataclass(frozen=True, slots=True)
class Reader:
    """One format. ``sniff`` looks at a source's head and says how sure it is: 0 not mine, 1 anyone's, up to 100
    certain.

    ``read`` returns every chapter of the source in order, with ``skip_reason`` set where the format itself can tell.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Source], int]
    read: Callable[[Source, ReadOptions], Book]


@cache
def readers() -> dict[str, Reader]:
    """All readers by name, in order of name."""
    folder = Path(__file__).parent
    names = sorted(
        module.name for module in pkgutil.iter_modules([str(folder)]) if module.name.startswith(FORMAT_PREFIX)
    )
    found = [importlib.import_module(f"{__package__}.{name}").READER for name in names]
    return {reader.name: reader for reader in found}


def reader_for(source: Source, options: ReadOptions) -> Reader:
    """The reader for ``source``: ``options.format``, else content that is certain, else suffix, else the surest.

    Raises `UsageError` for an unknown format name, `BookError` when no reader takes the content.
    """
    known = readers()
    if options.format:
        if options.format not in known:
            raise UsageError(
                f"unknown format {options.format!r}", where="--from", hint=f"use one of {', '.join(sorted(known))}"
            )
        return known[options.format]
    surest = max(known.values(), key=lambda reader: reader.sniff(source))
    if surest.sniff(source) >= CERTAIN:
        return surest
    for reader in known.values():
        if source.suffix in reader.suffixes:
            return reader
    if surest.sniff(source) > 0:
        return surest
    raise BookError(
        "is in no format that can be read here", where=source.name, hint=f"readable are: {', '.join(sorted(known))}"
    )


CERTAIN = 90
