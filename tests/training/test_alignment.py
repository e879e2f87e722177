"""Alignment: bytes follow the labels of their word, tokens their bytes."""

from __future__ import annotations

import numpy as np
import pytest

from omnitts.training.alignment import byte_times, token_at_codes

UNKNOWN = -100


def test_bytes_follow_the_labels_of_their_word() -> None:
    """Two labels a word: `ab` sounds from 3, `cé` (three bytes) from 10; the blank goes with the word behind it."""
    times = byte_times("ab cé", np.array([3, 5, 10, 14], np.float32), lambda word: 2, 20)
    assert len(times) == len("ab cé".encode())
    assert times[:4].tolist() == [3, 5, 10, 10]
    assert times[4:].tolist() == pytest.approx([10 + 4 * 2 / 3, 14], abs=0.01)


def test_unknown_times_are_spread_evenly() -> None:
    assert byte_times("abcd", None, lambda word: 1, 8).tolist() == [0, 2, 4, 6]
    assert byte_times("- -", np.array([5], np.float32), lambda word: 0, 9).tolist() == [0, 3, 6]


def test_each_code_says_the_token_that_began_last() -> None:
    said = token_at_codes([2.0, 4.0], [7, 8], 14, UNKNOWN)
    assert said.tolist() == [*[UNKNOWN] * 2, 7, 7, *[8] * 7, *[UNKNOWN] * 3]
