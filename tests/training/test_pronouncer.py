"""A pronouncer learns which codes a sound has, in whose voice, and how it begins and goes on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnitts.models.reading.pronouncer import TimedSounds
from omnitts.training.pronouncer import PronouncedClip, PronouncerStage, sizes_of
from omnitts.training.recipe import PronouncerRecipe, find_recipe
from tests.models.reading.random_reader import random_text_reader

VOICES = {"low": torch.linspace(-1, 1, 192), "high": torch.linspace(1, -1, 192)}


def clip(speaker: str, labels: list[int], length: int = 4) -> PronouncedClip:
    """Each label lasts ``length`` codes: its own code at first, then the speaker's."""
    times = np.arange(len(labels), dtype=np.float32) * length
    sounds = TimedSounds.of(labels, times, length * len(labels))
    rest = 40 if speaker == "low" else 50
    codes = torch.tensor([code for label in labels for code in (label, *[rest] * (length - 1))])
    return PronouncedClip(speaker, tuple(labels), codes, sounds, VOICES[speaker])


def stage(clips: list[PronouncedClip | None], held_back: list[int]) -> PronouncerStage:
    recipe = find_recipe("toy")
    reader = random_text_reader()
    return PronouncerStage(clips, held_back, reader, sizes_of(recipe, reader), recipe.pronouncer, 0)


def test_it_learns_sounds_and_voices() -> None:
    rng = np.random.default_rng(0)
    clips: list[PronouncedClip | None] = [
        clip(speaker, rng.integers(1, 9, 10).tolist()) for speaker in VOICES for _ in range(8)
    ]
    learning = stage(clips, [])
    optimiser = torch.optim.Adam(learning.networks.parameters(), 1e-2)
    torch.manual_seed(0)
    for step in range(30):
        for batch in learning.batches(step):
            loss = learning.losses(batch, step)["loss"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    learning.networks.eval()
    new = clip("high", [8, 1, 5, 5, 2])
    assert learning.pronouncer.pronounced(new.sounds, new.voice).tolist() == new.codes.tolist()
    other = clip("low", [8, 1, 5, 5, 2])
    assert learning.pronouncer.pronounced(new.sounds, other.voice).tolist() == other.codes.tolist()


def test_clips_without_times_and_held_back_ones_are_not_learnt_from() -> None:
    clips = [clip("low", [1, 2, 3]), None, clip("high", [2, 3, 4]), clip("low", [4, 4])]
    learning = stage(clips, [2])
    assert sorted(place for batch in learning.batches(0) for place in batch) == [0, 3]
    assert learning.validation() == [[2]]


def test_held_back_clips_are_whole() -> None:
    """Twice the same figures, and those of a clip that is longer than what a step learns from."""
    long = clip("low", list(range(1, 27)) * 2)
    learning = stage([long], [0])
    learning.networks.eval().requires_grad_(False)
    first, second = ({name: float(value) for name, value in learning.losses([0], -1).items()} for _ in range(2))
    assert first == second
    logits_of_all = learning.pronouncer(
        long.sounds.labels[None],
        long.sounds.ages[None],
        long.voice[None],
        torch.ones(1, len(long.codes), 1),
    )
    expected = torch.nn.functional.cross_entropy(logits_of_all[0], long.codes)
    assert first["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert 0 < first["misread"] <= 2


def test_a_step_learns_from_stretches_of_a_clip() -> None:
    long = clip("low", list(range(1, 27)) * 2)
    learning = stage([long], [])
    assert PronouncerRecipe(find_recipe("toy").pronouncer.plan).longest_s == 4.0
    assert [stop - start for start, stop in (learning._span(len(long.codes)) for _ in range(20))] == [100] * 20
    assert len({learning._span(len(long.codes)) for _ in range(20)}) > 5
    assert learning._span(30) == (0, 30)
