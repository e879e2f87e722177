"""Listening by numbers: words heard (whisper) and voices told apart (resemblyzer), summed over many clips.

Sounds and what they should be in; `Heard` per clip and a summary of figures out. Knows no engine and no files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from omnitts.audio import FloatArray, Waveform
from omnitts.pipeline.check.similarity import cosine
from omnitts.pipeline.check.transcribe import Listener
from omnitts.pipeline.check.wer import compare


@dataclass(frozen=True)
class Heard:
    """One clip. ``similarity`` is to the middle of its own voice, ``nearest`` the voice it is most like."""

    id: str
    speaker: str
    text: str
    heard: str
    errors: int
    words: int
    seconds: float
    similarity: float | None = None
    nearest: str = ""


class Encoder(Protocol):
    """Anything that embeds a voice: `pipeline.check.similarity.SpeakerEncoder`, or a stand-in for it."""

    def embed(self, waveform: Waveform) -> FloatArray | None: ...


class Ears:
    """A recogniser and a speaker encoder. ``middles``: by voice, the mean of its clips' embeddings."""

    def __init__(self, listener: Listener, encoder: Encoder, language: str = "en") -> None:
        self._listener, self.encoder, self._language = listener, encoder, language
        self.middles: dict[str, FloatArray] = {}

    def learn_voices(self, clips: Sequence[tuple[str, Waveform]]) -> None:
        """Takes the middle of each voice from (speaker, clip) pairs; clips too short to tell are left out."""
        found: dict[str, list[FloatArray]] = defaultdict(list)
        for speaker, clip in clips:
            embedding = self.encoder.embed(clip)
            if embedding is not None:
                found[speaker].append(embedding)
        for speaker, embeddings in found.items():
            middle = np.mean(embeddings, axis=0)
            self.middles[speaker] = (middle / np.linalg.norm(middle)).astype(np.float32)

    def listen(self, name: str, clip: Waveform, text: str, speaker: str) -> Heard:
        """What is heard of a clip that should say ``text`` in the voice of ``speaker``.

        Heard carefully: of speech that is hard to follow, a recogniser in a hurry repeats a sentence over and over.
        """
        heard = self._listener.transcribe(clip, self._language, careful=True).text
        compared = compare(text, heard, self._language)
        embedding = self.encoder.embed(clip) if self.middles else None
        similarity, nearest = None, ""
        if embedding is not None:
            nearest = max(self.middles, key=lambda voice: cosine(embedding, self.middles[voice]))
            if speaker in self.middles:
                similarity = cosine(embedding, self.middles[speaker])
        return Heard(
            name, speaker, text, heard, compared.errors, compared.words, clip.duration_s, similarity, nearest
        )  # fmt: skip


def summary(clips: Sequence[Heard]) -> dict[str, float | int]:
    """Figures of some clips: WER over all words, mean similarity, share that is nearest to its own voice."""
    figures: dict[str, float | int] = {
        "clips": len(clips),
        "words": sum(clip.words for clip in clips),
        "minutes": round(sum(clip.seconds for clip in clips) / 60, 2),
        "wer": round(sum(clip.errors for clip in clips) / max(1, sum(clip.words for clip in clips)), 4),
    }
    told = [clip for clip in clips if clip.similarity is not None]
    if told:
        figures["similarity"] = round(fmean(clip.similarity or 0.0 for clip in told), 4)
        figures["nearest_is_own"] = round(fmean(clip.nearest == clip.speaker for clip in told), 4)
    return figures


def by_group(clips: Sequence[Heard], held_out: Sequence[str]) -> Mapping[str, list[Heard]]:
    """Clips of voices that were learnt from, and of those that were not."""
    return {
        "known voices": [clip for clip in clips if clip.speaker not in held_out],
        "held-out voices": [clip for clip in clips if clip.speaker in held_out],
    }
