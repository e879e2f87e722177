"""The estimator begins with nearly the best straight-line guess while the way is young."""

from __future__ import annotations

import pytest
import torch

from omnitts.models.codec.config import EstimatorConfig
from omnitts.models.codec.estimator import Estimator
from omnitts.training.flow_start import begin_near_straight

MELS = 40


def fresh(channels: int) -> Estimator:
    torch.manual_seed(0)
    return Estimator(
        EstimatorConfig(
            in_channels=4 * MELS, out_channels=MELS, channels=channels, num_heads=2, head_dim=8, num_blocks=1,
            num_mid_blocks=2,
        )
    )  # fmt: skip


def estimator(channels: int) -> Estimator:
    made = fresh(channels)
    begin_near_straight(made)
    return made


@torch.no_grad()
def guess(made: Estimator, noise: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
    frames = torch.cat((noise, mu, torch.zeros_like(mu), torch.zeros_like(mu)), dim=-1)
    result: torch.Tensor = made(frames, made.time_mlp(torch.tensor([0.05])).unsqueeze(1), None)
    return result


def test_it_is_near_mu_less_noise() -> None:
    made = estimator(channels=120)
    noise = torch.randn(1, 40, MELS, generator=torch.Generator().manual_seed(1))
    mu = -5 + 1.5 * torch.randn(1, 40, MELS, generator=torch.Generator().manual_seed(2))
    straight = 1.2 * (mu + 5) - noise - 5
    off = (guess(made, noise, mu) - straight).square().mean()
    assert float(off) < 0.15 * float(straight.var())


def test_every_number_of_noise_has_its_own_way() -> None:
    made = estimator(channels=80)
    mu = torch.full((1, 1, MELS), -5.0)
    still = guess(made, torch.zeros(1, 1, MELS), mu)
    for band in range(MELS):
        noise = torch.zeros(1, 1, MELS)
        noise[..., band] = 1.0
        moved = (guess(made, noise, mu) - still)[0, 0]
        assert float(moved[band]) == pytest.approx(-1, abs=0.35)
        assert int(moved.abs().argmax()) == band


def test_a_narrow_one_is_left_alone() -> None:
    before, after = fresh(channels=79).state_dict(), estimator(channels=79).state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())
