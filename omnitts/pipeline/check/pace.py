"""Speaking rate: how fast a clip is, and whether a stretch of it runs away or drags. Timed words in, rates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from omnitts.types import Timing

STRETCH_WORDS: Final = 6  # word times from attention are too loose for fewer
_SHORTEST_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """``words_per_s`` and ``letters_per_s`` over the spoken part; ``fastest`` and ``slowest`` are the extreme stretches
    of `STRETCH_WORDS` words as a multiple of the clip's own rate (1.0 for short clips).
    """

    words_per_s: float | None
    letters_per_s: float | None
    fastest: float = 1.0
    slowest: float = 1.0


def measure_pace(words: Sequence[Timing], active_s: float) -> Pace:
    """``active_s`` is the time with sound in it, pauses not counted."""
    if not words or active_s < _SHORTEST_S:
        return Pace(None, None)
    letters = [_letters(word.text) for word in words]
    whole = sum(letters) / active_s
    ratios = []
    for first in range(len(words) - STRETCH_WORDS + 1 if len(words) >= 2 * STRETCH_WORDS else 0):
        stretch = words[first : first + STRETCH_WORDS]
        # The pauses between words belong to the sentence, not to the rate: the words' own times are summed.
        spoken_s = sum(word.end_s - word.start_s for word in stretch)
        ratios.append(sum(letters[first : first + STRETCH_WORDS]) / max(spoken_s, _SHORTEST_S) / max(whole, 1e-9))
    return Pace(
        round(len(words) / active_s, 3),
        round(whole, 3),
        round(max(ratios, default=1.0), 3),
        round(min(ratios, default=1.0), 3),
    )


def _letters(word: str) -> int:
    """Letters and digits; a digit is about four letters when it is said ("7" is "seven")."""
    return sum(4 if c.isdigit() else 1 for c in word if c.isalnum())
