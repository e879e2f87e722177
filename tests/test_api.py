"""The Python API: three lines from text to a file, the arguments of the command line, the same errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import omnitts
from omnitts import audio
from omnitts.errors import BookError, EngineError, UsageError, VoiceError


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


def test_three_lines(tmp_path: Path) -> None:
    speaker = omnitts.load_engine("fake", voice="clara")
    speaker.say("Good evening.").save(tmp_path / "evening.wav")
    assert audio.load(tmp_path / "evening.wav").duration_s == pytest.approx(1.0, abs=0.3)


def test_a_stream_is_the_same_sound() -> None:
    text = "\n\n".join(f"Paragraph {n} goes on for a while, and then for a while more." * 3 for n in range(3))
    with omnitts.load_engine("fake") as speaker:
        whole = speaker.say(text)
        pieces = list(speaker.stream(text))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), whole.samples)


def test_the_seed_decides() -> None:
    with omnitts.load_engine("fake") as speaker:
        one, again, other = (speaker.say("Good evening.", seed=seed).samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_errors() -> None:
    with pytest.raises(EngineError, match="no engine is called"):
        omnitts.load_engine("nope")
    with pytest.raises(VoiceError, match="cannot clone"):
        omnitts.load_engine("draft", voice="clara")
    with pytest.raises(UsageError, match="without its recording"):
        omnitts.load_engine("fake", voice_text="words")
    with omnitts.load_engine("fake") as speaker, pytest.raises(BookError, match="nothing to say"):
        speaker.say("...")
