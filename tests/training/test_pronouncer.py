"""A pronouncer learns which codes a sound has, in whose voice, and how it begins and goes on."""

from __future__ import annotations

from dataclasses import replace

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
    return PronouncedClip(speaker, codes, sounds, VOICES[speaker])


def stage(
    learnt: list[PronouncedClip], held_back: list[PronouncedClip], spelling_weight: float = 0.0
) -> PronouncerStage:
    recipe = find_recipe("toy")
    reader = random_text_reader()
    own = replace(recipe.pronouncer, spelling_weight=spelling_weight)
    return PronouncerStage(learnt, held_back, reader, sizes_of(recipe, reader), own, 0)


def test_it_learns_sounds_and_voices() -> None:
    rng = np.random.default_rng(0)
    clips: list[PronouncedClip] = [
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


def test_held_back_clips_are_not_learnt_from() -> None:
    learning = stage([clip("low", [1, 2, 3]), clip("low", [4, 4])], [clip("high", [2, 3, 4])])
    assert sorted(place for batch in learning.batches(0) for place in batch) == [0, 1]
    assert learning.validation() == [[2]]


def test_a_batch_of_silence_has_nothing_to_spell() -> None:
    """A stretch in which no sound begins; other tests have stretches in which some do."""
    learning = stage([clip("low", [3], length=200)], [], spelling_weight=1.0)
    torch.manual_seed(0)
    losses = [learning.losses([0], step) for step in range(4)]
    assert all(torch.isfinite(found["loss"]) for found in losses)
    assert not all("spelling" in found for found in losses)


def test_held_back_clips_are_whole() -> None:
    """Twice the same figures, and those of a clip that is longer than what a step learns from."""
    long = clip("low", list(range(1, 27)) * 2)
    learning = stage([], [long])
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


def test_what_it_spells_counts_where_the_recipe_says_so() -> None:
    clips: list[PronouncedClip] = [clip("low", [1, 2, 3, 4]), clip("high", [2, 6])]
    plain, spelt = stage(clips, []), stage(clips, [], spelling_weight=0.5)
    spelt.networks.load_state_dict(plain.networks.state_dict())
    torch.manual_seed(0)
    without = plain.losses([0, 1], 0)
    torch.manual_seed(0)
    with_it = spelt.losses([0, 1], 0)
    assert "spelling" not in without
    parts = (without["loss"] + 0.5 * with_it["spelling"]).detach()
    assert float(with_it["loss"].detach()) == pytest.approx(float(parts), rel=1e-5)
    with_it["spelling"].backward()
    assert float(spelt.pronouncer.last.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_a_stretch_spells_the_sounds_that_begin_in_it() -> None:
    sounds = TimedSounds.of([5, 6, 6, 7], np.array([2, 4, 5, 9], np.float32), 12)
    assert sounds.begun().tolist() == [5, 6, 6, 7]
    assert sounds.part(3, 9).begun().tolist() == [6, 6]
    assert sounds.part(0, 2).begun().tolist() == []
