"""Conditional flow matching: from noise to mel in a few guided Euler steps (spec 3.3).

In: what every frame should sound like (``mu``, speaker, prompt mel) for several utterances, padded at the right. Out:
mel. The noise is one fixed table, the same for every utterance and machine, so equal tokens give equal mel; the
global random state is neither read nor changed.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from omnitts.errors import ModelError
from omnitts.models.codec.attention import valid, visible
from omnitts.models.codec.config import FlowConfig
from omnitts.models.codec.estimator import Estimator


@lru_cache(maxsize=2)
def noise_table(mel_bins: int, frames: int) -> Tensor:
    """(mel_bins, frames) float32 noise every utterance starts from: torch's CPU generator with seed 0."""
    return torch.randn([1, mel_bins, frames], generator=torch.Generator("cpu").manual_seed(0))[0]


def cosine_times(num_steps: int, device: torch.device) -> Tensor:
    """(num_steps + 1,) times from 0 to 1, dense at the beginning: t_k = 1 - cos(k / S * pi / 2)."""
    return 1.0 - torch.cos(torch.linspace(0, 1, num_steps + 1, device=device) * 0.5 * math.pi)


class ConditionalFlow(nn.Module):
    """The solver around the estimator."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.estimator = Estimator(config.estimator)

    def forward(
        self,
        mu: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        lengths: list[int],
        streaming: bool,
        num_steps: int | None = None,
    ) -> Tensor:
        """Solve for the mel of every row.

        mu (B, T, M), speaker (B, M), prompt mel (B, T, M) zero after each row's prompt, lengths in frames with
        T = max(lengths). Returns (B, T, M) float32; row b is valid up to lengths[b] and does not depend on the others.
        ``num_steps`` defaults to the configured 10. Raises ModelError if T exceeds the noise table.
        """
        B, T, M = mu.shape
        if self.config.noise_frames < T:
            raise ModelError(f"{T} mel frames are more than the {self.config.noise_frames} the flow can start from")
        dtype = mu.dtype
        noise = self.config.temperature * noise_table(M, self.config.noise_frames)[:, :T].T.to(mu.device)
        mel = noise.expand(B, T, M).clone()  # (B, T, M) float32, whatever the weights' dtype
        # Rows 0..B-1 are conditional, rows B..2B-1 unconditional; only the first M channels change between steps.
        frames = mel.new_zeros(2 * B, T, 4 * M, dtype=dtype)
        frames[:B, :, M:] = torch.cat((mu, speaker[:, None].expand(B, T, M), prompt.to(dtype)), dim=-1)
        inside = valid(lengths * 2, T, mu.device)
        mask = visible(inside, T, self.config.estimator.chunk if streaming else None, mu.device)
        times = cosine_times(num_steps or self.config.num_steps, mu.device)
        embedded = self.estimator.time_mlp(times[:-1])  # (S, 4C), once for all steps
        guidance = self.config.guidance
        for time, step in zip(embedded, times.diff(), strict=True):
            frames[:B, :, :M] = mel
            frames[B:, :, :M] = mel
            told, untold = self.estimator(frames, time, mask).float().chunk(2)
            mel += step * ((1.0 + guidance) * told - guidance * untold)
        return mel
