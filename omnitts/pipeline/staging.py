"""Staging: a hidden folder beside the result, in which it is made. Published whole by renaming, or removed.

Every failure removes it, KeyboardInterrupt too. What a SIGKILL or a power cut left behind, the next run for the same
result removes: the folder's name holds the number of the process that made it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omnitts.errors import OutputError

log = logging.getLogger(__name__)

HINT = "check the folder and the free space"


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yields an empty folder in the place where ``out`` will be; removes it in the end, with all that is in it.

    Raises `OutputError` when that place cannot be written.
    """
    folder = out.parent / f".{out.name}.{os.getpid()}.part"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(out)
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write ({error.strerror or error})", where=str(out), hint=HINT) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_place(place: Path, option: str, given: Iterable[Path] = ()) -> None:
    """Raises `OutputError` now for a file that could not be written later, or that is one of its sources, ``given``.

    ``option`` is the flag that named it.
    """
    if any(source.exists() and place.exists() and place.samefile(source) for source in given):
        what = "the output would overwrite what it is made from"
        raise OutputError(what, where=str(place), hint=f"choose another {option}")
    with staged(place):
        pass


def publish(made: Path, out: Path) -> None:
    """Gives a finished file its final name, replacing what was there: readers see the old file or the whole new one."""
    try:
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write ({error.strerror or error})", where=str(out), hint=HINT) from error


def _clear_leftovers(out: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(out.name)}\.(\d+)\.part")
    for path in out.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not _is_running(int(match[1]))):
            log.info("removing %s, left by a run that was killed", path)
            shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if os.name != "posix":
        return True  # asking would end the process there; better to leave a folder than to take one in use
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
