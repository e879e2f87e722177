"""Acoustic features of a waveform: resampling, Whisper log-mel, vocoder mel, Kaldi filter banks.

In: float samples in [-1, 1], at a stated rate. Out: float32 tensors. Written after spec section 5, without torchaudio
or librosa; knows nothing of models. Files are read at 16 kHz by ``omnitts.audio`` (soxr HQ). Slaney filters and sinc
kernels are built in float64 and rounded once.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

FRONT_END_RATE: Final = 16_000
"""Hz; the speech tokenizer and the speaker encoder hear this rate (spec 2.6)."""
CODEC_RATE: Final = 24_000
"""Hz; the flow's mel and the vocoder work at this rate (spec 4.1)."""
_KALDI_FLOOR: Final = torch.finfo(torch.float32).eps


def resample_sinc(wave: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """(..., N) -> (..., ceil(N * to / from)) by windowed-sinc interpolation (spec 5.1)."""
    if from_hz == to_hz:
        return wave
    divisor = math.gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor
    kernel, width = sinc_kernel(step, phases)
    lead, N = wave.shape[:-1], wave.shape[-1]
    padded = F.pad(wave.reshape(-1, 1, N), (width, width + step))
    out = F.conv1d(padded, kernel.to(wave), stride=step)  # (B, phases, blocks)
    out = out.transpose(1, 2).reshape(*lead, -1)
    return out[..., : math.ceil(phases * N / step)]


@lru_cache(maxsize=16)
def sinc_kernel(step: int, phases: int, zeros: int = 6, rolloff: float = 0.99) -> tuple[Tensor, int]:
    """(phases, 1, 2 * width + step) float32 kernel of a Hann-windowed sinc for a reduced rate pair, and its width."""
    cutoff = min(step, phases) * rolloff
    width = math.ceil(zeros * step / cutoff)
    taps = torch.arange(-width, width + step, dtype=torch.float64) / step
    shifts = torch.arange(0, -phases, -1, dtype=torch.float64) / phases
    time = ((shifts[:, None] + taps) * cutoff).clamp(-zeros, zeros)
    window = torch.cos(time * math.pi / zeros / 2).square()
    kernel = torch.sinc(time) * window * (cutoff / step)
    return kernel.unsqueeze(1).float(), width


def whisper_log_mel(wave: Tensor, num_mels: int = 128) -> Tensor:
    """(..., N) at 16 kHz -> (..., num_mels, N // 160): Whisper's log-mel, not padded to 30 s (spec 5.2).

    The values are scaled by the loudest frame of the whole input, so a block must be handed over as one.
    """
    window = torch.hann_window(400, device=wave.device)
    spectrum = torch.stft(wave, 400, 160, window=window, return_complex=True)[..., :-1]
    power = spectrum.abs().square()
    mel = _filters_on(wave.device, 16_000, 400, num_mels) @ power
    log = mel.clamp(min=1e-10).log10()
    loudest = log.amax(dim=(-2, -1), keepdim=True)
    return (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0


def vocoder_mel(wave: Tensor, num_mels: int = 80) -> Tensor:
    """(B, N) at 24 kHz -> (B, num_mels, N // 480): natural-log mel at 50 frames/s (spec 5.3)."""
    n_fft, hop = 1920, 480
    margin = (n_fft - hop) // 2
    padded = F.pad(wave.unsqueeze(1), (margin, margin), mode="reflect").squeeze(1)
    window = torch.hann_window(n_fft, device=wave.device)
    spectrum = torch.view_as_real(torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True))
    magnitude = (spectrum.square().sum(-1) + 1e-9).sqrt()
    mel = _filters_on(wave.device, CODEC_RATE, n_fft, num_mels) @ magnitude
    return mel.clamp(min=1e-5).log()


def kaldi_fbank(wave: Tensor, num_mels: int = 80) -> Tensor:
    """(N,) at 16 kHz -> (T, num_mels) log filter banks, 25 ms every 10 ms, no dither (spec 5.4); T is 0 under 25 ms."""
    length, hop, n_fft = 400, 160, 512
    if wave.shape[-1] < length:
        return wave.new_zeros(0, num_mels)
    frames = wave.unfold(0, length, hop)  # (T, 400)
    frames = frames - frames.mean(dim=1, keepdim=True)
    previous = F.pad(frames.unsqueeze(0), (1, 0), mode="replicate").squeeze(0)[:, :-1]
    frames = frames - 0.97 * previous
    frames = frames * torch.hann_window(length, periodic=False, device=wave.device).pow(0.85)
    power = torch.fft.rfft(frames, n_fft).abs().pow(2.0)  # (T, 257)
    mel = power @ _kaldi_filters(num_mels, n_fft).to(wave.device).T
    return mel.clamp(min=_KALDI_FLOOR).log()


@lru_cache(maxsize=16)
def slaney_filters(rate_hz: int, n_fft: int, num_mels: int, low_hz: float, high_hz: float) -> Tensor:
    """(num_mels, n_fft // 2 + 1) triangles of equal area on Slaney's scale: linear to 1 kHz, logarithmic above."""
    bins = torch.linspace(0, rate_hz / 2, n_fft // 2 + 1, dtype=torch.float64)
    low, high = _hz_to_slaney(low_hz), _hz_to_slaney(high_hz)
    edges = _slaney_to_hz(torch.linspace(low, high, num_mels + 2, dtype=torch.float64))
    widths = edges.diff()
    slopes = edges[:, None] - bins  # (num_mels + 2, bins)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


@lru_cache(maxsize=16)
def _filters_on(device: torch.device, rate_hz: int, n_fft: int, num_mels: int) -> Tensor:
    """`slaney_filters` up to 8 kHz, sent to a device once: on a GPU every loss of a training step would wait for it."""
    with torch.inference_mode(False):  # what inference was the first to ask for must serve learning too
        return slaney_filters(rate_hz, n_fft, num_mels, 0.0, 8000.0).to(device)


@lru_cache(maxsize=4)
def _kaldi_filters(num_mels: int, n_fft: int) -> Tensor:
    """(num_mels, n_fft // 2 + 1) triangles straight in Kaldi's mel scale, 20 Hz to 8 kHz; the Nyquist bin is empty.

    In float32 throughout, as the extractor the speaker encoder was trained with: in nearly silent frames the rounding
    shows.
    """
    low, high = (1127.0 * math.log(1.0 + hz / 700.0) for hz in (20.0, 8000.0))
    step = (high - low) / (num_mels + 1)
    left = low + torch.arange(num_mels)[:, None] * step
    centre, right = left + step, left + 2 * step
    hz = torch.arange(n_fft // 2) * (FRONT_END_RATE / n_fft)
    mel = 1127.0 * (1.0 + hz / 700.0).log()
    triangles = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp(min=0)
    return F.pad(triangles, (0, 1))


_KNEE_HZ: Final = 1000.0
_LINEAR_STEP_HZ: Final = 200.0 / 3
_LOG_STEP: Final = math.log(6.4) / 27


def _hz_to_slaney(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _LINEAR_STEP_HZ
    return _KNEE_HZ / _LINEAR_STEP_HZ + math.log(hz / _KNEE_HZ) / _LOG_STEP


def _slaney_to_hz(mel: Tensor) -> Tensor:
    knee = _KNEE_HZ / _LINEAR_STEP_HZ
    return torch.where(mel < knee, mel * _LINEAR_STEP_HZ, _KNEE_HZ * torch.exp((mel - knee) * _LOG_STEP))
