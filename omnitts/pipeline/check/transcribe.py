"""Listening: a waveform of any length in, what a recogniser heard and when out. Knows nothing of the expected text.

faster-whisper's models, decoded greedily at temperature 0 with no memory between windows, so that the same sound gives
the same words. Whisper pads every clip to 30 s; a clip is instead heard in a window of its own length plus `TAIL_S`
(half the time on short clips). Measured on 60 draft-narrator clips of 3 to 20 s, whisper-base, int8, two cores:
real-time factor 0.04 and 5.0 % WER, against 0.08 and 4.9 % with the full window. `careful=True` hears the full window
with a beam of five: the second opinion on what the first listening would reject.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from omnitts.audio import FloatArray, Waveform, resample, stream
from omnitts.errors import DependencyError, ModelError, UsageError
from omnitts.pipeline.check.asr_models import AsrModel
from omnitts.types import Timing

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

log = logging.getLogger(__name__)

SAMPLE_RATE: Final = 16_000
WINDOW_S: Final = 30.0  # the longest stretch the model hears at once
TAIL_S: Final = 2.0  # silence after a short clip; with 0.5 s the last word is lost now and then
CUT_FROM_S: Final = 18.0  # longer sound is cut at its quietest place between CUT_FROM_S and CUT_TO_S
CUT_TO_S: Final = 27.0
NO_SPEECH: Final = 0.6  # whisper's own threshold for "nobody speaks"
NO_SPEECH_LOGPROB: Final = -1.0
_MIN_CLIP_S: Final = 0.1
_MAX_TOKENS: Final = 448
_BOILERPLATE: Final = re.compile(
    r"(thanks?( you)?( so much)? for watching|please subscribe.*|subtitles? by.*|transcri(bed|ption) by.*|"
    r"like and subscribe.*|see you (in the )?next (video|time)|you|字幕.*|请不吝点赞.*|.*amara\.org.*)[.!]?",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard. ``words`` carry seconds from the start of the sound; ``no_speech`` is the model's doubt in [0, 1]
    that anybody spoke, the least over the windows."""

    text: str
    words: tuple[Timing, ...]
    language: str
    no_speech: float = 0.0


class Listener(Protocol):
    """Anything that can transcribe: a `Transcriber`, or a stand-in for it."""

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript: ...

    def is_rare(self, word: str) -> bool: ...


def open_whisper(model: AsrModel, device: str = "cpu", compute_type: str = "auto", threads: int = 0) -> WhisperModel:
    """Loads a recogniser: int8 on a CPU unless told otherwise. Raises `DependencyError` and `ModelError`."""
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise DependencyError("faster-whisper is not installed", hint="pip install faster-whisper") from error
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    try:
        return WhisperModel(
            str(model.folder),
            device=device,
            compute_type=compute_type,
            cpu_threads=threads or min(4, os.cpu_count() or 1),
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"the ASR model cannot be loaded ({error})", where=str(model.folder), hint="fetch it again"
        ) from error


