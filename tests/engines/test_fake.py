"""The fake engine: lengths, determinism, and the faults it can be told to make."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from omnitts.audio import peak_dbfs
from omnitts.engines.base import SpeechRequest
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import EngineError, UsageError
from omnitts.types import Voice

LINE = "It was a bright cold day in April, and the clocks were striking thirteen."


def speak(request: SpeechRequest, **extra: str | float) -> np.ndarray:
    (speech,) = open_engine("fake", EngineOptions(extra=extra)).speak([request])
    return speech.waveform.samples


def pitch_hz(samples: np.ndarray) -> float:
    """Strongest autocorrelation between 60 and 300 Hz."""
    middle = samples[6000:18000].astype(np.float64)
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    lags = np.arange(80, 400)
    return 24_000 / float(lags[np.argmax(correlation[lags])])


def test_equal_requests_give_equal_samples() -> None:
    first, again = speak(SpeechRequest("a", LINE, seed=3)), speak(SpeechRequest("b", LINE, seed=3))
    assert first.dtype == np.float32
    assert np.array_equal(first, again)


def test_seed_text_and_voice_each_change_the_sound(anna: Voice, bert: Voice) -> None:
    plain = speak(SpeechRequest("a", LINE))
    assert not np.array_equal(plain, speak(SpeechRequest("a", LINE, seed=1)))
    assert not np.array_equal(plain, speak(SpeechRequest("a", LINE[:-1] + "!")))
    low, high = pitch_hz(speak(SpeechRequest("a", LINE, anna))), pitch_hz(speak(SpeechRequest("a", LINE, bert)))
    assert abs(low - high) > 5
    assert 80 < low < 260
    assert pitch_hz(speak(SpeechRequest("a", LINE[:40], anna))) == pytest.approx(low, rel=0.02)


def test_length_follows_text_and_speed() -> None:
    once, twice = (len(speak(SpeechRequest("a", text))) / 24_000 for text in (LINE, LINE * 2))
    assert once == pytest.approx(len(LINE) / 15 + 0.1, abs=0.01)
    assert twice - 0.1 == pytest.approx(2 * (once - 0.1), abs=0.01)
    assert len(speak(SpeechRequest("a", LINE, speed=2.0))) / 24_000 - 0.1 == pytest.approx((once - 0.1) / 2, abs=0.01)
    assert len(speak(SpeechRequest("a", "你好世界" * 9))) / 24_000 == pytest.approx(8.1, abs=0.05)


def test_level_is_that_of_speech() -> None:
    assert -12 < peak_dbfs(speak(SpeechRequest("a", LINE))) < -9


@pytest.mark.parametrize("text", ["", "   ", "…", "—!?", "😀"])
def test_nothing_to_say_is_reported(text: str) -> None:
    (speech,) = open_engine("fake").speak([SpeechRequest("a", text)])
    assert speech.failure == "empty"
    assert len(speech.waveform) > 0


def test_requests_are_pulled_one_at_a_time() -> None:
    pulled = []

    def requests() -> Iterator[SpeechRequest]:
        for idx in range(3):
            pulled.append(idx)
            yield SpeechRequest(str(idx), LINE)

    speeches = open_engine("fake").speak(requests())
    assert next(speeches).key == "0"
    assert pulled == [0]
    assert [speech.key for speech in speeches] == ["1", "2"]


def test_planted_faults() -> None:
    options = EngineOptions(extra={"fail_on": "clocks", "fail_seeds_below": 2, "raise_on": "BOOM"})
    engine = open_engine("fake", options)
    first, third = engine.speak([SpeechRequest("a", LINE, seed=0), SpeechRequest("b", LINE, seed=2)])
    assert (first.failure, third.failure) == ("length", "")
    assert first.waveform.duration_s == pytest.approx(third.waveform.duration_s / 2, abs=0.01)
    with pytest.raises(EngineError, match="told to fail"):
        list(engine.speak([SpeechRequest("a", "BOOM")]))
    with pytest.raises(UsageError, match="no setting 'fail_onn'"):
        open_engine("fake", EngineOptions(extra={"fail_onn": "x"}))
