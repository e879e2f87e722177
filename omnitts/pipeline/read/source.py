"""What is to be read, before anyone knows its format: a file or the bytes of stdin.

In: a path or ``-``. Out: a `Source` with its name, suffix and bytes. Knows no format; says early and by name why a
path cannot be read.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from omnitts.errors import BookError

MAX_BYTES = 1 << 30  # of a whole source; the longest novels are under 20 MB as text, picture books under 500 MB
HEAD_BYTES = 1 << 16  # enough to tell formats apart
STDIN_NAME = "stdin"


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source. ``path`` is None for stdin, whose bytes are then in ``head`` and ``_data``."""

    name: str
    suffix: str
    head: bytes
    path: Path | None = None
    _data: bytes = b""

    @property
    def stem(self) -> str:
        """The file's name without suffix, as words: a title of last resort. Empty for stdin."""
        return "" if self.path is None else " ".join(self.path.stem.replace("_", " ").replace("-", " ").split())

    def read_bytes(self) -> bytes:
        """All bytes. Raises `BookError` if the file went away meanwhile."""
        if self.path is None:
            return self._data
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.name, error) from error

    def open(self) -> IO[bytes]:
        """A seekable binary file, for containers that are read in parts."""
        if self.path is None:
            return io.BytesIO(self._data)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise _unreadable(self.name, error) from error


def open_source(source: Path | Literal["-"]) -> Source:
    """Looks at ``source`` and reads its head. Raises `BookError`: missing, a folder, unreadable, empty, too large."""
    if source == "-":
        return source_from_bytes(sys.stdin.buffer.read(MAX_BYTES + 1))
    path = Path(source)
    name = str(path)
    if path.is_dir():
        raise BookError(
            "is a folder, not a book", where=name, hint="give one file inside it, for example an .epub or .txt"
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(name, error) from error
    _check_size(name, size if path.is_file() else len(head))
    return Source(name=name, suffix=path.suffix.lower(), head=head, path=path)


def source_from_bytes(data: bytes, name: str = STDIN_NAME, suffix: str = "") -> Source:
    """A source that is already in memory."""
    _check_size(name, len(data))
    return Source(name=name, suffix=suffix, head=data[:HEAD_BYTES], _data=data)


def _check_size(name: str, size: int) -> None:
    if size == 0:
        raise BookError("is empty", where=name, hint="give a file with text in it")
    if size > MAX_BYTES:
        raise BookError(f"is larger than {MAX_BYTES >> 20} MiB", where=name, hint="split it, or give the text alone")


def _unreadable(name: str, error: OSError) -> BookError:
    if isinstance(error, FileNotFoundError):
        return BookError("no such file", where=name, hint="check the spelling of the path")
    if isinstance(error, PermissionError):
        return BookError("may not be read by you", where=name, hint="check the file's permissions")
    return BookError(f"cannot be read: {error.strerror or error}", where=name)
