"""Cues: what a text tells of a sound beside which one it is: stress and length, where words begin, what comes behind.

How long a sound lasts hangs on them. A transcript in; for each of its sounds a number below `NUM_CUES` out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final


class Stress(IntEnum):
    """Marked before the sound that bears it."""

    NONE = 0
    SECONDARY = 1
    PRIMARY = 2


class Behind(IntEnum):
    """What stands between a sound and the next."""

    NOTHING = 0
    SPACE = 1
    PAUSE = 2  # a comma, a bracket: any mark that ends no sentence
    END = 3


_STRESSES: Final = {"ˌ": Stress.SECONDARY, "ˈ": Stress.PRIMARY}
_LONG: Final = "ː"
_ENDS: Final = frozenset(".!?…")
_APOSTROPHES: Final = frozenset("'’")  # no pause
_HYPHENS: Final = frozenset("-‐‑")  # no pause within a word
NUM_CUES: Final = len(Stress) * 2 * 2 * len(Behind)


def cue(stress: Stress, is_long: bool, begins_word: bool, behind: Behind) -> int:
    """The number of a combination."""
    return int(((stress * 2 + is_long) * 2 + begins_word) * len(Behind) + behind)


def cued(transcript: str, is_sound: Callable[[str], bool]) -> list[tuple[str, int]]:
    """The sounds of a transcript, each with its cue; the transcript's end is one of a sentence."""
    sounds: list[tuple[str, int]] = []
    place = 0
    begins_word, stress = True, Stress.NONE
    while place < len(transcript):
        symbol = transcript[place]
        place += 1
        if not is_sound(symbol):
            begins_word = begins_word or symbol.isspace()
            stress = _STRESSES.get(symbol, stress)
            continue
        until = place
        while until < len(transcript) and not is_sound(transcript[until]):
            until += 1
        between = transcript[place:until]
        behind = _behind(between) if until < len(transcript) else Behind.END
        sounds.append((symbol, cue(stress, _LONG in between, begins_word, behind)))
        begins_word, stress = False, Stress.NONE
    return sounds


def _behind(between: str) -> Behind:
    """Of the symbols between two sounds: the strongest."""
    if _ENDS.intersection(between):
        return Behind.END
    marks = {symbol for symbol in between if not symbol.isspace() and symbol not in _STRESSES and symbol != _LONG}
    has_space = any(symbol.isspace() for symbol in between)
    if marks - _APOSTROPHES - (frozenset() if has_space else _HYPHENS):
        return Behind.PAUSE
    return Behind.SPACE if has_space else Behind.NOTHING
