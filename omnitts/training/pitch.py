"""Pitch of speech, frame by frame, for the vocoder's pitch predictor: a waveform in, hertz out, 0 where unvoiced.

Normalised cross-correlation of each frame with itself, as in the literature (Talkin 1995; Boersma 1993, who divides by
the window's own correlation), the octave nearest to the clip's median preferred, and a median over five frames.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 500.0
_VOICED: Final = 0.5  # of a perfect repetition
_QUIET: Final = 0.03  # of the clip's loudest frame
_OCTAVE_COST: Final = 0.03


def pitch_of(wave: Tensor, rate_hz: int, hop: int) -> Tensor:
    """(N,) samples -> (N // hop,) float32 Hz, one value per ``hop`` samples, on the device of the samples."""
    frames_wanted = len(wave) // hop
    longest = int(rate_hz / LOWEST_HZ)
    shortest = int(rate_hz / HIGHEST_HZ)
    size = 3 * longest
    padded = F.pad(wave[None], (size // 2, size), mode="constant")[0]
    frames = padded.unfold(0, size, hop)[:frames_wanted]  # (F, size), centred on the hop's first sample
    window = torch.hann_window(size, device=wave.device)
    frames = (frames - frames.mean(dim=1, keepdim=True)) * window
    n_fft = 1 << (2 * size - 1).bit_length()
    correlation = torch.fft.irfft(torch.fft.rfft(frames, n_fft).abs().square(), n_fft)[:, : longest + 2]
    own = torch.fft.irfft(torch.fft.rfft(window, n_fft).abs().square(), n_fft)[: longest + 2]
    energy = correlation[:, :1].clamp(min=1e-9)
    likeness = correlation / energy / (own / own[0]).clamp(min=1e-3)
    lags = torch.arange(longest + 2, device=wave.device)
    inner = likeness[:, 1:-1]
    is_peak = (inner > likeness[:, :-2]) & (inner >= likeness[:, 2:]) & (lags[1:-1] >= shortest)
    octaves = torch.log2(lags[1:-1].clamp(min=1).float() / shortest)
    score = torch.where(is_peak, inner - _OCTAVE_COST * octaves, torch.full_like(inner, -1.0))
    best, place = score.max(dim=1)
    lag = place + 1
    rows = torch.arange(len(lag), device=wave.device)
    before, here, after = (likeness[rows, lag + shift] for shift in (-1, 0, 1))
    bend = (before - 2 * here + after).clamp(max=-1e-6)
    hertz = rate_hz / (lag + 0.5 * (before - after) / bend)
    loud = energy[:, 0].sqrt() > _QUIET * energy.max().sqrt()
    voiced = (best > -1.0) & (here > _VOICED) & loud
    hertz = torch.where(voiced, hertz.clamp(LOWEST_HZ, HIGHEST_HZ), torch.zeros_like(hertz))
    return _without_jumps(hertz)


def _without_jumps(hertz: Tensor) -> Tensor:
    """Median over five frames; a frame that the median calls unvoiced is unvoiced."""
    if not len(hertz):
        return hertz
    return (
        F.pad(hertz[None], (2, 2), mode="replicate")[0].unfold(0, 5, 1).median(dim=1).values
        if len(hertz) > 2
        else hertz
    )
