"""A duration model gives chances of lengths; padding changes none; its file holds all that it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.reading.durations import DURATIONS, NUM_LENGTHS, Durations, lengths_of, pace_of
from omnitts.models.reading.labels import Sounds
from tests.models.reading.random_durations import random_durations
from tests.models.reading.random_reader import random_text_reader

SOUNDS = Sounds((1, 3, 2, 2, 7), (0, 5, 9, 40, 3))
VOICE = torch.linspace(-1, 1, 8)


def test_chances_of_all_lengths_are_one() -> None:
    found = random_durations(random_text_reader()).of(SOUNDS, VOICE, 2.0)
    assert found.shape == (5, NUM_LENGTHS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-5)


def test_sounds_cues_voice_and_pace_all_count() -> None:
    durations = random_durations(random_text_reader())
    told = durations.of(SOUNDS, VOICE, 2.0)
    for other in (
        durations.of(Sounds((1, 3, 2, 2, 8), SOUNDS.cues), VOICE, 2.0),
        durations.of(Sounds(SOUNDS.labels, (1, 5, 9, 40, 3)), VOICE, 2.0),
        durations.of(SOUNDS, -VOICE, 2.0),
        durations.of(SOUNDS, VOICE, 2.5),
    ):
        assert np.abs(other - told).max() > 1e-3
    np.testing.assert_allclose(durations.of(SOUNDS, 5 * VOICE, 2.0), told, atol=1e-5)  # a voice is a direction


def test_a_row_does_not_hang_on_those_beside_it() -> None:
    durations = random_durations(random_text_reader())
    labels = torch.tensor([[1, 3, 2, 2, 7], [4, 9, 0, 0, 0]])
    cues = torch.tensor([[0, 5, 9, 40, 3], [2, 3, 0, 0, 0]])
    inside = torch.tensor([[1.0] * 5, [1.0] * 2 + [0.0] * 3])[..., None]
    both = durations(labels, cues, torch.stack((VOICE, -VOICE)), torch.tensor([2.0, 3.0]), inside).log_softmax(-1)
    np.testing.assert_allclose(both[0], durations.of(SOUNDS, VOICE, 2.0), atol=1e-5)
    np.testing.assert_allclose(both[1, :2], durations.of(Sounds((4, 9), (2, 3)), -VOICE, 3.0), atol=1e-5)


def test_what_is_saved_is_opened(tmp_path: Path) -> None:
    saved = random_durations(random_text_reader())
    saved.save(tmp_path / DURATIONS)
    opened = Durations.open(tmp_path / DURATIONS)
    assert opened.sizes == saved.sizes
    np.testing.assert_allclose(opened.of(SOUNDS, VOICE, 2.0), saved.of(SOUNDS, VOICE, 2.0), atol=0.05)  # float16


@pytest.mark.parametrize("kept", [0, 100, -50])
def test_a_damaged_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / DURATIONS
    random_durations(random_text_reader()).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match="duration model cannot be opened") as caught:
        Durations.open(path)
    assert caught.value.where == str(path)
    assert "omnitts train durations" in (caught.value.hint or "")


def test_lengths_and_pace_of_times() -> None:
    times = np.array([3, 4, 7, 40], np.float32)
    assert lengths_of(times).tolist() == [1, 3, NUM_LENGTHS]
    assert pace_of(times) == pytest.approx((1 + 3 + NUM_LENGTHS) / 3)
    assert lengths_of(times[:1]).tolist() == []
    assert 1 < pace_of(times[:1]) < 4
