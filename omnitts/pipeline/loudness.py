"""Loudness: what a book measures, the one linear gain that brings it to its target, and a limiter for what sticks out.

Sound in blocks in, figures or sound in blocks out; memory does not grow with length. Knows no files' formats or clips.

Measured as in EBU R 128 / ITU-R BS.1770-4 by ffmpeg's ``ebur128``: gated loudness in LUFS, true peak in dBTP. One gain
for the whole book keeps the narrator's own dynamics; only single peaks are touched, by a limiter without memory: its
gain at each sample depends on the nearest 50 ms alone, so any cutting into blocks gives the same sound.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from omnitts import ffmpeg
from omnitts.audio import FloatArray
from omnitts.errors import FfmpegError

log = logging.getLogger(__name__)

UNMEASURABLE_LUFS = -69.9  # ebur128 says -70 for what lies under its absolute gate, and for less than 0.4 s
MAX_GAIN_DB = 40.0  # beyond that it is noise that would be raised
TOLERANCE_LU = 0.1  # aimed at by `gain_for`; the promise is 0.5
LIMITER_ROUNDS = 3

REACH_S = 0.025  # the limiter begins to turn down this long before a peak, and is back this long after
OVERSAMPLING = 4  # true peaks lie between samples (BS.1770-4 annex 2)
OVERSAMPLING_TAPS = 16
NEAR_PEAK = 0.7  # only near samples above this share of the ceiling can the sound between samples exceed it


@dataclass(frozen=True, slots=True)
class Loudness:
    """``integrated_lufs`` and ``true_peak_dbtp`` are minus infinity for silence; ``range_lu`` is EBU's range."""

    integrated_lufs: float
    true_peak_dbtp: float
    range_lu: float

    @property
    def is_measurable(self) -> bool:
        return self.integrated_lufs > -math.inf


def measure(blocks: Iterable[FloatArray], sample_rate: int, *, peaks: bool = True) -> Loudness:
    """Measures mono sound; without ``peaks`` twice as fast, the true peak then being NaN. Raises `FfmpegError`."""
    report = ffmpeg.analyse(blocks, sample_rate, "ebur128", peak="true" if peaks else "none", framelog="verbose")
    summary = report[report.rfind("Summary:") :]
    figures = {
        name: re.search(pattern, summary)
        for name, pattern in (
            ("integrated", r"\bI:\s*(\S+) LUFS"),
            ("range", r"\bLRA:\s*(\S+) LU\b"),
            ("peak", r"\bPeak:\s*(\S+) dBFS"),
        )
        if peaks or name != "peak"
    }
    if "Summary:" not in report or not all(figures.values()):
        if "Summary:" not in report and "I:" not in report:  # fed no samples, it says nothing at all
            return Loudness(-math.inf, -math.inf, 0.0)
        raise FfmpegError("ffmpeg's loudness report cannot be read", hint="use ffmpeg 4.3 or later")
    integrated, loudness_range, *rest = (float(match[1]) for match in figures.values() if match)
    peak = rest[0] if rest else math.nan
    return Loudness(integrated if integrated > UNMEASURABLE_LUFS else -math.inf, peak, loudness_range)


def gain_for(
    blocks: Callable[[], Iterable[FloatArray]],
    sample_rate: int,
    before: Loudness,
    loudness_lufs: float,
    ceiling_dbtp: float,
) -> float:
    """The gain in dB after which the limited sound has the wanted loudness, or as near as the limiter permits.

    ``blocks`` starts the sound anew; it is heard again only if the gain alone would pass the ceiling. Silence gets 0.
    """
    if not before.is_measurable:
        return 0.0
    gain_db = min(loudness_lufs - before.integrated_lufs, MAX_GAIN_DB)
    if before.true_peak_dbtp + gain_db <= ceiling_dbtp:
        return gain_db
    for _ in range(LIMITER_ROUNDS):
        after = measure(limited(blocks(), sample_rate, gain_db, ceiling_dbtp), sample_rate, peaks=False)
        missing_lu = loudness_lufs - after.integrated_lufs
        log.debug("gain %.2f dB gives %.1f LUFS", gain_db, after.integrated_lufs)
        if abs(missing_lu) <= TOLERANCE_LU or gain_db >= MAX_GAIN_DB:
            break
        gain_db = min(gain_db + missing_lu, MAX_GAIN_DB)
    return gain_db


