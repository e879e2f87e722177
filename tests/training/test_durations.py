"""The duration model learns how long sounds last, after their cues, whose voice it is and how fast the take is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnitts.models.reading.durations import NUM_LENGTHS, DurationsSizes
from omnitts.models.reading.labels import Sounds
from omnitts.training.durations import DurationsStage, TimedText, trained_durations
from omnitts.training.recipe import find_recipe
from omnitts.training.run_folder import RunFolder

VOICES = {"brisk": torch.linspace(-1, 1, 16), "slow": torch.linspace(1, -1, 16)}


def text(speaker: str, labels: list[int], cues: list[int], stretch: int = 1) -> TimedText:
    """A label lasts as many codes as its number, one more with a cue, one more where it is said slowly."""
    slower = int(speaker == "slow")
    lengths = [(label + bool(cue) + slower) * stretch for label, cue in zip(labels, cues, strict=True)]
    times = np.concatenate(([2], 2 + np.cumsum(lengths[:-1]))).astype(np.float32)
    return TimedText(speaker, Sounds(tuple(labels), tuple(cues)), times, VOICES[speaker])


def texts(count: int, seed: int, stretches: tuple[int, ...] = (1,)) -> list[TimedText]:
    rng = np.random.default_rng(seed)
    return [
        text(name, rng.integers(1, 4, 12).tolist(), rng.integers(0, 2, 12).tolist(), stretches[i % len(stretches)])
        for i in range(count)
        for name in VOICES
    ]


def stage(learnt: list[TimedText], held_back: list[TimedText]) -> DurationsStage:
    recipe = find_recipe("toy")
    return DurationsStage(learnt, held_back, DurationsSizes(9, 16, 32, 1), recipe.durations, 0)


def learn(learning: DurationsStage, passes: int) -> None:
    optimiser = torch.optim.Adam(learning.networks.parameters(), 1e-2)
    torch.manual_seed(0)
    for step in range(passes):
        for batch in learning.batches(step):
            optimiser.zero_grad()
            learning.losses(batch, step)["loss"].backward()
            optimiser.step()
    learning.networks.eval()


def test_it_learns_lengths_of_sounds_cues_voices_and_paces() -> None:
    learning = stage(texts(24, 0, (1, 2)), [])
    learn(learning, 40)
    for speaker, stretch in (("brisk", 1), ("slow", 1), ("brisk", 2), ("slow", 2)):
        new = text(speaker, [3, 1, 2, 1, 3, 2], [0, 1, 1, 0, 1, 0], stretch)
        pace = float(np.diff(new.times).mean())
        found = learning.durations.of(new.sounds, new.voice, pace)[:-1].argmax(axis=1) + 1
        assert found.tolist() == np.diff(new.times).tolist()


def test_held_back_texts_are_not_learnt_from_and_nothing_follows_the_last_sound() -> None:
    learnt, held_back = texts(2, 1), texts(1, 2)
    learning = stage(learnt, held_back)
    assert sorted(place for batch in learning.batches(0) for place in batch) == [0, 1, 2, 3]
    assert sorted(place for batch in learning.validation() for place in batch) == [4, 5]
    learning.networks.eval()
    found = float(learning.losses([4, 5], -1)["loss"].detach())
    chances = []
    for own in held_back:
        lengths = np.diff(own.times).astype(int)
        told = learning.durations.of(own.sounds, own.voice, float(lengths.mean()))
        chances += [told[place, length - 1] for place, length in enumerate(lengths)]
    assert len(chances) == 22
    assert found == pytest.approx(-np.mean(chances), rel=1e-4)


def test_a_pause_is_the_longest_length() -> None:
    long = text("brisk", [2, 2], [0, 0])
    long = TimedText(long.speaker, long.sounds, np.array([0, 300], np.float32), long.voice)
    learning = stage([long], [])
    learning.networks.eval()
    told = learning.durations.of(long.sounds, long.voice, float(NUM_LENGTHS))
    assert float(learning.losses([0], -1)["loss"].detach()) == pytest.approx(-told[0, -1], rel=1e-4)


def test_the_stage_leaves_a_model_behind(toy_run: RunFolder) -> None:
    found = trained_durations(toy_run)
    assert not found.training
    told = found.of(Sounds((1, 2), (0, 0)), torch.ones(192), 2.0)
    assert np.isfinite(told).all()
