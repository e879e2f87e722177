"""What the tokenizer's spelling reader must write: phonemes (or characters) of a text, as label numbers from 1 on.

Phonemes come from hibari's English phonemizer; stress, spaces and marks are no labels, but cues (`cues`) of those that
are. Label 0 is CTC's blank.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from omnitts.errors import DependencyError, UsageError
from omnitts.models.reading.cues import cued

_NO_SOUND: Final = frozenset("ˈˌː")
_BRITISH: Final = ("british", "en-gb")
KINDS: Final = ("phonemes", "characters")


@dataclass(frozen=True)
class Sounds:
    """Of a text: ``labels``, none where nobody can tell; and as many ``cues``, none where nobody asks for them."""

    labels: tuple[int, ...] = ()
    cues: tuple[int, ...] = ()


@dataclass(frozen=True)
class Alphabet:
    """Symbols in a fixed order; label of a symbol is its place plus one."""

    symbols: tuple[str, ...]

    @classmethod
    def of(cls, spellings: Iterable[str]) -> Alphabet:
        return cls(tuple(sorted({symbol for spelling in spellings for symbol in spelling})))

    @property
    def size(self) -> int:
        """Number of labels, the blank included."""
        return len(self.symbols) + 1

    def labels(self, spelling: str) -> list[int]:
        places = self._places()
        return [places[symbol] for symbol in spelling if symbol in places]

    def sounds(self, symbols: Sequence[tuple[str, int]]) -> Sounds:
        """Of symbols with their cues; those that have no label are left out."""
        places = self._places()
        known = [(places[symbol], cue) for symbol, cue in symbols if symbol in places]
        return Sounds(tuple(label for label, _ in known), tuple(cue for _, cue in known))

    def _places(self) -> dict[str, int]:
        return {symbol: place for place, symbol in enumerate(self.symbols, 1)}


class Speller:
    """Text to symbols. Raises `UsageError` for an unknown kind, `DependencyError` without the phonemizer."""

    def __init__(self, kind: str) -> None:
        if kind not in KINDS:
            raise UsageError(f"labels are {kind!r}", where="tokenizer.labels", hint=f"one of {', '.join(KINDS)}")
        self._kind = kind

    def spell(self, text: str, accent: str) -> str:
        """Every character of the result is one symbol. ``accent``: ``British`` or ``en-gb``; all else is American."""
        return "".join(symbol for symbol, _ in self.cued(text, accent))

    def cued(self, text: str, accent: str) -> list[tuple[str, int]]:
        """The symbols of `spell`, each with its cue (`cues.cued`)."""
        if self._kind == "characters":
            return cued(unicodedata.normalize("NFC", text.lower()), str.isalnum)
        return cued(_phonemes(text, _is_british(accent)), _is_letter)

    def transcribe(self, text: str, accent: str) -> str:
        """The phonemes of a text with the spaces and marks between them. ``accent`` as in `spell`."""
        return " ".join("".join(char for char in _phonemes(text, _is_british(accent)) if char not in _NO_SOUND).split())

    def knows(self, language: str) -> bool:
        """Whether it spells texts in a language (a primary tag; empty where unknown, which is let pass)."""
        return self._kind == "characters" or language in ("", "en")


@lru_cache(maxsize=1 << 15)  # wanted as labels and as what a mouth reads; a corpus for one whole, then for the other
def _phonemes(text: str, british: bool) -> str:
    return str(_phonemizer(british)(text))


@cache
def _phonemizer(british: bool) -> Any:
    try:
        from hibari.g2p import G2P
    except ImportError as error:
        raise DependencyError("phoneme labels need hibari-tts", hint="pip install hibari-tts") from error
    return G2P(british=british)


def _is_british(accent: str) -> bool:
    return accent.lower().startswith(_BRITISH)


def _is_letter(char: str) -> bool:
    """Whether a character of phonemes is a sound of its own: no stress, space or mark."""
    return char not in _NO_SOUND and unicodedata.category(char)[0] == "L"


def unblank(labels: Sequence[int]) -> list[int]:
    """CTC's greedy reading: repeats are one, blanks are none."""
    return [label for i, label in enumerate(labels) if label and (i == 0 or label != labels[i - 1])]
