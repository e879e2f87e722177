"""Alignment: labels are found where they were put, bytes follow their labels, tokens their bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitts.training.alignment import byte_times, label_times, token_at_codes

UNKNOWN = -100


def heard(labels: list[int], at: list[int], num_codes: int, num_labels: int = 6) -> np.ndarray:
    """(K, V) log-probabilities of a reader that is nearly sure: the labels at their codes, blanks elsewhere."""
    probabilities = np.full((num_codes, num_labels), 0.01, np.float32)
    probabilities[:, 0] = 0.9
    for label, code in zip(labels, at, strict=True):
        probabilities[code] = 0.01
        probabilities[code, label] = 0.9
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("labels", "at"),
    [([1, 2, 3], [2, 5, 9]), ([1, 1, 2], [0, 4, 5]), ([4], [7]), ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4])],
    ids=["spread", "a label twice", "one", "without a blank"],
)
def test_labels_are_found_where_they_are(labels: list[int], at: list[int]) -> None:
    times = label_times(heard(labels, at, 10), labels)
    assert times is not None
    assert times.tolist() == at


def test_labels_that_do_not_fit_are_told() -> None:
    assert label_times(heard([1], [0], 3), [1, 2, 3, 4]) is None
    assert label_times(heard([1], [0], 3), [1, 1, 1]) is None  # three of the same need blanks between them
    assert label_times(heard([1], [0], 3), []) is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 10**6))
def test_times_rise_within_the_clip(labels: list[int], seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(20, 6)).astype(np.float32)
    times = label_times(noise, labels)
    assert times is not None
    assert (np.diff(times) > 0).all()
    assert 0 <= times[0] <= times[-1] < 20


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
