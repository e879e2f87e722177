"""Draws on the device against the plain sampler: the same scores, the right frequencies, no two rows alike."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.draws import CounterDraws, exponential, key_of_seed
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling

K, V = 4, 97
SETTINGS = [
    Sampling(temperature, top_k, top_p, penalty, seed=seed)
    for seed, (temperature, top_k, top_p, penalty) in enumerate(
        itertools.product((0.0, 0.3, 1.0), (0, 1, 20), (1.0, 0.7), (1.0, 1.3))
    )
]


def draws_for(settings: list[Sampling]) -> CounterDraws:
    draws = CounterDraws(num_slots=len(settings), codes_per_row=K, codebook_size=V)
    draws.enter(range(len(settings)), settings)
    return draws


def plain_choice(logits: Tensor, rows: list[RowSampler], step: int) -> Tensor:
    """The plain sampler's scores with the noise of the counter."""
    scores = sampler.process_scores(logits, rows)
    keys = torch.tensor([key_of_seed(row.sampling.seed) for row in rows])[:, None, None]
    noise = exponential(keys, torch.tensor(step), torch.arange(K * V).view(K, V))
    drawn = (scores.softmax(-1) / noise).argmax(-1)
    greedy = torch.tensor([row.sampling.is_greedy for row in rows])
    return torch.where(greedy[:, None], scores.argmax(-1), drawn)


@pytest.mark.parametrize("settings", [SETTINGS, SETTINGS[:12], SETTINGS[-4:]], ids=["all", "greedy", "alike"])
def test_choices_are_the_plain_samplers_with_the_same_noise(settings: list[Sampling]) -> None:
    draws, rows = draws_for(settings), [RowSampler(setting) for setting in settings]
    random = torch.Generator().manual_seed(3)
    for step in range(12):
        logits = 3 * torch.randn(len(settings), K, V, generator=random)
        codes = draws.choose(logits)
        assert torch.equal(codes, plain_choice(logits, rows, step))
        active = torch.rand(len(settings), generator=random) < 0.8
        draws.remember(codes, active)
        for row, kept, is_active in zip(rows, codes.tolist(), active.tolist(), strict=True):
            if is_active:
                row.remember(kept)


def test_codes_come_as_often_as_their_probability_says() -> None:
    """Chi-squared over 20 codes and 20 000 draws, for five seeds: 19 degrees of freedom exceed 50 once in 10^4."""
    logits = torch.randn(1, K, V, generator=torch.Generator().manual_seed(4))
    settings = [Sampling(1.0, 20, seed=seed) for seed in range(5)]
    draws, beside = draws_for(settings), logits.expand(len(settings), K, V)
    drawn = torch.stack([draws.choose(beside) for _ in range(20_000)])
    for codes, own in zip(drawn.unbind(1), settings, strict=True):
        expected = sampler.process_scores(logits, [RowSampler(own)])[0].softmax(-1) * len(codes)
        for codebook in range(K):
            counts = torch.bincount(codes[:, codebook], minlength=V).float()
            possible = expected[codebook] > 0
            assert counts[~possible].sum() == 0
            error = counts[possible] - expected[codebook][possible]
            assert (error.square() / expected[codebook][possible]).sum() < 50


def test_noise_has_the_moments_of_the_exponential_and_no_echo() -> None:
    """Mean 1, variance 1; neighbouring seeds, steps and codes are uncorrelated (4 standard errors)."""
    keys = torch.tensor([key_of_seed(seed) for seed in range(64)])[:, None, None]
    noise = exponential(keys, torch.arange(64)[:, None], torch.arange(256))  # (seed, step, code)
    count = noise.numel()
    assert noise.min() > 0
    assert torch.isfinite(noise).all()
    assert abs(noise.mean() - 1) < 4 / count**0.5
    assert abs(noise.var() - 1) < 4 * (8 / count) ** 0.5
    centred = noise - 1
    for shifted in (centred[1:] * centred[:-1], centred[:, 1:] * centred[:, :-1], centred[..., 1:] * centred[..., :-1]):
        assert abs(shifted.mean()) < 4 / shifted.numel() ** 0.5


def test_a_slot_draws_what_its_seed_says_wherever_it_sits() -> None:
    logits = torch.randn(1, K, V)
    alone, crowd = draws_for([Sampling(1.0, seed=7)]), draws_for([Sampling(1.0, seed=seed) for seed in (5, 6, 7)])
    crowd.move(2, 0)
    want = torch.cat([alone.choose(logits) for _ in range(8)])
    assert torch.equal(want, torch.cat([crowd.choose(logits) for _ in range(8)]))


def test_the_recorded_shape_changes_only_with_the_work() -> None:
    draws = draws_for([Sampling(0.3, 50)])
    before = draws.shape_key
    draws.enter([0], [Sampling(0.5, 50, seed=9)])
    assert draws.shape_key == before
    draws.enter([0], [Sampling(0.5, 50, top_p=0.9)])
    assert draws.shape_key != before
