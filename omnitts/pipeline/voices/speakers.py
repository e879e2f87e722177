"""Is it one voice all through? Mono speech in, a likeness in [-1, 1] out. Resemblyzer's windows, nothing else.

Calibrated on 162 clips of 54 synthetic voices (one to three clips of a voice joined) against joins of two voices, half
and half, a 2.5 s interjection, or taking turns: the two thresholds together cry wolf on 0.6 % of single voices and
catch 98 %, 94 % and 94 % of the joins.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from omnitts.audio import FloatArray, Waveform, resample

ENCODER_RATE = 16_000
SHORTEST_S = 3.2  # two windows side by side
_LEVEL_DBFS = -30.0  # what the encoder was trained at
_WINDOWS_PER_S = 4
_ONE_VOICE_HALVES = 0.80
_ONE_VOICE_PAIRS = 0.64


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike the parts of a clip are.

    ``halves`` is the cosine between the centres of the two most different groups of windows (1.6 s each), ``pairs`` the
    10th percentile of the cosine over all pairs of windows.
    """

    halves: float
    pairs: float

    @property
    def is_one_voice(self) -> bool:
        return self.halves >= _ONE_VOICE_HALVES and self.pairs >= _ONE_VOICE_PAIRS


def likeness(speech: Waveform) -> Likeness | None:
    """Compares the parts of a clip with each other; None below ``SHORTEST_S``. Give speech without its long pauses."""
    if speech.duration_s < SHORTEST_S:
        return None
    windows = _windows(speech)
    similarity = windows @ windows.T
    pairs = similarity[np.triu_indices(len(windows), 1)]
    return Likeness(halves=_split(windows, similarity), pairs=float(np.percentile(pairs, 10)))


def embed(speech: Waveform) -> FloatArray:
    """The clip's speaker vector, (256,), length 1."""
    vector: FloatArray = _encoder().embed_utterance(_prepared(speech))
    return vector


def _windows(speech: Waveform) -> FloatArray:
    """Speaker vectors (W, 256), length 1, of overlapping windows of 1.6 s."""
    _, windows, _ = _encoder().embed_utterance(_prepared(speech), return_partials=True, rate=_WINDOWS_PER_S)
    return np.asarray(windows, dtype=np.float32)


def _prepared(speech: Waveform) -> FloatArray:
    samples = resample(speech, ENCODER_RATE).samples
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) or 1.0
    return np.asarray(samples * (10 ** (_LEVEL_DBFS / 20) / level), dtype=np.float32)


def _split(windows: FloatArray, similarity: FloatArray) -> float:
    """Cosine between the centres of two groups, found by 2-means from the least similar pair of windows."""
    first, second = np.unravel_index(int(similarity.argmin()), similarity.shape)
    centres = windows[[first, second]]
    for _ in range(10):
        nearer = (windows @ centres.T).argmax(axis=1)
        if len(set(nearer.tolist())) < 2:
            return 1.0
        centres = np.stack([windows[nearer == group].mean(axis=0) for group in (0, 1)])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return float(centres[0] @ centres[1])


@lru_cache(maxsize=1)
def _encoder() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # webrtcvad warns of pkg_resources
        from resemblyzer import VoiceEncoder
    return VoiceEncoder("cpu", verbose=False)
