"""Pronouncing: what a speech LM said, said again sound by sound by the checkpoint's pronouncer.

The LM decides how many codes there are and when each sound comes; the spelling reader finds those times in its codes,
the pronouncer writes the codes of the sounds at their times, in the voice. So a sound that the LM slipped on comes
right, and one that it left out gets what room there is. Where the LM slipped, the reader alone finds times that nobody
would choose; a checkpoint that brings a duration model has it weighed against what is read, at the LM's own pace.
Codes in, as many codes out. Sees no scheduler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torch import Tensor

from omnitts.errors import ModelError
from omnitts.models.reading.durations import DURATIONS, Durations, pace_of
from omnitts.models.reading.forced_alignment import FloatRow, label_times, lasting_times
from omnitts.models.reading.labels import Sounds
from omnitts.models.reading.pronouncer import PRONOUNCER, Pronouncer, TimedSounds
from omnitts.models.reading.text_reader import TextReader

_DURATIONS_WEIGHT: Final = 4.0  # of a length's log-chance beside a code's: docs/small-model.md


class Pronouncing:
    """Of one model: who finds the sounds, who knows how long they last, and who says them."""

    def __init__(self, reader: TextReader, pronouncer: Pronouncer, durations: Durations | None = None) -> None:
        self._reader, self._pronouncer, self._durations = reader, pronouncer, durations

    @classmethod
    def open(cls, folder: Path, reader: TextReader, voice_size: int) -> Pronouncing:
        """With the networks of a codec's folder, on the reader's device. Raises `ModelError` when one is damaged, or
        belongs to another reader or to voices of another size.
        """
        quantiser = reader.codes.quantiser
        device = quantiser.bases.device
        pronouncer = Pronouncer.open(folder / PRONOUNCER, device)
        own = pronouncer.sizes
        wanted = (quantiser.num_codes, reader.num_labels, voice_size)
        if (own.num_codes, own.num_labels, own.voice_size) != wanted:
            told = (
                f"the pronouncer knows {own.num_codes} codes, {own.num_labels} sounds and voices of {own.voice_size} "
                "numbers; its codec has {}, {} and {}".format(*wanted)
            )
            raise _foreign(told, folder / PRONOUNCER)
        if not (folder / DURATIONS).is_file():
            return cls(reader, pronouncer)
        durations = Durations.open(folder / DURATIONS, device)
        if (durations.sizes.num_labels, durations.sizes.voice_size) != wanted[1:]:
            told = (
                f"the duration model knows {durations.sizes.num_labels} sounds and voices of "
                "{} numbers; its codec has {} and {}".format(durations.sizes.voice_size, *wanted[1:])
            )
            raise _foreign(told, folder / DURATIONS)
        return cls(reader, pronouncer, durations)

    def codes(self, said: Tensor, sounds: Sounds, voice: Tensor) -> Tensor:
        """(K,) int64 codes that were said, the sounds of the text, the voice (E,) -> (K,) codes.

        As they are where nobody can tell what they should say: no sounds, or more than there are codes.
        """
        times = self._times(said.tolist(), sounds, voice) if sounds.labels and len(said) else None
        if times is None:
            return said
        return self._pronouncer.pronounced(TimedSounds.of(sounds.labels, times, len(said)), voice).to(said)

    def _times(self, said: list[int], sounds: Sounds, voice: Tensor) -> FloatRow | None:
        heard = self._reader.heard(said)
        times = label_times(heard, sounds.labels)
        if times is None or self._durations is None:
            return times
        lasting = _DURATIONS_WEIGHT * self._durations.of(sounds, voice, pace_of(times))
        return lasting_times(heard, sounds.labels, lasting)


def _foreign(told: str, path: Path) -> ModelError:
    return ModelError(told, where=str(path), hint="export the model again with `omnitts train export`")
