"""HiFT vocoder: mel at 50 frames/s -> 24 kHz waveform, by pitch, a sine source and an inverse STFT (spec 4.1).

In: mels of several utterances and either their sources or one random generator each. Out: their waveforms and
sources. A row's sound does not depend on the rows beside it. Weight norm is already folded (``loading.py``); key
names are otherwise the checkpoint's. Knows nothing of tokens or of how streamed pieces are joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.attention import valid
from omnitts.models.codec.config import HiftConfig
from omnitts.models.codec.layers import WideConv, channels_together
from omnitts.models.codec.source import HarmonicSource, SourceDraws
from omnitts.models.codec.spectrum import inverse_stft, stft

_MAX_MAGNITUDE: Final = 100.0
_FINAL_SLOPE: Final = 0.01
"""The last activation has torch's default slope, not the configured one (spec trap 17)."""


@dataclass(frozen=True)
class Vocoded:
    """One utterance's (N,) waveform in [-limit, limit] and the (N,) source it was made from."""

    wave: Tensor
    source: Tensor


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, with one alpha per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)"""
        alpha = self.alpha[:, None]
        if torch.is_grad_enabled():  # training: what was must stay
            return (hidden + (hidden * alpha).sin().square() / (alpha + 1e-9)).to(hidden.dtype)
        wave = (hidden * alpha).sin_().square_()  # in place: fresh memory costs more here than the arithmetic
        return torch.addcmul(hidden, wave, 1 / (alpha + 1e-9), out=wave)


class ResBlock(nn.Module):
    """Pairs of convolutions, the first of each dilated, each pair added to its input."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            WideConv(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2) for d in dilations
        )
        self.convs2 = nn.ModuleList(WideConv(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, hidden: Tensor, inside: Tensor | None) -> Tensor:
        """(B, C, T) and (B, 1, T) of ones inside each row (None: no padding) -> (B, C, T)."""
        for conv1, conv2, snake1, snake2 in zip(
            self.convs1, self.convs2, self.activations1, self.activations2, strict=True
        ):
            inner = _within(conv1(snake1(hidden)), inside)
            hidden = _within(conv2(snake2(inner)), inside).add_(hidden)
        return hidden


class F0Predictor(nn.Module):
    """Mel -> pitch in Hz per frame."""

    def __init__(self, mel_bins: int, channels: int) -> None:
        super().__init__()
        widths = [mel_bins] + [channels] * 5
        # Odd indices are the ELUs between them, which hold no weights.
        self.condnet = nn.ModuleDict(
            {str(2 * i): nn.Conv1d(widths[i], channels, 3, padding=1) for i in range(len(widths) - 1)}
        )
        self.classifier = nn.Linear(channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, F) -> (B, F), for rows of one length."""
        for conv in self.condnet.values():
            mel = F.elu(conv(mel))
        return self.classifier(mel.transpose(1, 2)).squeeze(-1).abs()


class Hift(nn.Module):
    """The vocoder."""

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        self.config = config
        rates, kernels, C = config.upsample_rates, config.upsample_kernels, config.channels
        bins = config.n_fft + 2  # real and imaginary parts of n_fft / 2 + 1 bins
        widths = [C // 2 ** (i + 1) for i in range(len(rates))]
        self.f0_predictor = F0Predictor(config.mel_bins, config.f0_channels)
        self.m_source = HarmonicSource(config)
        self.conv_pre = nn.Conv1d(config.mel_bins, C, 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(C // 2**i, widths[i], kernels[i], rates[i], padding=(kernels[i] - rates[i]) // 2)
            for i in range(len(rates))
        )
        strides = [math.prod(rates[i + 1 :]) for i in range(len(rates))]
        self.source_downs = nn.ModuleList(
            nn.Conv1d(bins, width, 1)
            if stride == 1
            else nn.Conv1d(bins, width, 2 * stride, stride, padding=stride // 2)
            for width, stride in zip(widths, strides, strict=True)
        )
        self.source_resblocks = nn.ModuleList(
            ResBlock(width, kernel, dilations)
            for width, kernel, dilations in zip(widths, config.source_kernels, config.source_dilations, strict=True)
        )
        self.resblocks = nn.ModuleList(
            ResBlock(width, kernel, dilations)
            for width in widths
            for kernel, dilations in zip(config.block_kernels, config.block_dilations, strict=True)
        )
        self.conv_post = nn.Conv1d(widths[-1], bins, 7, padding=3)

    @torch.inference_mode()
    def forward(
        self,
        mels: Sequence[Tensor],
        draws: Sequence[SourceDraws | torch.Generator],
        cached_sources: Sequence[Tensor] | None = None,
    ) -> list[Vocoded]:
        """Waveform of each (M, F) mel, F >= 1: 480 samples per frame.

        ``draws``: each utterance's noise, or the CPU generator to draw it from. ``cached_sources``: (n,) samples that
        take the place of the beginning of each source (empty: none), as a stream needs at its seams.
        """
        sources = [self.source(self.pitch(mel), drawn) for mel, drawn in zip(mels, draws, strict=True)]
        for source, cached in zip(sources, cached_sources or [], strict=False):
            kept = min(len(cached), len(source))  # a cache longer than the source ends with it (spec trap 36)
            source[:kept] = cached[:kept]
        waves = self.decode(mels, sources)
        return [Vocoded(wave, source) for wave, source in zip(waves, sources, strict=True)]

    @torch.inference_mode()
    def decode(self, mels: Sequence[Tensor], sources: Sequence[Tensor]) -> list[Tensor]:
        """(N,) waveform of each (M, F) mel from a given (N,) source: no randomness is left."""
        mel, frames = self._padded(mels)
        config, dtype = self.config, self.conv_pre.weight.dtype
        samples = [len(source) for source in sources]
        spectrum, steps = stft(sources, config.n_fft, config.hop)  # (B, bins, S)
        spectrum = spectrum.to(dtype)
        hidden = _within(self.conv_pre(mel), self._inside(frames, mel.shape[2], mel))
        per_stage, widths = len(config.block_kernels), list(frames)
        last = len(config.upsample_rates) - 1
        for stage, rate in enumerate(config.upsample_rates):
            hidden = self.ups[stage](F.leaky_relu(hidden, config.slope))
            widths = [width * rate for width in widths]
            if stage == last:
                hidden, widths = F.pad(hidden, (1, 0), mode="reflect"), steps
            inside = self._inside(widths, hidden.shape[2], hidden)
            heard = channels_together(_within(self.source_downs[stage](spectrum), inside))
            hidden = channels_together(_within(hidden, inside)) + self.source_resblocks[stage](heard, inside)
            blocks = self.resblocks[stage * per_stage : (stage + 1) * per_stage]
            hidden = self._mean(blocks, hidden, inside)
        out = self.conv_post(F.leaky_relu(hidden, _FINAL_SLOPE)).float()  # (B, bins, S)
        magnitude, phase = out.chunk(2, dim=1)
        magnitude = magnitude.exp().clamp(max=_MAX_MAGNITUDE)
        waves = inverse_stft(torch.polar(magnitude, phase.sin()), steps, config.n_fft, config.hop)
        return [wave[:N].clamp(-config.limit, config.limit) for wave, N in zip(waves, samples, strict=True)]

    @torch.inference_mode()
    def pitch(self, mel: Tensor) -> Tensor:
        """(M, F) mel -> (F,) float32 Hz.

        One row at a time: the source sums the pitch up over the whole utterance, so that even another order of
        additions is heard; a row must meet the same arithmetic alone and in company.
        """
        return self.f0_predictor(mel.unsqueeze(0).to(self.conv_pre.weight))[0].float()

    @torch.inference_mode()
    def source(self, pitch: Tensor, draws: SourceDraws | torch.Generator) -> Tensor:
        """(N,) float32 excitation of (F,) Hz, N = 480 per frame."""
        return self.m_source(pitch, draws)

    def _padded(self, mels: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        weight = self.conv_pre.weight
        rows = [mel.T for mel in mels]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).transpose(1, 2)
        return padded.to(weight), [len(row) for row in rows]

    @staticmethod
    def _mean(blocks: nn.ModuleList, hidden: Tensor, inside: Tensor | None) -> Tensor:
        first, *others = blocks
        total = first(hidden, inside)
        for block in others:  # summed in place: a stage's frames are too many to keep one copy per block
            total += block(hidden, inside)
        return total / len(blocks)

    @staticmethod
    def _inside(lengths: list[int], width: int, like: Tensor) -> Tensor | None:
        inside = valid(lengths, width, like.device)
        return None if inside is None else inside.unsqueeze(1).to(like.dtype)


def _within(hidden: Tensor, inside: Tensor | None) -> Tensor:
    """Zeros outside each row, so that the next convolution finds there what it finds at the end of a single row."""
    return hidden if inside is None else hidden * inside
