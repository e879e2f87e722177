"""Forced alignment: when the labels of a text are said, from what a reader reads in codes.

The reader gives the chance of every label at every code; the best path through the text's own labels says when each
begins (CTC, Graves 2006). Good to a code or two. Letters: K codes, L labels of the text, V labels that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatRow = NDArray[np.float32]

_BLANK: Final = 0
_NEVER: Final = -1e9


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
