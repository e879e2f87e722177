"""What a plan finds wrong with a text, told once per chapter: problems for people, not errors.

Pieces in, `Problem`s out. Knows nothing of how they were made.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Final

from omnitts.pipeline.text.options import Piece
from omnitts.types import Block, Problem

_LEFT_OVER: Final = re.compile(r"[^\s.,;:!?'’\-A-Za-z\u00c0-\u024f，。！？；：、…—·]")
_HAN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_SHOWN: Final = 8  # examples named in one problem
_MARGIN: Final = 1.02


class Findings:
    """Collects problems while the chapters of one book go by."""

    def __init__(self, speakers: Container[str], languages: frozenset[str], budget_s: float) -> None:
        self.problems: list[Problem] = []
        self.missing_speakers: set[str] = set()
        self.unspoken_languages: set[str] = set()
        self.longest_s = 0.0
        self._speakers = speakers
        self._languages = languages
        self._budget_s = budget_s
        self._where = ""
        self._blocks: Sequence[Block] = ()
        self._foreign: dict[str, str] = {}
        self._left_over: dict[str, str] = {}

    def enter(self, where: str, blocks: Sequence[Block]) -> None:
        """A new chapter begins."""
        self._flush()
        self._where, self._blocks = where, blocks

    def markup(self, what: str, block_idx: int) -> None:
        """Markup that is not understood."""
        self._add(what, self._place(block_idx))

    def piece(self, piece: Piece) -> None:
        """One piece goes by."""
        self.longest_s = max(self.longest_s, piece.seconds)
        if piece.speaker not in self._speakers and piece.speaker not in self.missing_speakers:
            self.missing_speakers.add(piece.speaker)
            who = f"speaker {piece.speaker!r}" if piece.speaker else "the narrator"
            self._add(f"{who} has no voice", self._place(piece.block_idx), fatal=True)
        primary = piece.language.partition("-")[0]
        if self._languages and primary not in self._languages and primary not in self.unspoken_languages:
            self.unspoken_languages.add(primary)
            spoken = ", ".join(sorted(self._languages))
            self._add(
                f"the text is in {primary!r}, the engine speaks {spoken}", self._place(piece.block_idx), fatal=True
            )
        if piece.seconds > self._budget_s * _MARGIN:
            what = f"a single word takes {piece.seconds:.0f} s, the engine's limit is {self._budget_s:.0f} s"
            self._add(what, self._place(piece.block_idx))
        if (not piece.spoken.isascii() or _LEFT_OVER.search(piece.spoken)) and primary in {"en", "zh"}:
            self._characters(piece, is_chinese=primary == "zh")

    def empty_chapter(self) -> None:
        """The chapter entered last has no letter or digit."""
        self._add("nothing to speak in this chapter; it is left out", self._where)

    def finish(self, num_chapters: int, book_source: str) -> None:
        """The book is over."""
        self._flush()
        if not num_chapters:
            self._add("nothing to speak in the whole book", book_source, fatal=True)

    def _characters(self, piece: Piece, *, is_chinese: bool) -> None:
        for character in _LEFT_OVER.findall(piece.spoken):
            if is_chinese and _HAN.match(character):
                continue
            place = self._place(piece.block_idx)
            (self._foreign if character.isalpha() else self._left_over).setdefault(character, place)

    def _flush(self) -> None:
        if self._foreign:
            self._add(f"letters this voice may not read: {_sample(self._foreign)}", next(iter(self._foreign.values())))
        if self._left_over:
            what = f"digits or signs left as they are: {_sample(self._left_over)}"
            self._add(what, next(iter(self._left_over.values())))
        self._foreign, self._left_over = {}, {}

    def _place(self, block_idx: int) -> str:
        source = self._blocks[block_idx].source if block_idx < len(self._blocks) else ""
        return f"{self._where}, {source}" if source else self._where

    def _add(self, what: str, where: str, *, fatal: bool = False) -> None:
        self.problems.append(Problem(what, where, fatal))


def _sample(characters: dict[str, str]) -> str:
    shown = " ".join(list(characters)[:_SHOWN])
    more = len(characters) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
