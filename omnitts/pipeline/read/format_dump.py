"""The edited output of ``omnitts plan --text`` as a source: recognised by its first line, whatever the file is
called.
"""

from __future__ import annotations

from omnitts.pipeline.read.charset import decode
from omnitts.pipeline.read.dump import is_dump, read_dump
from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.registry import Reader
from omnitts.pipeline.read.source import Source
from omnitts.types import Book


def sniff(source: Source) -> int:
    """Certain when the mark of a dump stands at the head."""
    return 100 if is_dump(source.head[:4096].decode("utf-8", "replace")) else 0


def read(source: Source, options: ReadOptions) -> Book:
    """Reads a dump. Raises `TextError` with the line that cannot be understood."""
    return read_dump(decode(source.read_bytes(), where=source.name, override=options.encoding).text, source.name)


READER = Reader("dump", (), sniff, read)
