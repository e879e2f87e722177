"""The flow: speech tokens in a prompted voice -> mel at 50 frames per second (spec 3.1).

In: tokens and a ``VoicePrompt`` for each of several utterances. Out: one mel per utterance, without the prompt's
frames. Knows nothing of waveforms or of the order in which a stream asks. Key names are the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.config import FlowConfig
from omnitts.models.codec.conformer import FlowEncoder
from omnitts.models.codec.flow_matching import ConditionalFlow
from omnitts.models.codec.prompt import VoicePrompt


class Flow(nn.Module):
    """Encoder, speaker projection and solver. float32 gives the reference's mel; bfloat16 is a faster approximation."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoder.output_size
        self.input_embedding = nn.Embedding(config.vocab_size, config.encoder.input_size)
        self.spk_embed_affine_layer = nn.Linear(config.speaker_size, config.mel_bins)
        self.encoder = FlowEncoder(config.encoder)
        self.encoder_proj = nn.Linear(width, config.mel_bins)
        self.decoder = ConditionalFlow(config)

    @torch.inference_mode()
    def forward(
        self,
        tokens: Sequence[Tensor],
        prompts: Sequence[VoicePrompt],
        *,
        streaming: bool = False,
        finalize: bool = True,
        num_steps: int | None = None,
    ) -> list[Tensor]:
        """Mel (M, F) float32 of each utterance; F = 2 * its tokens, less twice the look-ahead unless ``finalize``.

        tokens: one (n,) integer tensor per utterance, n >= 1, and more than the look-ahead (3) unless ``finalize``; ids
        below 0 count as 0. ``streaming`` hides the future beyond the current chunk, so that mel already
        spoken stays as it was. ``num_steps`` other than the configured 10 trades quality for speed.
        """
        context = 0 if finalize else self.config.encoder.lookahead
        ratio = self.config.encoder.upsample
        device, dtype = self.encoder_proj.weight.device, self.encoder_proj.weight.dtype
        rows = [torch.cat((prompt.tokens, row.to(prompt.tokens))) for row, prompt in zip(tokens, prompts, strict=True)]
        lengths = [len(row) for row in rows]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device).clamp(min=0)  # (B, T)
        hidden = self.encoder(self.input_embedding(ids), lengths, context, streaming)
        mu = self.encoder_proj(hidden)  # (B, F, M)

        speaker = torch.stack([prompt.speaker for prompt in prompts]).to(device)
        speaker = self.spk_embed_affine_layer(F.normalize(speaker.float(), dim=1).to(dtype))  # (B, M)
        given = mu.new_zeros(mu.shape, dtype=torch.float32)
        for row, prompt in enumerate(prompts):
            given[row, : len(prompt.mel)] = prompt.mel.to(device)
        frames = [ratio * (length - context) for length in lengths]
        mel = self.decoder(mu, speaker, given, frames, streaming, num_steps)  # (B, F, M)
        made = [mel[row, len(prompt.mel) : frames[row]].T for row, prompt in enumerate(prompts)]
        return [
            own if prompt.adaptation is None else prompt.adaptation(own)
            for own, prompt in zip(made, prompts, strict=True)
        ]
