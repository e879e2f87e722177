"""The coded corpus as its pronouncer says it: what a flow hears once it speaks.

A run with a pronouncer, and its codes, go in; as many codes come out, each clip's sounds at their own times, in the
voice of another clip of its speaker, as when the model speaks.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from omnitts.engines.pronouncing import Pronouncing
from omnitts.training.pronouncer import trained_pronouncer
from omnitts.training.reading import corpus_sounds
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import FloatTable
from omnitts.training.store import CorpusStore
from omnitts.training.workers import mapped

logger = logging.getLogger(__name__)


def pronounced_codes(
    run: RunFolder, corpus: CorpusStore, codes: NDArray[np.int16], voices: FloatTable, workers: int = 0
) -> NDArray[np.int16]:
    """(codes,) of all utterances; those of a clip that cannot be aligned are its own. Found by ``workers``.

    Raises `InputError` when there is no pronouncer yet.
    """
    reader, pronouncer = trained_pronouncer(run)
    sounds = corpus_sounds(reader, corpus, workers)
    pronouncing = Pronouncing(reader, pronouncer)
    others = _others(corpus)
    logger.info("flow: pronouncing %.1f h", corpus.hours)

    def pronounced(place: int) -> NDArray[np.int16]:
        item = corpus.utterances[place]
        own = torch.from_numpy(codes[item.offset : item.offset + item.num_codes].astype(np.int64))
        said = pronouncing.codes(own, sounds[place], torch.from_numpy(voices[others[place]]))
        return said.numpy().astype(np.int16)

    return np.concatenate(mapped(pronounced, len(corpus.utterances), workers))


def _others(corpus: CorpusStore) -> list[int]:
    """For each utterance the next one of its speaker, around a ring."""
    before: dict[str, int] = {}
    for place, item in enumerate(corpus.utterances):
        before[item.speaker] = place  # of each speaker the last is before the first
    others = [0] * len(corpus.utterances)
    for place, item in enumerate(corpus.utterances):
        others[before[item.speaker]] = place
        before[item.speaker] = place
    return others
