"""Forced alignment: labels are found where they were put, and those that do not fit are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitts.models.reading.forced_alignment import label_times


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
