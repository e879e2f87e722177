"""Detokenizer: speech tokens in a voice -> 24 kHz waveforms, whole utterances or one piece of a stream.

In: token rows and ``VoicePrompt``s. Out: (N,) float32 waveforms. Several utterances run at once, and each sounds as
it would alone. Knows the blocks of spec 2.9 and the seams of spec 4.2, not when a stream asks for a piece
(``streaming.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from omnitts.models.codec.features import vocoder_mel
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.hift import Hift, Vocoded
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.utilisation import Utilisation

BLOCK_TOKENS: Final = 6000
"""Longer utterances are cut here (240 s), each block with the full prompt, joined without a cross fade (spec 2.9)."""
SEAM_FRAMES: Final = 8
"""Mel frames that a stream's next piece repeats and fades into (spec 4.2)."""
_BATCH_FRAMES: Final = 32_000
"""Mel frames, prompts and padding included, of one pass through the flow."""
_BATCH_FRAMES_ON_CPU: Final = 1_600
"""More of them leave a CPU's caches and take a tenth to a fifth longer (docs/performance.md)."""


@dataclass(frozen=True)
class Seam:
    """End of a streamed piece: (M, 8) mel, and the 3840 source and speech samples of the same time."""

    mel: Tensor
    source: Tensor
    speech: Tensor


@dataclass(frozen=True)
class _Job:
    """One block of one utterance."""

    row: int
    tokens: Tensor
    prompt: VoicePrompt
    generator: torch.Generator

    @property
    def frames(self) -> int:
        return 2 * (len(self.tokens) + self.prompt.num_tokens)


class Detokenizer:
    """Flow and vocoder together."""

    def __init__(self, flow: Flow, hift: Hift, utilisation: Utilisation | None = None) -> None:
        """``utilisation`` counts the busy seconds of ``flow`` and ``vocoder``."""
        self.flow = flow
        self.hift = hift
        self.utilisation = utilisation or Utilisation()

    @property
    def rate_hz(self) -> int:
        return self.hift.config.rate_hz

    @property
    def batch_frames(self) -> int:
        """Mel frames that go through the flow at once, unless ``speak`` is told another number."""
        return _BATCH_FRAMES_ON_CPU if self.flow.encoder_proj.weight.device.type == "cpu" else _BATCH_FRAMES

    def speak(
        self,
        tokens: Sequence[Tensor],
        prompts: Sequence[VoicePrompt],
        seeds: Sequence[int],
        *,
        num_steps: int | None = None,
        max_batch_frames: int | None = None,
    ) -> list[Tensor]:
        """(N,) waveform on the CPU of each utterance's (n,) tokens: 960 samples per token, none for no token.

        ``seeds`` start each utterance's own noise. ``num_steps``: solver steps, the configured 10 if None.
        """
        waves: list[list[Tensor]] = [[] for _ in tokens]
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        rows = list(zip(tokens, prompts, generators, strict=True))
        # Round by round: an utterance's generator must meet its blocks in order.
        for start in range(0, max((len(row) for row in tokens), default=0), BLOCK_TOKENS):
            jobs = [
                _Job(index, row[start : start + BLOCK_TOKENS], prompt, generator)
                for index, (row, prompt, generator) in enumerate(rows)
                if len(row) > start
            ]
            for batch in _batches(jobs, max_batch_frames or self.batch_frames):
                with self.utilisation.busy("flow"):
                    mels = self.flow([job.tokens for job in batch], [job.prompt for job in batch], num_steps=num_steps)
                    if mels[0].is_cuda:
                        torch.cuda.current_stream().synchronize()
                with self.utilisation.busy("vocoder"):
                    for job, vocoded in zip(batch, self.hift(mels, [job.generator for job in batch]), strict=True):
                        waves[job.row].append(vocoded.wave.cpu())
        return [torch.cat(pieces) if pieces else torch.zeros(0) for pieces in waves]

    def vocode(self, mel: Tensor, seed: int = 0) -> Tensor:
        """(M, F) mel, F >= 1 -> (N,) waveform on the CPU: the vocoder alone."""
        return self.hift([mel], [torch.Generator("cpu").manual_seed(seed)])[0].wave.cpu()

    def revocoded(self, mel: Tensor) -> Tensor:
        """(M, F) mel, F >= 1 -> (M, F) that of the sound which the vocoder makes of it."""
        return vocoder_mel(self.vocode(mel)[None])[0]

    def speak_piece(
        self,
        tokens: Tensor,
        prompt: VoicePrompt,
        generator: torch.Generator,
        *,
        token_offset: int,
        seam: Seam | None,
        streaming: bool,
        finalize: bool,
    ) -> tuple[Tensor, Seam | None]:
        """One piece of a stream: all (n,) tokens since the block began, of which ``token_offset`` are spoken already.

        Returns the (N,) new samples and the seam for the next piece (None if ``finalize``).
        """
        mel = self.flow([tokens], [prompt], streaming=streaming, finalize=finalize)[0]  # (M, F)

        def vocode(frames: Tensor, cached_source: Tensor) -> Vocoded:
            return self.hift([frames], [generator], [cached_source])[0]

        return join_piece(mel[:, 2 * token_offset :], seam, vocode, finalize=finalize)


def join_piece(
    mel: Tensor, seam: Seam | None, vocode: Callable[[Tensor, Tensor], Vocoded], *, finalize: bool
) -> tuple[Tensor, Seam | None]:
    """Vocode (M, F) new mel after the last piece's seam, and fade into it (spec 4.2).

    ``vocode`` turns mel and the cached source (empty if none) into sound.
    """
    if seam is not None:
        mel = torch.cat((seam.mel, mel), dim=1)
    vocoded = vocode(mel, mel.new_zeros(0) if seam is None else seam.source)
    wave = vocoded.wave if seam is None else _faded(vocoded.wave, seam.speech)
    if finalize:
        return wave, None
    held = SEAM_FRAMES * len(wave) // mel.shape[1]
    return wave[:-held], Seam(mel[:, -SEAM_FRAMES:], vocoded.source[-held:], wave[-held:])


def _faded(wave: Tensor, before: Tensor) -> Tensor:
    """``wave`` rising over ``before``, which falls: the halves of a Hamming window (spec trap 18), in float64."""
    n = len(before)
    window = torch.from_numpy(np.hamming(2 * n)).to(wave.device)
    mixed = wave[:n].double() * window[:n] + before.double() * window[n:]
    return torch.cat((mixed.to(wave.dtype), wave[n:]))


def _batches(jobs: Sequence[_Job], max_frames: int) -> Iterator[list[_Job]]:
    """Jobs of similar length together, each batch within ``max_frames`` once padded (or one job alone)."""
    batch: list[_Job] = []
    for job in sorted(jobs, key=lambda job: -job.frames):
        if batch and batch[0].frames * (len(batch) + 1) > max_frames:
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch
