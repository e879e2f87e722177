"""The sampler against transformers' own processors and torch.multinomial, alone and in mixed batches."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from omnitts.errors import UsageError
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling, process_scores, sample

K, V = 4, 200
SETTINGS = [
    Sampling(temperature=0.3, seed=1),
    Sampling(temperature=0.7, top_k=0, top_p=0.8, seed=2),
    Sampling(temperature=1.0, top_k=5, seed=3),
    Sampling(temperature=0.4, top_k=20, top_p=0.95, repetition_penalty=1.3, seed=4),
    Sampling(temperature=0.0, seed=5),
    Sampling(temperature=0.0, repetition_penalty=1.5, seed=6),
    Sampling(temperature=1e-4, top_k=9999, top_p=0.01, seed=7),
    Sampling(temperature=0.5, repetition_penalty=0.9, top_k=1, seed=8),
]


def logits_of(seed: int, num_rows: int = len(SETTINGS)) -> torch.Tensor:
    """Random logits with ties, as bf16 heads give them."""
    random = torch.Generator().manual_seed(seed)
    return (torch.randn(num_rows, K, V, generator=random) * 4).round(decimals=1)


def row_with_history(sampling: Sampling, history: torch.Tensor) -> RowSampler:
    row = RowSampler(sampling)
    for codes in history.T.tolist():
        row.remember(codes)
    return row


def by_transformers(logits: torch.Tensor, sampling: Sampling, history: torch.Tensor) -> torch.Tensor:
    """(K, V) scores as transformers' generate would process them; history (K, t)."""
    scores = logits.clone()
    if sampling.repetition_penalty != 1:
        scores = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(history, scores)
    if not sampling.is_greedy:
        if sampling.temperature != 1:
            scores = TemperatureLogitsWarper(sampling.temperature)(history, scores)
        if sampling.top_k:
            scores = TopKLogitsWarper(sampling.top_k)(history, scores)
        if sampling.top_p < 1:
            scores = TopPLogitsWarper(sampling.top_p)(history, scores)
    return scores


@pytest.mark.parametrize("seed", range(6))
def test_a_mixed_batch_is_processed_row_by_row_as_transformers_does(seed: int) -> None:
    logits = logits_of(seed)
    histories = torch.randint(0, V, (len(SETTINGS), K, 30), generator=torch.Generator().manual_seed(seed))
    rows = [row_with_history(sampling, history) for sampling, history in zip(SETTINGS, histories, strict=True)]
    before = logits.clone()
    scores = process_scores(logits, rows)
    assert torch.equal(logits, before)
    for i, sampling in enumerate(SETTINGS):
        want = by_transformers(logits[i], sampling, histories[i])
        assert torch.equal(scores[i].isinf(), want.isinf()), sampling
        kept = ~want.isinf()
        assert torch.allclose(scores[i][kept], want[kept], rtol=1e-6, atol=1e-6), sampling


def test_draws_are_those_of_one_multinomial_call_per_row() -> None:
    rows = [RowSampler(sampling) for sampling in SETTINGS]
    generators = [torch.Generator().manual_seed(sampling.seed) for sampling in SETTINGS]
    for step in range(20):
        logits = logits_of(step)
        chosen = sample(logits, rows)
        scores = process_scores(logits, rows)
        for i, sampling in enumerate(SETTINGS):
            if sampling.is_greedy:
                want = scores[i].argmax(-1)
            else:
                want = torch.multinomial(scores[i].softmax(-1), 1, generator=generators[i])[:, 0]
            assert torch.equal(chosen[i], want), sampling


def test_draws_follow_the_distribution() -> None:
    row = RowSampler(Sampling(temperature=1.0, top_k=3, seed=0))
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).expand(1, 500, 4)
    chosen = torch.cat([sample(logits, [row]) for _ in range(20)]).flatten()
    shares = torch.bincount(chosen, minlength=4) / len(chosen)
    assert torch.allclose(shares, torch.tensor([0.5, 0.3, 0.15, 0.0]) / 0.95, atol=0.02)


def test_a_row_draws_the_same_whoever_is_beside_it() -> None:
    logits = logits_of(9)
    together = sample(logits, [RowSampler(sampling) for sampling in SETTINGS])
    for i, sampling in enumerate(SETTINGS):
        assert torch.equal(sample(logits[i : i + 1], [RowSampler(sampling)])[0], together[i])


def test_two_samplers_may_share_a_generator() -> None:
    shared = torch.Generator().manual_seed(3)
    rows = [RowSampler(Sampling(seed=0), generator=shared) for _ in range(2)]
    first, second = sample(logits_of(1, 1), rows[:1]), sample(logits_of(1, 1), rows[1:])
    one = RowSampler(Sampling(seed=3))
    assert torch.equal(first, sample(logits_of(1, 1), [one]))
    assert torch.equal(second, sample(logits_of(1, 1), [one]))


def test_trap_22_the_penalty_sees_eos_and_pad_per_codebook() -> None:
    row = RowSampler(Sampling(temperature=0.0, repetition_penalty=2.0))
    row.remember([V - 1, 0, 0, 0])
    scores = process_scores(torch.full((1, K, V), 4.0), [row])[0]
    assert scores[0, V - 1] == 2.0
    assert scores[1, V - 1] == 4.0
    assert scores[1, 0] == 2.0


def test_trap_13_top_k_fifty_is_the_default_and_a_generation_config_changes_it() -> None:
    assert Sampling().top_k == 50
    assert Sampling.from_generation_config({}).top_k == 50
    read = Sampling.from_generation_config({"top_k": 20, "top_p": 0.95, "temperature": 0.6, "do_sample": True}, seed=4)
    assert read == Sampling(temperature=0.3, top_k=20, top_p=0.95, seed=4)


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_k": -2}, {"top_p": 0}, {"top_p": 1.1}, {"repetition_penalty": 0}]
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]
