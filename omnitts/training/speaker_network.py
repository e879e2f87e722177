"""Speaker encoder network: log filter banks of a clip -> one vector of the voice, whatever is said.

Convolutions, then mean and spread over time (as in x-vectors, Snyder 2018), then two linear layers. While it learns, a
further layer maps the vector to its teacher's. Only the part up to the vector is exported.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnitts.models.reading.conv_stack import ConvStack, inside_mask
from omnitts.training.recipe import SpeakerRecipe

TEACHER_SIZE = 256
_MELS = 80


class SpeakerEncoder(nn.Module):
    """(B, T, 80) filter banks less their mean over time -> (B, size)."""

    def __init__(self, recipe: SpeakerRecipe) -> None:
        super().__init__()
        self.first = nn.Conv1d(_MELS, recipe.width, 5, stride=2, padding=2)
        self.stack = ConvStack(recipe.width, recipe.blocks)
        self.widen = nn.Linear(recipe.width, 2 * recipe.width)
        self.out = nn.Sequential(
            nn.Linear(4 * recipe.width, 2 * recipe.width), nn.GELU(), nn.Linear(2 * recipe.width, recipe.size)
        )

    def forward(self, bank: Tensor, lengths: Tensor) -> Tensor:
        inside = inside_mask(lengths, bank.shape[1])  # (B, T, 1)
        hidden = nn.functional.gelu(self.first((bank * inside).transpose(1, 2))).transpose(1, 2)
        inside = inside[:, ::2]
        hidden = nn.functional.gelu(self.widen(self.stack(hidden, inside))) * inside
        count = inside.sum(dim=1)
        mean = hidden.sum(dim=1) / count
        spread = (((hidden - mean[:, None]) * inside).square().sum(dim=1) / count + 1e-5).sqrt()
        vector: Tensor = self.out(torch.cat((mean, spread), dim=-1))
        return vector


class ExportedSpeaker(nn.Module):
    """The encoder with the contract of campplus.onnx: (1, T, 80) -> (1, size)."""

    def __init__(self, encoder: SpeakerEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input: Tensor) -> Tensor:
        lengths = torch.full((1,), input.shape[1], dtype=torch.int64)
        return self.encoder(input, lengths)


class Pupil(nn.Module):
    """Encoder and the layer that compares it with the teacher."""

    def __init__(self, recipe: SpeakerRecipe) -> None:
        super().__init__()
        self.encoder = SpeakerEncoder(recipe)
        self.compare = nn.Linear(recipe.size, TEACHER_SIZE)

    def forward(self, bank: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The voice's vector (B, size) and what it says of the teacher's (B, 256)."""
        vector = self.encoder(bank, lengths)
        return vector, self.compare(vector)
