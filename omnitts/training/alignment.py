"""Alignment: when each byte of a text is spoken, from what the trained tokenizer reads in a clip.

The tokenizer's spelling reader gives the probability of every phoneme at every code; the best path through the text's
own phonemes says when each begins (CTC forced alignment, Graves 2006). Within the text, phonemes are shared out over
the words, and over the letters of a word evenly. Good to a code or two: enough to tell which token is being spoken.
Letters: K codes, L labels of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatRow = NDArray[np.float32]

_WORD: Final = re.compile(rb"\S+")
_BLANK: Final = 0
_NEVER: Final = -1e9
_LAST_TOKEN_CODES: Final = 6


def label_times(log_probs: NDArray[np.float32], labels: Sequence[int]) -> FloatRow | None:
    """(L,) codes at which the labels begin on the best path; None when they do not fit into the (K, V) codes."""
    if not labels:
        return None
    K = len(log_probs)
    states = np.full(2 * len(labels) + 1, _BLANK)
    states[1::2] = labels
    can_skip = np.zeros(len(states), bool)  # from one label to the next without a blank, unless they are the same
    can_skip[3::2] = states[3::2] != states[1:-2:2]
    room = np.full(len(states) + 2, _NEVER, np.float32)  # two more in front: from where nothing comes
    scores = room[2:]
    scores[:2] = log_probs[0, states[:2]]
    heard = log_probs[:, states]
    steps = np.zeros((K, len(states)), np.int8)
    for code in range(1, K):
        one, two = room[1:-1], np.where(can_skip, room[:-2], _NEVER)
        best = np.maximum(scores, one)
        steps[code] = one > scores
        steps[code][two > best] = 2
        scores[:] = np.maximum(best, two) + heard[code]
    state = len(states) - 1 - int(scores[-2] > scores[-1])
    if scores[state] <= _NEVER / 2:
        return None
    times = np.zeros(len(labels), np.float32)
    for code in range(K - 1, -1, -1):
        if state % 2:
            times[state // 2] = code
        state -= int(steps[code, state])
    return times


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
