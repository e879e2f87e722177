"""Signal figures of sounds whose answer is known."""

import numpy as np
import pytest

from omnitts.audio import Waveform
from omnitts.pipeline.check.pace import measure_pace
from omnitts.pipeline.check.signal import measure_signal, unexplained_sound
from omnitts.types import Timing

RATE = 16_000


def bursts(*spans: tuple[float, float], duration_s: float) -> Waveform:
    noise = np.random.default_rng(1).standard_normal(round(duration_s * RATE)).astype(np.float32) * 0.1
    mask = np.zeros_like(noise)
    for start_s, end_s in spans:
        mask[round(start_s * RATE) : round(end_s * RATE)] = 1
    return Waveform(noise * mask, RATE)


def test_silences_and_level() -> None:
    figures = measure_signal(bursts((0.5, 1.0), (2.5, 3.0), duration_s=4.0))
    assert figures["lead_s"] == pytest.approx(0.5, abs=0.02)
    assert figures["trail_s"] == pytest.approx(1.0, abs=0.02)
    assert figures["longest_silence_s"] == pytest.approx(1.5, abs=0.02)
    assert figures["active_s"] == pytest.approx(1.0, abs=0.03)
    assert figures["speech_dbfs"] == pytest.approx(-20, abs=0.5)


def test_sound_without_words_is_found_even_under_a_stretched_word() -> None:
    sound = bursts((0.0, 4.0), duration_s=4.0)
    assert unexplained_sound(sound, [Timing("late", 3.0, 4.0)])["head_sound_s"] > 2
    assert unexplained_sound(sound, [Timing("late", 0.0, 4.0)])["head_sound_s"] > 2
    words = [Timing("word", at / 2, at / 2 + 0.5) for at in range(8)]
    assert unexplained_sound(sound, words) == {"head_sound_s": 0, "tail_sound_s": 0, "inner_sound_s": 0}


def test_a_stretch_that_runs_away_shows_in_the_pace() -> None:
    slow = [Timing("word", n * 0.5, n * 0.5 + 0.5) for n in range(20)]
    fast = [Timing("word", 10 + n * 0.1, 10 + n * 0.1 + 0.1) for n in range(6)]
    assert measure_pace(slow, 10.0).fastest == pytest.approx(1.0)
    assert measure_pace(slow + fast, 10.6).fastest > 3
