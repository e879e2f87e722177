"""A duration model of random weights that goes with a reader."""

from __future__ import annotations

import torch

from omnitts.models.reading.durations import Durations, DurationsSizes
from omnitts.models.reading.text_reader import TextReader


def random_durations(reader: TextReader, voice_size: int = 8, *, sure_of: int = 0) -> Durations:
    """``sure_of``: codes that it says every sound lasts; 0 for none."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        durations = Durations(DurationsSizes(reader.num_labels, voice_size, width=24, blocks=2))
        torch.nn.init.normal_(durations.last.weight, std=1.0)
        if sure_of:
            durations.last.bias.detach()[sure_of - 1] += 1000
        return durations.eval().requires_grad_(False)
