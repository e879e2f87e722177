"""Speaker similarity: is this the reference's voice? Waveforms in, cosines out; and where the line lies for a voice.

resemblyzer's GE2E encoder (arXiv 1710.10467), 256 numbers per clip. Importing it costs seconds, so it happens at the
first embedding. Seen on 54 synthetic voices: one voice against itself 0.89 to 0.96, two voices 0.41 to 0.81; a good
clone lies between. No fixed cosine separates them for all voices, hence `similarity_line`. A clip of 1.2 s lies up to
0.19 lower against its own voice, one of 2 s up to 0.09, hence `line_for`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnitts.audio import FloatArray, Waveform, load, resample
from omnitts.errors import DependencyError, VoiceError
from omnitts.types import Voice

SAMPLE_RATE: Final = 16_000
MIN_SPEECH_S: Final = 1.0  # less speech gives no usable embedding: the encoder's window is 1.6 s
RELIABLE_S: Final = 3.0  # clips shorter than this neither calibrate nor get the full line
SHORT_GRACE: Final = 0.20  # how much lower the line is for a clip of MIN_SPEECH_S; falls to 0 at RELIABLE_S
FLOOR: Final = 0.60  # below this two clips are different people, whatever the voice
PERCENTILE: Final = 10.0
MARGIN: Final = 0.06  # three times the spread (0.02) of one voice's clips around its 10th percentile
MIN_CALIBRATION_CLIPS: Final = 8
DEFAULT_LINE: Final = 0.70  # with too few clips to calibrate: above 80 % of pairs of different voices


class SpeakerEncoder:
    """Embeds clips; keeps the embedding of each reference voice. One call at a time."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._encoder: Any = None
        self._references: dict[str, FloatArray] = {}

    def embed(self, waveform: Waveform) -> FloatArray | None:
        """Unit vector of shape (256,), or None when there is under `MIN_SPEECH_S` of speech to tell a voice by."""
        encoder = self._loaded()
        from resemblyzer.audio import normalize_volume, trim_long_silences
        from resemblyzer.hparams import audio_norm_target_dBFS

        samples = np.clip(resample(waveform, SAMPLE_RATE).samples, -1.0, 1.0)
        if len(samples) < MIN_SPEECH_S * SAMPLE_RATE or not samples.any():
            return None
        samples = normalize_volume(samples, audio_norm_target_dBFS, increase_only=True)
        speech = trim_long_silences(np.clip(samples, -1.0, 1.0))
        if len(speech) < MIN_SPEECH_S * SAMPLE_RATE:
            return None
        return np.asarray(encoder.embed_utterance(speech), dtype=np.float32)

    def reference(self, voice: Voice) -> FloatArray:
        """Embedding of a voice's recording. Raises `VoiceError` when there is too little speech in it."""
        if voice.digest not in self._references:
            embedding = self.embed(load(Path(voice.audio)))
            if embedding is None:
                raise VoiceError(
                    f"under {MIN_SPEECH_S:g} s of speech in the reference, too little to know the voice by",
                    where=f"voice {voice.name}",
                    hint="record 5 to 20 s of clean speech",
                )
            self._references[voice.digest] = embedding
        return self._references[voice.digest]

    def similarity(self, waveform: Waveform, voice: Voice) -> float | None:
        """Cosine between a clip and the reference voice, in [0, 1]; None when the clip is too short to tell."""
        embedding = self.embed(waveform)
        return None if embedding is None else cosine(embedding, self.reference(voice))

    def _loaded(self) -> Any:
        if self._encoder is None:
            try:
                from resemblyzer import VoiceEncoder
            except ImportError as error:
                raise DependencyError(
                    f"speaker similarity needs resemblyzer ({error})", hint="pip install resemblyzer 'setuptools<81'"
                ) from error
            self._encoder = VoiceEncoder(self._device, verbose=False)
        return self._encoder


def cosine(first: FloatArray, second: FloatArray) -> float:
    """Cosine of two embeddings; rounded, so that it is the same in a store and in memory."""
    norms = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return round(float(first @ second) / norms, 4) if norms else 0.0


def similarity_line(similarities: Sequence[float]) -> float:
    """The least similarity a take of this voice must have, from first takes that passed everything else and are long.

    Their 10th percentile less `MARGIN`, never under `FLOOR`, for a crowd of wrong voices must not vote itself right;
    `DEFAULT_LINE` with fewer than `MIN_CALIBRATION_CLIPS` takes. The order of the takes does not matter.
    """
    if len(similarities) < MIN_CALIBRATION_CLIPS:
        return DEFAULT_LINE
    return round(max(FLOOR, float(np.percentile(np.sort(similarities), PERCENTILE)) - MARGIN), 4)


def line_for(line: float, speech_s: float) -> float | None:
    """The line for a clip with so much speech in it; None when it is too short to be judged."""
    if speech_s < MIN_SPEECH_S:
        return None
    lack = max(0.0, RELIABLE_S - speech_s) / (RELIABLE_S - MIN_SPEECH_S)
    return line - SHORT_GRACE * lack
