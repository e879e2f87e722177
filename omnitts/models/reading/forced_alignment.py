"""Forced alignment: when the labels of a text are said, from what a reader reads in codes.

The reader gives the chance of every label at every code; the best path through the text's own labels says when each
begins (CTC, Graves 2006). Good to a code or two. Where somebody knows how long sounds last, a semi-Markov model weighs
that as well (Ostendorf et al. 1996): CTC alone counts a sound of half a second as likely as one of a tenth.
Letters: K codes, L labels of the text, V labels that there are, N lengths that are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatRow = NDArray[np.float32]
FloatTable = NDArray[np.float32]

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


def lasting_times(log_probs: FloatTable, labels: Sequence[int], lasting: FloatTable) -> FloatRow | None:
    """As `label_times`, on the best path by what is read and by how long sounds last together.

    ``lasting`` (L, N): log-weights of 1, 2 ... codes from the beginning of a label to that of the next, the last of
    them also that of all that are longer; N is 2 or more. Those of the last label count nothing: nothing follows it.
    """
    if not labels:
        return None
    K = len(log_probs)
    blanks = _summed(log_probs[:, _BLANK])
    arrived = blanks.copy()  # (K + 1,) score of all before a code at which the label begins
    begins = np.zeros((len(labels), K + 1), np.int64)  # where the label before began, for each place of this one
    for place, (label, following) in enumerate(pairwise(labels)):
        said = _summed(log_probs[:, label])
        arrived, begins[place + 1] = _next_arrivals(arrived, said, blanks, lasting[place], label == following)
    said = _summed(log_probs[:, labels[-1]])
    ended = np.append(np.maximum.accumulate((said - blanks)[:0:-1])[::-1], _NEVER)  # of ending the last one's own sound
    at = int(np.argmax(arrived - said + ended))
    if arrived[at] + ended[at] <= _NEVER / 2:
        return None
    times = np.zeros(len(labels), np.float32)
    for place in range(len(labels) - 1, -1, -1):
        times[place] = at
        at = int(begins[place, at])
    return times


def _next_arrivals(
    arrived: NDArray[np.float64],
    said: NDArray[np.float64],
    blanks: NDArray[np.float64],
    lasting: FloatRow,
    needs_blank: bool,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(K + 1,) scores of the next label's beginning at each code, and where this one began for it.

    A label sounds for some codes, at least one and at most N, and blanks fill what is left, with ``needs_blank`` at
    least one.
    """
    K, N = len(arrived) - 1, len(lasting)
    over_blanks = said - blanks
    gains = np.full((K + 1, N), _NEVER)  # of ending the label's own sound d + 1 codes behind its beginning
    for d in range(min(N, K)):
        gains[: K - d, d] = over_blanks[d + 1 :]
    gains = np.maximum.accumulate(gains, axis=1)  # of ending it by then
    if needs_blank:
        gains = np.concatenate((np.full((K + 1, 1), _NEVER), gains[:, :-1]), axis=1)
    begun = arrived - said
    best, origins = np.full(K + 1, _NEVER), np.zeros(K + 1, np.int64)
    for d in range(min(N, K)):
        scores = begun[: K - d] + gains[: K - d, d] + lasting[d]
        if d == N - 1:  # that long, or longer
            longest = np.maximum.accumulate(scores)
            firsts = np.maximum.accumulate(np.where(scores >= longest, np.arange(len(scores)), 0))
        else:
            longest, firsts = scores, np.arange(len(scores))
        is_better = longest > best[d + 1 :]
        best[d + 1 :][is_better] = longest[is_better]
        origins[d + 1 :][is_better] = firsts[is_better]
    return best + blanks, origins


def _summed(scores: FloatRow) -> NDArray[np.float64]:
    """(K + 1,) sums of all before each code."""
    return np.concatenate(([0.0], np.cumsum(scores, dtype=np.float64)))
