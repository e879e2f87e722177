"""A pronouncer of random weights that goes with a reader."""

from __future__ import annotations

import torch

from omnitts.models.reading.pronouncer import Pronouncer, PronouncerSizes
from omnitts.models.reading.text_reader import TextReader


def random_pronouncer(reader: TextReader, voice_size: int = 8) -> Pronouncer:
    sizes = PronouncerSizes(reader.codes.quantiser.num_codes, reader.num_labels, voice_size, width=24, blocks=2)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        return Pronouncer(sizes).eval().requires_grad_(False)
