"""Augmentation: lengths stay whole codes, both mels move alike, masks hide only what is heard."""

from __future__ import annotations

import pytest
import torch

from omnitts.training.augment import Augmentation, augmented

STILL = Augmentation(pace=0, throat=0, level=0, noise=0, time_masks=0, band_masks=0)


def clip(num_codes: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(frames * num_codes, width, generator=generator) for frames, width in ((4, 128), (2, 80), (2, 6))
    )  # type: ignore[return-value]


def test_without_strength_nothing_changes() -> None:
    for before, after in zip(clip(), augmented(*clip(), STILL), strict=True):
        assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_lengths_are_whole_codes_of_one_number(seed: int) -> None:
    torch.manual_seed(seed)
    log_mel, mel, states = augmented(*clip(), Augmentation())
    num_codes = len(mel) // 2
    assert (len(log_mel), len(mel), len(states)) == (4 * num_codes, 2 * num_codes, 2 * num_codes)
    assert 17 <= num_codes <= 23
    assert (log_mel.shape[1], mel.shape[1], states.shape[1]) == (128, 80, 6)


def test_level_moves_both_mels_by_the_same_decibels() -> None:
    torch.manual_seed(1)
    log_mel, mel, states = clip()
    heard, wanted, kept = augmented(log_mel, mel, states, Augmentation(0, 0, 0.1, 0, 0, 0, 0, 0))
    power_db = 40 * (heard - log_mel).mean()  # log-mel is a quarter of log10 of power
    magnitude_db = 20 * (wanted - mel).mean() / torch.log(torch.tensor(10.0))
    assert abs(float(power_db)) > 0.1
    assert float(power_db) == pytest.approx(float(magnitude_db), rel=1e-3)
    assert torch.allclose(kept, states, atol=1e-6)


def test_masks_hide_nothing_that_is_to_be_rebuilt() -> None:
    torch.manual_seed(2)
    log_mel, mel, states = clip()
    heard, wanted, kept = augmented(log_mel, mel, states, Augmentation(0, 0, 0, 0, 2, 30, 2, 30))
    assert not torch.allclose(heard, log_mel)
    assert torch.allclose(wanted, mel, atol=1e-6)
    assert torch.allclose(kept, states, atol=1e-6)


def test_another_throat_moves_the_bands_alike() -> None:
    """A single bright band at the same share of both scales stays at the same share."""
    torch.manual_seed(3)
    log_mel, mel, states = torch.zeros(80, 128), torch.zeros(40, 80), torch.zeros(40, 6)
    log_mel[:, 64], mel[:, 40] = 1.0, 1.0
    heard, wanted, _ = augmented(log_mel, mel, states, Augmentation(0, 0.3, 0, 0, 0, 0, 0, 0))
    places = [float((row.mean(0) * torch.arange(row.shape[1])).sum() / row.mean(0).sum()) / row.shape[1]
              for row in (heard, wanted)]  # fmt: skip
    assert abs(places[0] - 0.5) > 0.02
    assert places[0] == pytest.approx(places[1], abs=0.02)
