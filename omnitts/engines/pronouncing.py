"""Pronouncing: what a speech LM said, said again sound by sound by the checkpoint's pronouncer.

The LM decides how many codes there are and when each sound comes; the spelling reader finds those times in its codes,
the pronouncer writes the codes of the sounds at their times, in the voice. So a sound that the LM slipped on comes
right, and one that it left out gets what room there is. Codes in, as many codes out. Sees no scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from omnitts.errors import ModelError
from omnitts.models.reading.pronouncer import Pronouncer, TimedSounds
from omnitts.models.reading.text_reader import TextReader


class Pronouncing:
    """Of one model: who finds the sounds, and who says them."""

    def __init__(self, reader: TextReader, pronouncer: Pronouncer) -> None:
        self._reader, self._pronouncer = reader, pronouncer

    @classmethod
    def open(cls, path: Path, reader: TextReader, voice_size: int) -> Pronouncing:
        """With the network of a file, on the reader's device. Raises `ModelError` when it is damaged, or belongs to
        another reader or to voices of another size.
        """
        quantiser = reader.codes.quantiser
        pronouncer = Pronouncer.open(path, quantiser.bases.device)
        own = pronouncer.sizes
        wanted = (quantiser.num_codes, reader.num_labels, voice_size)
        if (own.num_codes, own.num_labels, own.voice_size) != wanted:
            told = (
                f"the pronouncer knows {own.num_codes} codes, {own.num_labels} sounds and voices of {own.voice_size} "
                "numbers; its codec has {}, {} and {}".format(*wanted)
            )
            raise ModelError(told, where=str(path), hint="export the model again with `omnitts train export`")
        return cls(reader, pronouncer)

    def codes(self, said: Tensor, labels: Sequence[int], voice: Tensor) -> Tensor:
        """(K,) int64 codes that were said, the labels of the text's sounds, the voice (E,) -> (K,) codes.

        As they are where nobody can tell what they should say: no labels, or more than there are codes.
        """
        times = self._reader.times(said.tolist(), labels) if labels and len(said) else None
        if times is None:
            return said
        return self._pronouncer.pronounced(TimedSounds.of(labels, times, len(said)), voice).to(said)
