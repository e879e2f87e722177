"""Alignment: when each byte of a text is spoken, from when its phonemes are (`models.reading.forced_alignment`).

Within the text, phonemes are shared out over the words, and over the letters of a word evenly. Good to a code or two:
enough to tell which token is being spoken. Letters: K codes, L labels of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from omnitts.models.reading.forced_alignment import FloatRow

_WORD: Final = re.compile(rb"\S+")
_LAST_TOKEN_CODES: Final = 6


def byte_times(text: str, times: FloatRow | None, count: Callable[[str], int], num_codes: int) -> FloatRow:
    """The code at which each UTF-8 byte of ``text`` is spoken; a blank with the word behind it.

    ``times`` (L,) of the text's labels, None when they are not known: then evenly over the clip. ``count`` tells how
    many labels a word has.
    """
    data = text.encode()
    places = np.zeros(len(data), np.float32)  # in labels of single words
    done = last = 0
    for match in _WORD.finditer(data):
        size = count(match.group().decode(errors="ignore"))
        length = match.end() - match.start()
        places[last : match.start()] = done
        places[match.start() : match.end()] = done + size * np.arange(length, dtype=np.float32) / length
        done, last = done + size, match.end()
    places[last:] = done
    if times is None or not done:
        return np.linspace(0, num_codes, len(data), endpoint=False, dtype=np.float32)
    found = np.interp(places * (len(times) / done), np.arange(len(times)), times)
    return found.astype(np.float32)


def token_at_codes(
    starts: Sequence[float] | FloatRow, ids: Sequence[int], num_codes: int, unknown: int
) -> NDArray[np.int64]:
    """Which of the text ids is being spoken at each code, given when each starts; ``unknown`` where none is."""
    codes = np.arange(num_codes)
    places = np.searchsorted(np.asarray(starts, np.float64), codes, side="right") - 1
    silent = (places < 0) | (codes > starts[-1] + _LAST_TOKEN_CODES)
    return np.where(silent, unknown, np.asarray(ids, np.int64)[np.maximum(places, 0)])
