"""A voice as the codec knows it: speech tokens, mel and speaker vector of one reference clip (spec 2.6).

In: 16 kHz samples. Out: ``VoicePrompt``, computed once per voice; storing it is the engine's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from omnitts.errors import VoiceError
from omnitts.models.codec.adaptation import Adaptation
from omnitts.models.codec.campplus import CamPlus
from omnitts.models.codec.features import CODEC_RATE, FRONT_END_RATE, resample_sinc, vocoder_mel
from omnitts.models.codec.s3_tokenizer import S3Tokenizer

MIN_CLIP_S: Final = 0.1
"""Below this the mel's reflected borders and the tokenizer's first block are longer than the clip."""


@dataclass(frozen=True)
class VoicePrompt:
    """What the flow is conditioned on: (L,) int64 tokens, (2L, M) float32 log-mel, (E,) float32 speaker vector.

    ``adaptation`` is what its mel goes through at the end, for a codec that adapts to its speakers.
    """

    tokens: Tensor
    mel: Tensor
    speaker: Tensor
    adaptation: Adaptation | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class FrontEnd:
    """The two ONNX networks that hear the reference clip."""

    tokenizer: S3Tokenizer
    speaker: CamPlus

    def listen(self, samples: Tensor) -> VoicePrompt:
        """(N,) mono samples at 16 kHz -> the voice's prompt; VoiceError if the clip is too short to hold a token.

        Tokens and mel are cut to their common length: L = min(mel frames // 2, tokens).
        """
        if samples.dim() != 1 or len(samples) < MIN_CLIP_S * FRONT_END_RATE:
            raise VoiceError(
                f"the reference clip is under {MIN_CLIP_S} s long", hint="record 5 to 20 s of clean speech"
            )
        samples = samples.float()
        tokens = self.tokenizer.tokens(samples)
        mel = vocoder_mel(resample_sinc(samples.unsqueeze(0), FRONT_END_RATE, CODEC_RATE))[0].T  # (F, M)
        length = min(len(mel) // 2, len(tokens))
        if length == 0:
            raise VoiceError("the reference clip holds no speech token", hint="record 5 to 20 s of clean speech")
        return VoicePrompt(
            tokens=tokens[:length].to(torch.int64),
            mel=mel[: 2 * length].contiguous(),
            speaker=self.speaker.embed(samples),
        )
