"""Augmentation for the speech tokenizer: another pace, another throat, another level, stretches that cannot be heard.

In and out: (4 K, 128) log-mel of one clip, (2 K, 80) mel, and the (2 K, W) states of a recogniser that heard it. What
changes the sound changes both mels alike; what hides it (masks, noise) changes only what the tokenizer hears; words,
and so the recogniser's states, only change their pace. Chance is torch's global generator.
Sources: arXiv 1904.08779 (masks), Jaitly and Hinton 2013 (frequency warping).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from omnitts.training.store import KINDS

_LEVEL_OF_MEL: Final = 2 * math.log(10)  # log-mel is a quarter of log10 of power, mel the natural log of magnitude


@dataclass(frozen=True)
class Augmentation:
    """Strengths. ``pace`` and ``throat``: largest change as a share; ``level`` in units of log-mel (0.1 is 4 dB)."""

    pace: float = 0.14
    throat: float = 0.1
    level: float = 0.1
    noise: float = 0.03
    time_masks: int = 2
    time_mask_frames: int = 12  # 120 ms
    band_masks: int = 2
    band_mask_bands: int = 14


def augmented(log_mel: Tensor, mel: Tensor, states: Tensor, how: Augmentation) -> tuple[Tensor, Tensor, Tensor]:
    """All features of a clip of another pace: their lengths are again 4, 2 and 2 frames to a code."""
    num_codes = max(1, round(len(mel) // KINDS["mel"].frames * (1 + how.pace * _drawn())))
    throat, level = 1 + how.throat * _drawn(), how.level * _drawn()
    heard = _resized(log_mel, KINDS["log_mel"].frames * num_codes, throat) + level
    wanted = _resized(mel, KINDS["mel"].frames * num_codes, throat) + level * _LEVEL_OF_MEL
    heard = heard + how.noise * torch.randn_like(heard)
    quiet = heard.mean()
    for _ in range(how.time_masks):
        start, stop = _stretch(len(heard), how.time_mask_frames)
        heard[start:stop] = quiet
    for _ in range(how.band_masks):
        start, stop = _stretch(heard.shape[1], how.band_mask_bands)
        heard[:, start:stop] = quiet
    kept = _resized(states, len(wanted), 1.0) if states.shape[1] else states.new_zeros(len(wanted), 0)
    return heard, wanted, kept


def _resized(frames: Tensor, num_frames: int, throat: float) -> Tensor:
    """(T, M) -> (num_frames, M): stretched in time, its bands moved up or down by the share ``throat``."""
    bands = frames.shape[1]
    moved = F.interpolate(frames[None, None], size=(num_frames, round(bands * throat)), mode="bilinear")[0, 0]
    missing = bands - moved.shape[1]
    return moved[:, :bands] if missing <= 0 else torch.cat((moved, moved[:, -1:].expand(-1, missing)), dim=1)


def _drawn() -> float:
    """Evenly from -1 to 1."""
    return 2 * float(torch.rand(())) - 1


def _stretch(length: int, most: int) -> tuple[int, int]:
    size = int(torch.randint(0, min(most, length) + 1, ()))
    start = int(torch.randint(0, length - size + 1, ()))
    return start, start + size
