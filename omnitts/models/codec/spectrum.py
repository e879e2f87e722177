"""Short-time Fourier transform and its inverse for rows of several lengths, each as if it were alone.

In and out: sound as (N,) rows, spectra as one padded batch. Periodic Hann window, centred frames, reflected borders
(spec 4.1). ``torch.stft`` and ``torch.istft`` are the plain twins: they know only one length per batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.attention import valid


def stft(waves: Sequence[Tensor], n_fft: int, hop: int) -> tuple[Tensor, list[int]]:
    """(N,) waves -> (B, n_fft + 2, S) real bins above imaginary ones, zero after each row; the rows' frame counts."""
    half = n_fft // 2
    bordered = [F.pad(wave[None].float(), (half, half), mode="reflect")[0] for wave in waves]
    steps = [len(wave) // hop + 1 for wave in waves]
    batch = nn.utils.rnn.pad_sequence(bordered, batch_first=True)
    window = torch.hann_window(n_fft, device=batch.device)
    spectrum = torch.stft(batch, n_fft, hop, window=window, center=False, return_complex=True)  # (B, bins, S)
    inside = valid(steps, spectrum.shape[2], batch.device)
    if inside is not None:
        spectrum = spectrum * inside[:, None]
    return torch.cat((spectrum.real, spectrum.imag), dim=1), steps


def inverse_stft(spectrum: Tensor, steps: list[int], n_fft: int, hop: int) -> Tensor:
    """(B, n_fft / 2 + 1, S) complex -> (B, hop * (S - 1)) samples; row b is valid up to hop * (steps[b] - 1)."""
    window = torch.hann_window(n_fft, device=spectrum.device)[:, None]
    frames = torch.fft.irfft(spectrum, n_fft, dim=1) * window  # (B, n_fft, S)
    weight = window.square().expand(1, n_fft, spectrum.shape[2])
    inside = valid(steps, spectrum.shape[2], spectrum.device)
    if inside is not None:  # a frame beyond a row's end neither sounds nor counts in the overlap
        frames, weight = frames * inside[:, None], weight * inside[:, None]
    sound, overlap = _overlap_add(frames, hop), _overlap_add(weight, hop)
    half = n_fft // 2
    return sound[:, half:-half] / overlap[:, half:-half].clamp(min=1e-11)


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """(B, n_fft, S) -> (B, n_fft + hop * (S - 1))"""
    n_fft, S = frames.shape[1:]
    length = n_fft + hop * (S - 1)
    return F.fold(frames, (1, length), (1, n_fft), stride=(1, hop))[:, 0, 0]
