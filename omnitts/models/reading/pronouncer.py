"""Pronouncer: codes for sounds whose times are known, in a speaker's voice; the way back of a spelling reader.

A speech LM says a row of codes from what it has said before, and cannot mend it. A small one finds its place in the
text, its pauses and its pace long before it pronounces every sound well. This network sees all of a text's sounds at
their times at once, those that come as well as those that were, and writes the codes from that alone, as acoustic
models write mel from phonemes and durations (FastSpeech 2, arXiv 2006.04558).
Sounds, times and a voice in, codes out. A file of its own: safetensors, float16, sizes as JSON in its metadata.
Letters: B rows, K codes, V values of a code, E numbers of a voice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from omnitts.models.reading.conv_stack import ConvStack
from omnitts.models.reading.forced_alignment import FloatRow
from omnitts.models.reading.reader_file import fill_reader, opening, write_reader

PRONOUNCER: Final = "pronouncer.safetensors"
STAGE: Final = "pronouncer"  # of training
_NO_SOUND: Final = 0  # before the first sound
_MOST_AGE: Final = 12  # codes since a sound began; half a second later it is over
_START_STD: Final = 0.5


@dataclass(frozen=True)
class PronouncerSizes:
    """``num_labels``: of the spelling reader, its blank included. ``voice_size``: numbers of a voice."""

    num_codes: int
    num_labels: int
    voice_size: int
    width: int
    blocks: int


@dataclass(frozen=True)
class TimedSounds:
    """(K,) int64 each: which label sounds at a code, 0 before the first; and how many codes ago it began."""

    labels: Tensor
    ages: Tensor

    @classmethod
    def of(cls, labels: Sequence[int], times: FloatRow, num_codes: int) -> TimedSounds:
        """``times``: the codes at which the labels begin, as forced alignment finds them."""
        codes = np.arange(num_codes)
        places = np.searchsorted(times, codes, side="right")
        begun = np.concatenate(([0.0], times))[places]
        said = np.concatenate(([_NO_SOUND], np.asarray(labels)))[places]
        ages = np.minimum(codes - begun, _MOST_AGE - 1)
        return cls(torch.from_numpy(said.astype(np.int64)), torch.from_numpy(ages.astype(np.int64)))

    def part(self, start: int, stop: int) -> TimedSounds:
        return TimedSounds(self.labels[start:stop], self.ages[start:stop])

    def begun(self) -> Tensor:
        """(L,) the labels that begin here, in their order."""
        return self.labels[(self.ages == 0) & (self.labels != _NO_SOUND)]


class Pronouncer(nn.Module):
    """Codes of sounds at their times."""

    def __init__(self, sizes: PronouncerSizes, dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        self.label = nn.Embedding(sizes.num_labels, sizes.width)
        self.age = nn.Embedding(_MOST_AGE, sizes.width)
        for table in (self.label, self.age):
            nn.init.normal_(table.weight, std=_START_STD)
        self.voice = nn.Linear(sizes.voice_size, sizes.width)
        self.dropout = nn.Dropout(dropout)
        self.stack = ConvStack(sizes.width, sizes.blocks)
        self.last = nn.Linear(sizes.width, sizes.num_codes)

    def forward(self, labels: Tensor, ages: Tensor, voices: Tensor, inside: Tensor) -> Tensor:
        """(B, K) labels and ages, (B, E) voices of any length, (B, K, 1) ones inside each row -> (B, K, V) logits."""
        scale = self.sizes.voice_size**0.5
        voice = self.voice(F.normalize(voices, dim=-1) * scale)
        hidden = self.label(labels) + self.age(ages) + voice[:, None]
        logits: Tensor = self.last(self.dropout(self.stack(self.dropout(hidden), inside)))
        return logits

    @torch.no_grad()
    def pronounced(self, sounds: TimedSounds, voice: Tensor) -> Tensor:
        """(K,) int64: the likeliest codes of sounds in the voice (E,)."""
        device = self.last.weight.device
        labels, ages = (part[None].to(device) for part in (sounds.labels, sounds.ages))
        inside = torch.ones(*labels.shape, 1, device=device)
        return self(labels, ages, voice[None].float().to(device), inside)[0].argmax(dim=-1)

    def save(self, path: Path) -> None:
        write_reader(self, path, {"sizes": json.dumps(asdict(self.sizes))})

    @classmethod
    def open(cls, path: Path, device: torch.device | str = "cpu") -> Pronouncer:
        """What `save` wrote. Raises `ModelError` when it is damaged."""
        with opening("pronouncer", path, STAGE):
            with safe_open(path, "pt") as file:
                sizes = PronouncerSizes(**json.loads(file.metadata()["sizes"]))
            return fill_reader(cls(sizes), path).requires_grad_(False).to(device)
