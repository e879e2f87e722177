"""Signal checks: level, clipping, silence, sudden ends, and sound that no word explains. Waveform in, figures out.

Frames of 10 ms; a frame is *active* when it is within `ACTIVE_BELOW_DB` of the clip's own speech level (its 95th
percentile), so quiet and loud recordings are measured alike. Knows no thresholds of what is a fault: that is `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from omnitts.audio import SILENCE_DBFS, FloatArray, Waveform, peak_dbfs
from omnitts.types import Timing

FRAME_S: Final = 0.01
ACTIVE_BELOW_DB: Final = 35.0
AUDIBLE_DBFS: Final = -60.0  # nothing below counts as sound, however quiet the clip
END_S: Final = 0.03
_CLIP_LEVEL: Final = 0.999
_WORD_MARGIN_S: Final = 0.3  # attention times of words are this loose
_LONGEST_WORD_S: Final = 0.4
_LONGEST_LETTER_S: Final = 0.12
Levels = npt.NDArray[np.float64]


def measure_signal(waveform: Waveform) -> dict[str, float]:
    """Figures of a clip, all seconds or dB:

    ``duration_s``, ``active_s`` (sound), ``lead_s`` and ``trail_s`` (silence at the ends), ``longest_silence_s``
    (inside), ``speech_dbfs`` (mean level of active frames), ``peak_dbfs``, ``clipped_s`` (samples at full scale),
    ``floor_dbfs`` (10th percentile of frames), ``end_db`` (the last 30 ms against the speech level).
    """
    levels, rate = frame_levels(waveform), waveform.sample_rate
    active = active_frames(levels)
    figures = {
        "duration_s": waveform.duration_s,
        "active_s": float(active.sum()) * FRAME_S,
        "peak_dbfs": peak_dbfs(waveform.samples),
        "clipped_s": float((np.abs(waveform.samples) >= _CLIP_LEVEL).sum()) / rate,
        "floor_dbfs": float(np.percentile(levels, 10)) if len(levels) else SILENCE_DBFS,
        "speech_dbfs": SILENCE_DBFS,
        "lead_s": waveform.duration_s,
        "trail_s": waveform.duration_s,
        "longest_silence_s": 0.0,
        "end_db": SILENCE_DBFS,
    }
    if active.any():
        places = np.flatnonzero(active)
        speech = _mean_db(levels[active])
        tail = waveform.samples[-max(1, round(END_S * rate)) :]
        figures |= {
            "speech_dbfs": speech,
            "lead_s": float(places[0]) * FRAME_S,
            "trail_s": max(0.0, waveform.duration_s - float(places[-1] + 1) * FRAME_S),
            "longest_silence_s": float(np.diff(places).max(initial=1) - 1) * FRAME_S,
            "end_db": _level_db(tail) - speech,
        }
    return {name: round(value, 3) for name, value in figures.items()}


def unexplained_sound(waveform: Waveform, words: Sequence[Timing]) -> dict[str, float]:
    """Active sound outside all words: ``head_sound_s``, ``tail_sound_s``, ``inner_sound_s`` (longest stretch inside).

    Laughter, noise bursts, babble or a foreign language leave sound that the recogniser gives no words for.
    """
    active = active_frames(frame_levels(waveform))
    explained = np.zeros(len(active), dtype=bool)
    for word in words:
        # A recogniser that skips babble stretches the next word over it: a word explains what a word can last.
        start_s = max(word.start_s, word.end_s - _LONGEST_WORD_S - _LONGEST_LETTER_S * len(word.text))
        first, last = (start_s - _WORD_MARGIN_S) / FRAME_S, (word.end_s + _WORD_MARGIN_S) / FRAME_S
        explained[max(0, round(first)) : max(0, round(last))] = True
    loose = active & ~explained
    if not words:
        return {"head_sound_s": float(loose.sum()) * FRAME_S, "tail_sound_s": 0.0, "inner_sound_s": 0.0}
    start, end = round(words[0].end_s / FRAME_S), round(words[-1].end_s / FRAME_S)
    return {
        "head_sound_s": round(float(loose[:start].sum()) * FRAME_S, 3),
        "tail_sound_s": round(float(loose[end:].sum()) * FRAME_S, 3),
        "inner_sound_s": round(_longest_stretch(loose[start:end]) * FRAME_S, 3),
    }


def frame_levels(waveform: Waveform) -> Levels:
    """RMS of each 10 ms frame in dBFS, shape (F,); a rest shorter than a frame is left out."""
    hop = max(1, round(FRAME_S * waveform.sample_rate))
    count = len(waveform) // hop
    frames = waveform.samples[: count * hop].reshape(count, hop)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (SILENCE_DBFS / 10))), dtype=np.float64)


def active_frames(levels: Levels) -> npt.NDArray[np.bool_]:
    """Which frames hold sound, shape (F,)."""
    if not len(levels):
        return np.zeros(0, dtype=bool)
    threshold = max(AUDIBLE_DBFS, float(np.percentile(levels, 95)) - ACTIVE_BELOW_DB)
    return levels > threshold


def _mean_db(levels: Levels) -> float:
    return 10 * float(np.log10(np.mean(10 ** (levels / 10))))


def _level_db(samples: FloatArray) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10 * float(np.log10(max(power, 10 ** (SILENCE_DBFS / 10))))


def _longest_stretch(flags: npt.NDArray[np.bool_]) -> int:
    """Length of the longest run of true, with holes of up to 0.1 s closed."""
    longest, run, hole = 0, 0, 0
    for flag in flags:
        if flag:
            run, hole = run + hole + 1, 0
            longest = max(longest, run)
        elif run:
            hole += 1
            if hole > 10:
                run, hole = 0, 0
    return longest