def limited(
    blocks: Iterable[FloatArray], sample_rate: int, gain_db: float, ceiling_dbtp: float
) -> Iterator[FloatArray]:
    """The sound with the gain applied and no true peak above the ceiling; as long as it was, and not delayed."""
    gain, ceiling = np.float32(10 ** (gain_db / 20)), float(10 ** (ceiling_dbtp / 20))
    reach = max(1, round(REACH_S * sample_rate))
    context = 2 * reach + 2 * OVERSAMPLING_TAPS  # what a sample's gain depends on, to either side
    buffer = np.zeros(context, np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, block * gain])
        if len(buffer) > 2 * context:
            yield _turn_down(buffer, ceiling, reach)[context:-context]
            buffer = buffer[-2 * context :]
    buffer = np.concatenate([buffer, np.zeros(context, np.float32)])
    if len(buffer) > 2 * context:
        yield _turn_down(buffer, ceiling, reach)[context:-context]


def _turn_down(samples: FloatArray, ceiling: float, reach: int) -> FloatArray:
    """Samples (N,) times a smooth gain that keeps every true peak at or under the ceiling."""
    if not np.any(np.abs(samples) > NEAR_PEAK * ceiling):
        return samples
    from scipy import ndimage

    peaks = true_peaks(samples, NEAR_PEAK * ceiling)
    if peaks.max() <= ceiling:
        return samples
    wanted = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    # The lowest gain wanted within reach, then a mean over no more than that reach: never above what any peak wants.
    gains = ndimage.minimum_filter1d(wanted, 2 * reach + 1, mode="nearest")
    for _ in range(2):  # two boxes of reach + 1 make a triangle of 2 * reach + 1
        gains = ndimage.uniform_filter1d(gains, 2 * (reach // 2) + 1, mode="nearest")
    return np.asarray(samples * gains, dtype=np.float32)


def true_peaks(samples: FloatArray, threshold: float) -> FloatArray:
    """For each of N samples the largest magnitude at it and up to its neighbours, between samples too.

    Looked for between samples only around those above ``threshold``; elsewhere it is the sample's own magnitude.
    """
    from scipy import ndimage, signal

    peaks = np.abs(samples)
    near = ndimage.maximum_filter1d(peaks > threshold, 2 * OVERSAMPLING_TAPS + 1)
    edges = np.flatnonzero(np.diff(near, prepend=False, append=False))
    for start, end in edges.reshape(-1, 2):
        low, high = max(0, start - OVERSAMPLING_TAPS), min(len(samples), end + OVERSAMPLING_TAPS)
        oversampled = signal.resample_poly(samples[low:high], OVERSAMPLING, 1, window=_oversampling_filter())
        fine = np.abs(oversampled).reshape(-1, OVERSAMPLING).max(axis=1)
        fine[1:] = np.maximum(fine[1:], fine[:-1])  # what lies between two samples belongs to both
        inner = slice(start - low, end - low)
        peaks[start:end] = np.maximum(peaks[start:end], fine[inner])
    return peaks


@cache
def _oversampling_filter() -> FloatArray:
    """scipy's own low-pass for this ratio, designed once: it would design it anew for each of thousands of peaks."""
    from scipy import signal

    half_length = 10 * OVERSAMPLING
    taps = signal.firwin(2 * half_length + 1, 1 / OVERSAMPLING, window=("kaiser", 5.0))
    return np.asarray(taps, dtype=np.float32)
