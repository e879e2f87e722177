"""Fake engine: a tone as long as the text would be. For tests and dry runs; sees no model and says no word.

The tone is a harmonic complex, louder and softer at the pace of syllables, so that level, silence and duration checks
see something like speech. Its pitch comes from the voice, its phases from text and seed: equal requests give equal
samples on every machine with the same numpy.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator

import numpy as np

from omnitts.audio import FloatArray, Waveform, fade, silence
from omnitts.engines.base import Capabilities, Speech, SpeechRequest
from omnitts.engines.registry import EngineOptions
from omnitts.errors import EngineError, UsageError
from omnitts.types import Voice

SAMPLE_RATE = 24_000
CHARS_PER_S = 15.0  # an English narrator's usual pace
CJK_CHARS_PER_S = 4.5
SYLLABLES_PER_S = 4.0
MIN_DURATION_S = 0.3
EDGE_S = 0.05  # silence before and after the tone, as real engines leave
PEAK = 0.3
PITCH_HZ = (85.0, 255.0)  # from low male to high female speech
HARMONICS = 6

KNOBS = frozenset({"fail_on", "fail_seeds_below", "raise_on", "delay_s"})


def open_engine(options: EngineOptions) -> FakeEngine:
    """Raises `UsageError` for a setting in ``options.extra`` that is none of ``KNOBS``."""
    unknown = sorted(set(options.extra) - KNOBS)
    if unknown:
        raise UsageError(f"the fake engine has no setting {unknown[0]!r}", hint=f"it has {', '.join(sorted(KNOBS))}")
    return FakeEngine(options)


class FakeEngine:
    """An `Engine`. Settings in ``options.extra``, all for tests:

    ``fail_on``: a request whose text holds this string comes back with failure ``length`` and half its sound;
    ``fail_seeds_below``: ... only while its seed is below this. ``raise_on``: a text that holds this string raises
    `EngineError`. ``delay_s``: time spent on each request.
    """

    name = "fake"
    revision = "fake-1"
    description = "fake: a tone in place of speech"

    def __init__(self, options: EngineOptions) -> None:
        extra = options.extra
        self._fail_on = str(extra.get("fail_on", ""))
        self._fail_seeds_below = float(extra.get("fail_seeds_below", "inf"))
        self._raise_on = str(extra.get("raise_on", ""))
        self._delay_s = float(extra.get("delay_s", 0.0))
        self._capabilities = Capabilities(
            clones=True, sample_rate=SAMPLE_RATE, max_batch=options.batch or 8, speed=True
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def prepare(self, voice: Voice | None) -> None:
        return

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        for request in requests:
            yield self._speak_one(request)

    def close(self) -> None:
        return

    def _speak_one(self, request: SpeechRequest) -> Speech:
        started_s = time.perf_counter()
        if self._raise_on and self._raise_on in request.text:
            raise EngineError("the fake engine was told to fail", where=request.key)
        if self._delay_s:
            time.sleep(self._delay_s)
        if not any(char.isalnum() for char in request.text):
            return Speech(request.key, silence(MIN_DURATION_S, SAMPLE_RATE), failure="empty")
        waveform = tone(request)
        failure = ""
        if self._fail_on and self._fail_on in request.text and request.seed < self._fail_seeds_below:
            waveform, failure = waveform.slice_s(0, waveform.duration_s / 2), "length"
        return Speech(request.key, waveform, failure=failure, synthesis_s=time.perf_counter() - started_s)


def spoken_duration_s(text: str, speed: float = 1.0) -> float:
    """Seconds that a narrator would take for a text."""
    cjk = sum("\u3400" <= char <= "\u9fff" for char in text)
    return max(MIN_DURATION_S, (cjk / CJK_CHARS_PER_S + (len(text) - cjk) / CHARS_PER_S) / speed)


def tone(request: SpeechRequest) -> Waveform:
    """The sound of a request: text and speed decide its length, the voice its pitch, text and seed its phases."""
    voice = request.voice.digest if request.voice else ""
    pitch_hz = PITCH_HZ[0] + (PITCH_HZ[1] - PITCH_HZ[0]) * _generator("pitch", voice).random()
    generator = _generator(request.text, str(request.seed), voice)
    t_s: FloatArray = np.arange(round(spoken_duration_s(request.text, request.speed) * SAMPLE_RATE), dtype=np.float32)
    t_s /= SAMPLE_RATE
    phases = generator.uniform(0, 2 * np.pi, HARMONICS + 1).astype(np.float32)
    samples = np.zeros_like(t_s)
    for harmonic in range(1, HARMONICS + 1):
        samples += np.sin(2 * np.pi * pitch_hz * harmonic * t_s + phases[harmonic - 1]) / harmonic
    samples *= 0.65 - 0.35 * np.cos(2 * np.pi * SYLLABLES_PER_S * t_s + phases[-1])
    samples *= PEAK / float(np.abs(samples).max())
    edge = silence(EDGE_S, SAMPLE_RATE).samples
    voiced = fade(Waveform(samples, SAMPLE_RATE), in_s=0.01, out_s=0.01).samples
    return Waveform(np.concatenate([edge, voiced, edge]), SAMPLE_RATE)


def _generator(*parts: str) -> np.random.Generator:
    """A random generator of its own for each tuple of strings, the same on every machine."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
