"""Forced alignment: labels are found where they were put, and those that do not fit are told."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitts.models.reading.forced_alignment import label_times, lasting_times


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


def scored(log_probs: np.ndarray, labels: list[int], times: tuple[int, ...], lasting: np.ndarray) -> float:
    """The best path with labels beginning at these times, by trying every end of every label's own sound."""
    num_codes, total = len(log_probs), 0.0
    total += log_probs[: times[0], 0].sum()
    for place, (label, begin) in enumerate(zip(labels, times, strict=True)):
        is_last = place == len(labels) - 1
        until = num_codes if is_last else times[place + 1]
        if not is_last:
            total += lasting[place, min(until - begin, lasting.shape[1]) - 1]
        needs_blank = not is_last and labels[place + 1] == label
        most = num_codes if is_last else lasting.shape[1] - needs_blank  # codes of the sound itself
        ends = range(begin + 1, min(until - needs_blank, begin + most) + 1)
        if not ends:
            return -np.inf
        total += max(log_probs[begin:end, label].sum() + log_probs[end:until, 0].sum() for end in ends)
    return float(total)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(2, 4), st.integers(0, 10**6))
def test_the_best_times_are_found(labels: list[int], num_lengths: int, seed: int) -> None:
    """Among all there are: nobody's score is better, and the score is that of the times that are told."""
    rng = np.random.default_rng(seed)
    log_probs = np.log(rng.dirichlet(np.ones(4), 8)).astype(np.float32)
    lasting = (2 * np.log(rng.dirichlet(np.ones(num_lengths), len(labels)))).astype(np.float32)
    found = lasting_times(log_probs, labels, lasting)
    ways = itertools.combinations(range(8), len(labels))
    best = max(scored(log_probs, labels, times, lasting) for times in ways)
    assert found is not None
    times = tuple(int(time) for time in found)
    assert scored(log_probs, labels, times, lasting) == pytest.approx(best, abs=1e-4)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 10**6))
def test_lengths_that_are_all_alike_change_nothing(labels: list[int], seed: int) -> None:
    log_probs = np.log(np.random.default_rng(seed).dirichlet(np.ones(6), 20)).astype(np.float32)
    alike = np.full((len(labels), 20), -1.5, np.float32)
    expected, found = label_times(log_probs, labels), lasting_times(log_probs, labels, alike)
    assert expected is not None
    assert found is not None
    assert expected.tolist() == found.tolist()


def test_a_length_nobody_would_choose_is_not_chosen() -> None:
    """The reader is sure of the first and last label, and hears the second twice, better where it is too late."""
    labels = [1, 2, 3]
    log_probs = heard(labels, [2, 9, 11], 14)
    log_probs[5] = np.log([0.3, 0.01, 0.65, 0.01, 0.02, 0.01])
    usual = np.full((3, 10), np.log(0.01), np.float32)
    usual[:, 1:4] = np.log(0.3)  # two to four codes
    usual[1, 4:7] = np.log(0.3)
    assert label_times(log_probs, labels).tolist() == [2, 9, 11]  # type: ignore[union-attr]
    assert lasting_times(log_probs, labels, 2 * usual).tolist() == [2, 5, 11]  # type: ignore[union-attr]


def test_a_pause_may_be_longer_than_the_longest_length() -> None:
    lasting = np.log(np.full((2, 3), 1 / 3)).astype(np.float32)
    assert lasting_times(heard([1, 2], [1, 17], 20), [1, 2], lasting).tolist() == [1, 17]  # type: ignore[union-attr]


def test_labels_that_do_not_fit_are_told_with_lengths_too() -> None:
    lasting = np.zeros((4, 3), np.float32)
    assert lasting_times(heard([1], [0], 3), [1, 2, 3, 4], lasting) is None
    assert lasting_times(heard([1], [0], 3), [1, 1, 1], lasting) is None
    assert lasting_times(heard([1], [0], 3), [], lasting) is None
