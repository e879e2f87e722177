"""What a person can choose about reading. Plain data with its own validity check; reads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from omnitts.errors import UsageError

NoteMode = Literal["skip", "inline", "end"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Choices of ``--keep``, ``--skip``, ``--notes``, ``--encoding``, ``--language`` and ``--from``.

    ``keep`` and ``skip`` overrule what is skipped by itself. A pattern is a number or range (``"2"``, ``"3-5"``:
    positions among all chapters of the source, skipped ones included, counted from 1), part of a title (any case), or
    ``"all"``; where both name a chapter, ``skip`` wins. ``notes``: leave footnotes out, read each after the paragraph
    that refers to it, or collect them at the chapter's end. Empty strings mean "find out": ``encoding`` (a Python codec
    name), ``language`` (a BCP 47 tag), ``format`` (a reader's name, such as ``"epub"`` or ``"txt"``).
    """

    keep: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    notes: NoteMode = "skip"
    encoding: str = ""
    language: str = ""
    format: str = ""

    def __post_init__(self) -> None:
        if self.notes not in get_args(NoteMode):
            raise UsageError(
                f"unknown notes mode {self.notes!r}",
                where="--notes",
                hint=f"use one of {', '.join(get_args(NoteMode))}",
            )
