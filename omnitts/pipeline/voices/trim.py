"""Where the speech is in a clip, and the excerpt worth keeping. Waveform in, spans in seconds or a waveform out.

Speech is found with the Silero detector that faster-whisper carries (no download). Knows nothing of voices or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from omnitts.audio import Waveform, fade, resample

DETECTOR_RATE = 16_000
MARGIN_S = 0.1  # silence kept at head and tail: a prompt cut into the first phone starts with an "um" when cloned
FADE_S = 0.01
MIN_GAP_S = 0.2  # pauses shorter than this are part of a phrase


class SpeechSpan(NamedTuple):
    """A stretch of speech, in seconds."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was kept: ``waveform`` is ``[start_s, end_s)`` of the clip; ``is_excerpt`` when speech was left out."""

    waveform: Waveform
    start_s: float
    end_s: float
    is_excerpt: bool


def speech_spans(waveform: Waveform) -> list[SpeechSpan]:
    """Stretches of speech in order, pauses of ``MIN_GAP_S`` and more between them; empty when nobody speaks."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    samples = resample(waveform, DETECTOR_RATE).samples
    if len(samples) < DETECTOR_RATE // 10:
        return []
    options = VadOptions(min_silence_duration_ms=round(MIN_GAP_S * 1000), min_speech_duration_ms=100, speech_pad_ms=0)
    found = get_speech_timestamps(samples, options, sampling_rate=DETECTOR_RATE)
    return [SpeechSpan(item["start"] / DETECTOR_RATE, item["end"] / DETECTOR_RATE) for item in found]


def trim(waveform: Waveform, spans: Sequence[SpeechSpan], *, longest_s: float, excerpt_s: float) -> Trimmed:
    """Cuts silence off head and tail; if more than ``longest_s`` is left, keeps the best run of whole phrases.

    The best run is the one of at most ``excerpt_s`` with the most speech in it; the earliest of equals. A single phrase
    longer than that is cut at its quietest moment in the last third. Without spans the clip comes back whole.
    """
    if not spans:
        return Trimmed(waveform, 0.0, waveform.duration_s, is_excerpt=False)
    start_s, end_s = spans[0].start_s, spans[-1].end_s
    is_excerpt = end_s - start_s > longest_s
    if is_excerpt:
        start_s, end_s = _best_run(spans, excerpt_s)
        if end_s - start_s > excerpt_s:
            end_s = _quietest_s(waveform, start_s + 2 / 3 * excerpt_s, start_s + excerpt_s)
    # The margin never reaches past the middle of a pause, and not at all into a phrase that was cut.
    before_s = max((span.end_s for span in spans if span.end_s <= start_s), default=-start_s)
    after_s = min((span.start_s for span in spans if span.start_s >= end_s), default=2 * waveform.duration_s - end_s)
    if any(span.start_s < end_s < span.end_s for span in spans):
        after_s = end_s
    start_s = max(start_s - MARGIN_S, (before_s + start_s) / 2)
    end_s = min(end_s + MARGIN_S, (after_s + end_s) / 2)
    kept = fade(waveform.slice_s(start_s, end_s), FADE_S, FADE_S)
    return Trimmed(kept, start_s, end_s, is_excerpt)


def _best_run(spans: Sequence[SpeechSpan], excerpt_s: float) -> tuple[float, float]:
    best, most_s = (spans[0].start_s, spans[0].end_s), 0.0
    for first, head in enumerate(spans):
        spoken_s = 0.0
        for span in spans[first:]:
            if span.end_s - head.start_s > excerpt_s and span is not head:
                break
            spoken_s += span.duration_s
            if min(spoken_s, excerpt_s) > most_s:
                best, most_s = (head.start_s, span.end_s), min(spoken_s, excerpt_s)
    return best


def _quietest_s(waveform: Waveform, start_s: float, end_s: float) -> float:
    """Middle of the quietest 50 ms between two times."""
    import numpy as np

    rate = waveform.sample_rate
    window = max(1, round(0.05 * rate))
    power = np.square(waveform.slice_s(start_s, end_s).samples, dtype=np.float64)
    energy = np.convolve(power, np.ones(window), mode="valid")
    return start_s + (int(energy.argmin()) + window / 2) / rate
