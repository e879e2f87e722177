"""Loudness: against a signal of known loudness, and the promises of gain and limiter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omnitts.audio import FloatArray, Waveform, fade
from omnitts.pipeline.loudness import gain_for, limited, measure, true_peaks

RATE = 24_000


def sine(level_dbfs: float, seconds: float = 3.0, hertz: float = 997.0, rate: int = RATE) -> FloatArray:
    t_s = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hertz * t_s)).astype(np.float32)


def speechlike(seconds: float = 12.0) -> FloatArray:
    """Noise in syllables with rare peaks far above its mean, as in speech."""
    generator = np.random.default_rng(1)
    count = round(seconds * RATE)
    syllables = np.abs(np.sin(np.pi * 4 * np.arange(count) / RATE)) ** 2
    samples = 0.05 * generator.standard_normal(count) * syllables
    samples[generator.integers(0, count, 40)] *= 6
    return samples.astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_a_sine_measures_what_the_standard_says(rate: int) -> None:
    """EBU Tech 3341: a mono 997 Hz sine of -20 dBFS peak has -23.0 LUFS (-20 - 3.01 RMS, +-0)."""
    found = measure([sine(-20, rate=rate)], rate)
    assert found.integrated_lufs == pytest.approx(-23.0, abs=0.15)
    assert found.true_peak_dbtp == pytest.approx(-20.0, abs=0.15)


def test_blocks_do_not_matter() -> None:
    whole = speechlike()
    assert measure([whole], RATE) == measure(np.array_split(whole, 77), RATE)


@pytest.mark.parametrize("samples", [[], [np.zeros(RATE, np.float32)], [sine(-20, seconds=0.1)]])
def test_nothing_silence_and_a_blip_have_no_loudness(samples: list[FloatArray]) -> None:
    found = measure(samples, RATE)
    assert found.integrated_lufs == -math.inf
    assert not found.is_measurable
    assert gain_for(lambda: samples, RATE, found, -19.0, -3.0) == 0.0


@pytest.mark.parametrize("level", [0.05, 0.3, 1.0])
def test_gain_and_limiter_reach_the_target_under_the_ceiling(level: float) -> None:
    sound = speechlike() * np.float32(level)
    gain_db = gain_for(lambda: [sound], RATE, measure([sound], RATE), -19.0, -3.0)
    after = measure(limited([sound], RATE, gain_db, -3.0), RATE)
    assert after.integrated_lufs == pytest.approx(-19.0, abs=0.25)
    assert after.true_peak_dbtp <= -3.0 + 0.1


def test_a_gain_that_needs_no_limiter_is_exact_and_hears_the_sound_once() -> None:
    sound = sine(-40)

    def again() -> list[FloatArray]:
        raise AssertionError("the sound was asked for again")

    gain_db = gain_for(again, RATE, measure([sound], RATE), -19.0, -3.0)
    assert gain_db == pytest.approx(24.0, abs=0.15)
    assert np.allclose(np.concatenate(list(limited([sound], RATE, gain_db, -3.0))), sound * 10 ** (gain_db / 20))


def test_the_limiter_touches_only_the_neighbourhood_of_a_peak() -> None:
    sound = sine(-12)
    sound[RATE : RATE + 10] = 1.0
    after = np.concatenate(list(limited([sound], RATE, 0.0, -3.0)))
    assert len(after) == len(sound)
    assert np.abs(after).max() <= 10 ** (-3 / 20) + 1e-6
    reach = round(0.06 * RATE)
    assert np.array_equal(after[: RATE - reach], sound[: RATE - reach])
    assert np.array_equal(after[RATE + reach :], sound[RATE + reach :])


def test_the_limiter_gives_the_same_samples_however_the_sound_is_cut() -> None:
    sound = speechlike(4.0) * 8
    reference = np.concatenate(list(limited([sound], RATE, 0.0, -3.0)))
    for pieces in (3, 50, 700):
        cut = np.concatenate(list(limited(np.array_split(sound, pieces), RATE, 0.0, -3.0)))
        assert np.allclose(cut, reference, atol=1e-6)
    assert sum(len(block) for block in limited([], RATE, 0.0, -3.0)) == 0
    assert [len(block) for block in limited([sound[:5]], RATE, 0.0, -3.0)] == [5]


def test_peaks_between_samples_are_seen() -> None:
    """A quarter-rate sine sampled at 45 degrees: its samples are 3 dB under its true peak."""
    sound = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)
    assert np.abs(sound).max() == pytest.approx(0.7071, abs=1e-3)
    assert true_peaks(sound, 0.5)[100:-100].max() == pytest.approx(1.0, abs=0.02)
    faded = fade(Waveform(sound, RATE), 0.01, 0.01).samples
    after = np.concatenate(list(limited([faded], RATE, 0.0, -3.0)))
    assert measure([after], RATE).true_peak_dbtp == pytest.approx(-3.0, abs=0.1)


def test_hopeless_quiet_is_not_raised_without_end() -> None:
    sound = sine(-65)
    assert gain_for(lambda: [sound], RATE, measure([sound], RATE), -19.0, -3.0) == 40.0