class Transcriber:
    """A loaded recogniser. One call at a time; calls from different threads are the caller's to keep apart.

    ``compute_type`` "auto" is int8 on a CPU and float16 on a GPU. ``threads`` 0 takes all cores up to four.
    """

    def __init__(self, model: AsrModel, device: str = "cpu", compute_type: str = "auto", threads: int = 0) -> None:
        self.model = model
        self._whisper = open_whisper(model, device, compute_type, threads)
        self._tokenizers: dict[str, Tokenizer] = {}

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript:
        """Hears a waveform of any length. ``language`` is a primary tag (``en``, ``zh``) the model knows.

        Raises `UsageError` for a language it does not know.
        """
        samples = resample(waveform, SAMPLE_RATE).samples
        return _merge(
            (self._window(part, start, language, careful) for start, part in windows(iter([samples]))), language
        )

    def transcribe_long(self, path: Path, language: str) -> Iterator[Transcript]:
        """Hears a file window by window, in constant memory. Each transcript's words carry seconds of the file."""
        blocks = (block.samples for block in stream(path, SAMPLE_RATE, block_s=5.0))
        for start_s, part in windows(blocks):
            yield self._window(part, start_s, language, careful=False)

    def detect_language(self, waveform: Waveform) -> str:
        """Primary tag of what is spoken in the first 30 s; ``en`` for a model that hears only English."""
        if not self._whisper.model.is_multilingual:
            return "en"
        return str(self._whisper.detect_language(resample(waveform, SAMPLE_RATE).samples)[0])

    def is_rare(self, word: str) -> bool:
        """Whether the recogniser's vocabulary spells this word in several pieces: names, old words, dialect."""
        tokenizer = self._whisper.hf_tokenizer
        spelled = (tokenizer.encode(f" {form}", add_special_tokens=False).ids for form in {word, word.lower()})
        return all(len(pieces) > 1 for pieces in spelled)

    def _window(self, samples: FloatArray, start_s: float, language: str, careful: bool) -> Transcript:
        """One window of at most `WINDOW_S`."""
        seconds = len(samples) / SAMPLE_RATE
        if seconds < _MIN_CLIP_S:
            return Transcript("", (), language, no_speech=1.0)
        whisper, tokenizer = self._whisper, self._tokenizer(language)
        length_s = WINDOW_S if careful else min(WINDOW_S, seconds + TAIL_S)
        padded = np.pad(samples, (0, max(0, round(length_s * SAMPLE_RATE) - len(samples))))
        features = whisper.feature_extractor(padded, padding=0)[:, : round(WINDOW_S * whisper.frames_per_second)]
        features = features[:, : features.shape[1] // 2 * 2]  # the encoder halves the rate
        encoded = whisper.encode(features)
        result = whisper.model.generate(
            encoded,
            [whisper.get_prompt(tokenizer, [], without_timestamps=False)],
            beam_size=5 if careful else 1,
            max_length=_MAX_TOKENS,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[-1],
            max_initial_timestamp_index=50,
        )[0]
        tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
        text = tokenizer.decode(tokens).strip()
        silent = result.no_speech_prob > NO_SPEECH and result.scores[0] < NO_SPEECH_LOGPROB
        if not tokens or silent or (_BOILERPLATE.fullmatch(text) and result.no_speech_prob > NO_SPEECH / 2):
            return Transcript("", (), language, no_speech=float(result.no_speech_prob))
        frames = min(features.shape[1], round(seconds * whisper.frames_per_second))
        aligned = whisper.find_alignment(tokenizer, [tokens], encoded, max(2, frames))[0]
        words = tuple(
            Timing(word["word"].strip(), start_s + float(word["start"]), start_s + float(word["end"]))
            for word in aligned
            if word["word"].strip()
        )
        return Transcript(text, words, language, float(result.no_speech_prob))

    def _tokenizer(self, language: str) -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            if language not in self._whisper.supported_languages:
                raise UsageError(
                    f"ASR model {self.model.name} does not know the language {language!r}",
                    where="--asr",
                    hint="choose a multilingual model, or --no-check",
                )
            self._tokenizers[language] = Tokenizer(
                self._whisper.hf_tokenizer,
                self._whisper.model.is_multilingual,
                task="transcribe",
                language=language,
            )
        return self._tokenizers[language]


def windows(blocks: Iterable[FloatArray]) -> Iterator[tuple[float, FloatArray]]:
    """(start in seconds, samples) of stretches short enough for one window, cut where it is quietest."""
    pending = np.zeros(0, np.float32)
    start = 0
    for block in blocks:
        pending = np.concatenate([pending, block])
        while len(pending) > WINDOW_S * SAMPLE_RATE:
            cut = _quietest(pending)
            yield start / SAMPLE_RATE, pending[:cut]
            start, pending = start + cut, pending[cut:]
    if len(pending):
        yield start / SAMPLE_RATE, pending


def _quietest(samples: FloatArray) -> int:
    """Middle of the quietest 0.3 s between `CUT_FROM_S` and `CUT_TO_S`."""
    hop, width = SAMPLE_RATE // 50, 15
    first, last = round(CUT_FROM_S * SAMPLE_RATE), round(CUT_TO_S * SAMPLE_RATE)
    power = np.square(samples[first:last], dtype=np.float64)
    frames = power[: len(power) // hop * hop].reshape(-1, hop).mean(axis=1)
    smooth = np.convolve(frames, np.ones(width) / width, mode="valid")
    return first + (int(smooth.argmin()) + width // 2) * hop


def _merge(parts: Iterable[Transcript], language: str) -> Transcript:
    heard = list(parts)
    return Transcript(
        " ".join(part.text for part in heard if part.text),
        tuple(word for part in heard for word in part.words),
        language,
        min((part.no_speech for part in heard), default=1.0),
    )
