"""What a person may choose about the text stage, and the piece of speech it yields. Knows no engines or jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from omnitts.types import Pause, Span

DEFAULT_PAUSES: Final[Mapping[Pause, float]] = MappingProxyType(
    {
        Pause.CLAUSE: 0.15,
        Pause.SENTENCE: 0.35,
        Pause.PARAGRAPH: 0.7,
        Pause.SCENE: 1.5,
        Pause.HEADING: 1.0,
        Pause.CHAPTER: 2.0,
    }
)


@dataclass(frozen=True)
class TextOptions:
    """How display text becomes spoken pieces.

    ``language`` is a BCP 47 tag; empty takes the book's, and with neither each sentence's own script decides between
    English and Chinese. A region matters in one place: ``en-GB`` (any English region but US and PH) reads ``3/4/2021``
    as the third of April. ``lexicon`` files apply in order. ``pauses`` overrides single entries of `DEFAULT_PAUSES`.

    Pieces are filled up to ``target_s`` seconds of estimated speech and never beyond ``budget_s``, the engine's limit;
    what is shorter than ``short_s`` joins a neighbour of the same speaker.
    """

    language: str = ""
    lexicon: tuple[Path, ...] = ()
    pauses: Mapping[Pause, float] = field(default_factory=lambda: DEFAULT_PAUSES)
    target_s: float = 12.0
    budget_s: float = 20.0
    short_s: float = 2.5

    def pause_s(self, pause: Pause) -> float:
        """Seconds of silence for a kind of pause."""
        return self.pauses.get(pause, DEFAULT_PAUSES[pause])


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of speech. ``span`` indexes ``Chapter.text``; ``seconds`` is the estimate it was packed by.

    ``speaker`` is empty for the narrator; ``block_idx`` is the block it starts in, ``source`` that block's place.
    """

    spoken: str
    span: Span
    pause: Pause
    pause_s: float
    seconds: float
    speaker: str = ""
    language: str = "en"
    source: str = ""
    block_idx: int = 0
