"""Durations: how likely each sound of a text lasts how long, in a speaker's voice and at a pace.

A duration model as acoustic models have (FastSpeech 2, arXiv 2006.04558), with a chance for every length instead of one
guess, so that forced alignment can weigh it against what is read in codes. It sees all sounds of the text, their cues,
the voice and how fast the take is. A file of its own: safetensors, float16, sizes as JSON in its metadata.
Letters: B rows, L sounds, N lengths that are told apart, E numbers of a voice.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from omnitts.models.reading.conv_stack import ConvStack
from omnitts.models.reading.cues import NUM_CUES
from omnitts.models.reading.forced_alignment import FloatRow, FloatTable
from omnitts.models.reading.labels import Sounds
from omnitts.models.reading.reader_file import fill_reader, opening, write_reader

DURATIONS: Final = "durations.safetensors"
STAGE: Final = "durations"  # of training
NUM_LENGTHS: Final = 14  # codes; what is longer is a pause
_USUAL_PACE: Final = 2.2  # codes per sound
_PACE_SCALE: Final = 5.0  # of its logarithm, which varies by a fifth
_START_STD: Final = 0.5


@dataclass(frozen=True)
class DurationsSizes:
    """``num_labels``: of the spelling reader, its blank included. ``voice_size``: numbers of a voice."""

    num_labels: int
    voice_size: int
    width: int
    blocks: int


class Durations(nn.Module):
    """Chances of lengths."""

    def __init__(self, sizes: DurationsSizes, dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        self.label = nn.Embedding(sizes.num_labels, sizes.width)
        self.cue = nn.Embedding(NUM_CUES, sizes.width)
        for table in (self.label, self.cue):
            nn.init.normal_(table.weight, std=_START_STD)
        self.voice = nn.Linear(sizes.voice_size, sizes.width)
        self.pace = nn.Linear(1, sizes.width)
        self.dropout = nn.Dropout(dropout)
        self.stack = ConvStack(sizes.width, sizes.blocks)
        self.last = nn.Linear(sizes.width, NUM_LENGTHS)

    def forward(self, labels: Tensor, cues: Tensor, voices: Tensor, paces: Tensor, inside: Tensor) -> Tensor:
        """(B, L) labels and cues, (B, E) voices of any length, (B,) codes per sound, (B, L, 1) ones inside each row ->
        (B, L, N) logits of 1, 2 ... codes from a sound's beginning to the next's; the last is of all that are longer.
        """
        voice = self.voice(F.normalize(voices, dim=-1) * self.sizes.voice_size**0.5)
        pace = self.pace(_PACE_SCALE * (paces / _USUAL_PACE).log()[:, None])
        hidden = self.label(labels) + self.cue(cues) + (voice + pace)[:, None]
        logits: Tensor = self.last(self.dropout(self.stack(self.dropout(hidden), inside)))
        return logits

    @torch.no_grad()
    def of(self, sounds: Sounds, voice: Tensor, pace: float) -> FloatTable:
        """(L, N) log-probabilities for the sounds of a text, at least one, in the voice (E,)."""
        device = self.last.weight.device
        labels, cues = (torch.tensor([part], device=device) for part in (sounds.labels, sounds.cues))
        inside = torch.ones(*labels.shape, 1, device=device)
        paces = torch.tensor([pace], device=device)
        logits = self(labels, cues, voice[None].float().to(device), paces, inside)
        return logits[0].log_softmax(-1).cpu().numpy()

    def save(self, path: Path) -> None:
        write_reader(self, path, {"sizes": json.dumps(asdict(self.sizes))})

    @classmethod
    def open(cls, path: Path, device: torch.device | str = "cpu") -> Durations:
        """What `save` wrote. Raises `ModelError` when it is damaged."""
        with opening("duration model", path, STAGE):
            with safe_open(path, "pt") as file:
                sizes = DurationsSizes(**json.loads(file.metadata()["sizes"]))
            return fill_reader(cls(sizes), path).requires_grad_(False).to(device)


def lengths_of(times: FloatRow) -> FloatRow:
    """(L,) times of sounds -> (L - 1,) codes from each to the next, ``NUM_LENGTHS`` for all that are longer."""
    return np.minimum(np.diff(times), NUM_LENGTHS)


def pace_of(times: FloatRow) -> float:
    """Codes per sound, pauses cut short; the usual pace where a single sound tells none."""
    return float(lengths_of(times).mean()) if len(times) > 1 else _USUAL_PACE
