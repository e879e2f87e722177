"""Enrolment: a voice's prompt is completed by what its own reference clip tells of flow and vocoder.

Both and a `VoicePrompt` in, the prompt with its adaptation out. The clip's tokens are spoken again piece by piece, each
piece prompted by its neighbour as any text would be, and set beside what was recorded; so is what the vocoder makes of
the recording itself. What each of the two gets wrong is undone before the vocoder speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from omnitts.models.codec.adaptation import fitted
from omnitts.models.codec.prompt import VoicePrompt

Speak = Callable[[Sequence[Tensor], Sequence[VoicePrompt]], Sequence[Tensor]]
"""Tokens and prompts to (M, F) mels, as `flow.Flow` does."""
Vocode = Callable[[Tensor], Tensor]
"""(M, F) mel to that of the sound which a vocoder makes of it."""

_PIECE_TOKENS: Final = 75  # as long as the prompts that an engine gives the flow
_FEWEST_TOKENS: Final = 50
_MOST_TOKENS: Final = 375  # of the end of a longer clip: more of them cost time and teach little
_AT_ONCE: Final = 4


@torch.inference_mode()
def adapted(speak: Speak, vocode: Vocode, prompt: VoicePrompt, frames: float) -> VoicePrompt:
    """The prompt with its adaptation, or without where the clip holds too little speech to learn one.

    ``frames`` as in `adaptation.fitted`.
    """
    prompt = replace(prompt, adaptation=None)
    if prompt.num_tokens < _FEWEST_TOKENS:
        return prompt
    pieces = _pieces(prompt)
    made: list[Tensor] = []
    for start in range(0, len(pieces), _AT_ONCE):
        batch = range(start, min(start + _AT_ONCE, len(pieces)))
        made += speak([pieces[place].tokens for place in batch], [pieces[place - 1] for place in batch])
    recorded = torch.cat([piece.mel for piece in pieces])  # (F, M)
    wanted = recorded.double().cpu()
    of_flow, of_vocoder = (
        fitted(mel.T.double().cpu(), wanted, frames) for mel in (torch.cat(made, dim=1), vocode(recorded.T))
    )
    found = of_flow.then(of_vocoder) if of_flow is not None and of_vocoder is not None else None
    return replace(prompt, adaptation=found)


def _pieces(prompt: VoicePrompt) -> list[VoicePrompt]:
    """Two at least, of one length but for the last codes."""
    tokens, mel = prompt.tokens[-_MOST_TOKENS:], prompt.mel[-2 * _MOST_TOKENS :]
    count = max(2, -(-len(tokens) // _PIECE_TOKENS))
    size = len(tokens) // count
    return [
        VoicePrompt(tokens[at : at + size], mel[2 * at : 2 * (at + size)], prompt.speaker)
        for at in range(0, count * size, size)
    ]
