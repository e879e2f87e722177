"""Which codes are silence: measured on the corpus, where the sound itself says which frames are quiet.

Codes and the cached mel go in; the code that stands for silence and the set of blank codes come out, as config.json
wants them. A property of one trained tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from omnitts.errors import InputError
from omnitts.training.store import CorpusStore

QUIET_BELOW_DB: Final = 45.0  # under the clip's loudest frame
BLANK_SHARE: Final = 0.9  # of a code's occurrences are quiet
RARE: Final = 3  # a code met less often than this is not judged


@dataclass(frozen=True)
class Silence:
    """``code`` stands for silence; ``blanks`` (with it) are codes heard almost only where nothing is heard."""

    code: int
    blanks: tuple[int, ...]
    quiet_share: float

    def as_json(self) -> dict[str, Any]:
        return {"silence_token": self.code, "blank_ids": list(self.blanks), "quiet_share": round(self.quiet_share, 4)}


def measure_silence(corpus: CorpusStore, codes: NDArray[np.int16], num_codes: int) -> Silence:
    """Counts every code where a clip is quiet and where it is not. Raises `InputError` when nothing is quiet."""
    quiet, all_of = np.zeros(num_codes, np.int64), np.zeros(num_codes, np.int64)
    for index, utterance in enumerate(corpus.utterances):
        wave = corpus.read("wave", index).numpy().reshape(utterance.num_codes, -1)
        power = np.square(wave, dtype=np.float64).mean(axis=1)
        is_quiet = power < power.max(initial=0.0) * 10 ** (-QUIET_BELOW_DB / 10)
        own = codes[utterance.offset : utterance.offset + utterance.num_codes]
        quiet += np.bincount(own[is_quiet], minlength=num_codes)
        all_of += np.bincount(own, minlength=num_codes)
    if not quiet.any():
        raise InputError("no stretch of the corpus is silent", where=str(corpus.folder), hint="trim less")
    code = int(quiet.argmax())
    share = quiet / np.maximum(all_of, 1)
    blanks = {int(place) for place in np.flatnonzero((share >= BLANK_SHARE) & (all_of >= RARE))} | {code}
    return Silence(code, tuple(sorted(blanks)), float(quiet.sum() / all_of.sum()))
