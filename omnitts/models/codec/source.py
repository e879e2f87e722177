"""Excitation of the vocoder: pitch per frame -> harmonics of a sine plus noise, one channel of sound (spec 4.1).

In: one utterance's pitch and its noise, or a generator to draw it from. Out: (N,) samples. One row at a time, so that
a row's sound depends on its own generator only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.config import HiftConfig


@dataclass(frozen=True)
class SourceDraws:
    """(N, harmonics + 1) standard normal noise of one utterance."""

    noise: Tensor

    @classmethod
    def take(cls, generator: torch.Generator, num_samples: int, num_sines: int) -> SourceDraws:
        """Draw as the reference does, so that its seeds give its sound.

        Beside the noise it draws an initial phase per harmonic and a second noise, and uses neither. The noise is
        filled through a transposed view, which takes the generator's numbers in another order than a plain draw.
        """
        torch.rand(1, num_sines, generator=generator)
        noise = torch.empty(num_sines, num_samples).T.normal_(generator=generator)
        torch.randn(1, num_samples, 1, generator=generator)
        return cls(noise)


class HarmonicSource(nn.Module):
    """Sines at the pitch and its harmonics where the voice sounds, noise everywhere, mixed to one channel."""

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        self.config = config
        self.l_linear = nn.Linear(config.num_harmonics + 1, 1)

    def forward(self, pitch: Tensor, draws: SourceDraws | torch.Generator) -> Tensor:
        """(F,) Hz -> (N,) float32 samples in [-1, 1], N = 480 per frame."""
        waves = self.sines(pitch, draws)
        weight = self.l_linear.weight
        return torch.tanh(self.l_linear(waves.to(weight.dtype)).float()).squeeze(-1)

    def sines(self, pitch: Tensor, draws: SourceDraws | torch.Generator) -> Tensor:
        """(F,) Hz -> (N, harmonics + 1) float32 sines with noise, before they are mixed."""
        config = self.config
        ratio, num_sines = config.samples_per_frame, config.num_harmonics + 1
        if isinstance(draws, torch.Generator):
            draws = SourceDraws.take(draws, len(pitch) * ratio, num_sines)
        harmonics = torch.arange(1, num_sines + 1, device=pitch.device, dtype=torch.float32)
        turns = (pitch[:, None] * harmonics / config.rate_hz) % 1  # (F, H) per sample
        # The running phase grows large before it is interpolated; another order of operations gives another sound.
        phase = torch.cumsum(turns, dim=0) * 2 * math.pi
        phase = F.interpolate((phase.T * ratio).unsqueeze(0), scale_factor=float(ratio), mode="linear")[0].T  # (N, H)
        voiced = (pitch > config.voiced_hz).float().repeat_interleave(ratio)[:, None]  # (N, 1)
        loudness = voiced * config.noise_std + (1 - voiced) * config.sine_amplitude / 3
        return phase.sin() * config.sine_amplitude * voiced + loudness * draws.noise.to(pitch.device)
