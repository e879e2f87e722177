"""How far a vocoder's sound is from the recording: spectra at several resolutions, mel, and small discriminators.

In: (B, N) waves at 24 kHz. Out: scalar losses. Sources: Yamamoto et al. 2020 (multi-resolution STFT), Kong et al. 2020
(periods, feature matching, least squares), Jang et al. 2021 (discriminators of spectrograms).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.features import vocoder_mel

RESOLUTIONS: Final = (512, 1024, 2048)
PERIODS: Final = (2, 3, 5, 7)
_FEATURE_WEIGHT: Final = 2.0


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """Spectral convergence and log magnitude, the mean over resolutions."""
    total = made.new_zeros(())
    for n_fft in RESOLUTIONS:
        first, second = magnitude(made, n_fft), magnitude(real, n_fft)
        convergence = (second - first).norm() / second.norm().clamp(min=1e-6)
        total = total + convergence + (first.log() - second.log()).abs().mean()
    return total / len(RESOLUTIONS)


def mel_loss(made: Tensor, real: Tensor) -> Tensor:
    """Mean distance of the log-mel the flow makes."""
    return (vocoder_mel(made) - vocoder_mel(real)).abs().mean()


def magnitude(wave: Tensor, n_fft: int) -> Tensor:
    """(B, N) -> (B, bins, frames), never zero."""
    window = _window(n_fft, wave.device)
    spectrum = torch.view_as_real(torch.stft(wave, n_fft, n_fft // 4, window=window, return_complex=True))
    return (spectrum.square().sum(-1) + 1e-7).sqrt()


@lru_cache(maxsize=8)
def _window(n_fft: int, device: torch.device) -> Tensor:
    """Kept: a GPU takes eight kernels to make one, and a step with judges looks through fifteen."""
    with torch.inference_mode(False):
        return torch.hann_window(n_fft, device=device)


class Discriminators(nn.Module):
    """Judges of a wave folded at several periods and of its spectra at several resolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.periods = nn.ModuleList(_judge(channels, (5, 1), (3, 1)) for _ in PERIODS)
        self.spectra = nn.ModuleList(_judge(channels, (3, 9), (2, 2)) for _ in RESOLUTIONS)

    def forward(self, wave: Tensor) -> list[list[Tensor]]:
        """Of each judge the values after every layer; the last are its verdict, 1 for real."""
        return [_layers(judge, image) for judge, image in self._images(wave)]

    def _images(self, wave: Tensor) -> Iterator[tuple[nn.Module, Tensor]]:
        for judge, period in zip(self.periods, PERIODS, strict=True):
            folded = wave[:, : wave.shape[1] // period * period]
            yield judge, folded.view(len(wave), 1, -1, period)
        for judge, n_fft in zip(self.spectra, RESOLUTIONS, strict=True):
            yield judge, magnitude(wave, n_fft).log().transpose(1, 2).unsqueeze(1)


def adversarial_losses(judges: Discriminators, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """(the vocoder's loss, the judges' loss): they can be added and minimised together.

    The vocoder's gradient does not reach the judges' weights, nor the judges' gradient the vocoder.
    """
    B = len(made)
    judged = judges(torch.cat((real, made.detach())))  # both in one pass: half as many kernels for a GPU
    right = [(layers[-1][:B] - 1).square().mean() + layers[-1][B:].square().mean() for layers in judged]
    judges.requires_grad_(False)
    of_made = judges(made)
    judges.requires_grad_(True)
    fooled = torch.stack([(verdict[-1] - 1).square().mean() for verdict in of_made]).mean()
    features = torch.stack(
        [
            (first - second).abs().mean() / second.abs().mean().clamp(min=1e-3)
            for made_layers, judged_layers in zip(of_made, judged, strict=True)
            for first, second in zip(made_layers[:-1], (own[:B].detach() for own in judged_layers[:-1]), strict=True)
        ]
    ).mean()
    return fooled + _FEATURE_WEIGHT * features, torch.stack(right).mean()


def _judge(channels: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.ModuleList:
    widths = [1, channels, 2 * channels, 4 * channels, 4 * channels]
    pads = (kernel[0] // 2, kernel[1] // 2)
    layers = [nn.Conv2d(widths[i], widths[i + 1], kernel, stride, pads) for i in range(len(widths) - 1)]
    return nn.ModuleList([*layers, nn.Conv2d(widths[-1], 1, 3, padding=1)])


def _layers(judge: nn.Module, image: Tensor) -> list[Tensor]:
    values = []
    *inner, last = judge.children()
    for layer in inner:
        image = F.leaky_relu(layer(image), 0.1)
        values.append(image)
    return [*values, last(image)]
