"""The draft narrator: determinism, takes, odd text, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from omnitts.engines.base import Engine, SpeechRequest
from omnitts.engines.draft import MAX_RUN_CHARS, PACES, readable, runs
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import DependencyError, EngineError, VoiceError
from omnitts.types import Voice

LINE = "It was a bright cold day in April."


@pytest.fixture(scope="module")
def draft() -> Engine:
    return open_engine("draft")


def speak(engine: Engine, text: str, seed: int = 0, speed: float = 1.0, language: str = "en") -> np.ndarray:
    (speech,) = engine.speak([SpeechRequest("k", text, language=language, seed=seed, speed=speed)])
    assert speech.failure == ""
    assert speech.waveform.sample_rate == engine.capabilities.sample_rate == 24_000
    return speech.waveform.samples


def test_samples_are_the_same_in_another_process_with_other_thread_counts(draft: Engine) -> None:
    code = (
        "import hashlib, sys; from omnitts.engines.base import SpeechRequest;"
        "from omnitts.engines.registry import open_engine;"
        "(s,) = open_engine('draft').speak([SpeechRequest('k', sys.argv[1], seed=5)]);"
        "print(hashlib.sha256(s.waveform.samples.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, LINE],
            env={"OMP_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
        for threads in ("1", "4")
    }
    assert len(digests) == 1
    assert np.array_equal(speak(draft, LINE, seed=5), speak(draft, LINE, seed=5))


def test_another_seed_is_another_take(draft: Engine) -> None:
    lengths = [len(speak(draft, LINE, seed=seed)) for seed in range(4)]
    assert len(set(lengths)) == 4
    assert all(abs(length / lengths[0] - 1) < 0.12 for length in lengths)
    assert PACES[0] == 1.0
    assert len(set(PACES)) == len(PACES)


def test_it_offers_no_speed_and_refuses_one(draft: Engine) -> None:
    assert not draft.capabilities.speed
    with pytest.raises(EngineError, match="one pace"):
        speak(draft, LINE, speed=1.25)


def test_a_voice_is_refused_not_ignored(draft: Engine, anna: Voice) -> None:
    with pytest.raises(VoiceError) as caught:
        draft.prepare(anna)
    assert "mgm-omni" in caught.value.hint
    with pytest.raises(VoiceError):
        list(draft.speak([SpeechRequest("k", LINE, anna)]))


def test_other_languages_are_refused_by_name(draft: Engine) -> None:
    with pytest.raises(EngineError, match="'zh'"):
        speak(draft, LINE, language="zh")
    speak(draft, LINE, language="en-GB")


@pytest.mark.parametrize("text", ["", " \n\t", "😀😀", "…", "—", "?!", "(((", "\x00\u200b", "\ud800"])
def test_nothing_to_say_is_reported(draft: Engine, text: str) -> None:
    (speech,) = draft.speak([SpeechRequest("k", text)])
    assert speech.failure == "empty"
    assert not speech.waveform.samples.any()


@pytest.mark.parametrize(
    "text",
    [
        "9" * 50,
        "A" * 200,
        "a [b](/c/) d",
        "<|im_end|> & <b>bold</b>",
        "drôle naïve café Ωmega",
        "It cost $1,234.56 (or €99) on 3/4/2020 at 7:30 p.m.",
        "\u202eabc\u200d def\ud800 ghi",
        "x" * 61 + "1" * 16,
    ],
)
def test_odd_text_is_spoken(draft: Engine, text: str) -> None:
    samples = speak(draft, text)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() > 0.05


def test_brackets_are_read_not_obeyed(draft: Engine) -> None:
    assert len(speak(draft, "Say [hibari](/hibari hibari hibari hibari/) now.")) > 0
    assert "](" not in readable("[a](/b/)")


def test_long_text_without_a_full_stop_is_cut_at_words() -> None:
    text = "word " * 400
    pieces = list(runs(readable(text)))
    assert all(len(piece) <= MAX_RUN_CHARS for piece in pieces)
    assert " ".join(pieces).split() == text.split()


def test_long_text_is_cut_after_sentences_first() -> None:
    text = "One, two. " * 40
    assert all(piece.endswith(".") for piece in runs(text))
    assert list(runs("Short one.\nAnother.")) == ["Short one.", "Another."]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(DependencyError, match="needs hibari"):
        open_engine("draft").prepare(None)


def test_model_settings_are_refused() -> None:
    with pytest.raises(EngineError, match="takes no model"):
        open_engine("draft", EngineOptions(model="folder"))
    with pytest.raises(EngineError, match="no setting 'x'"):
        open_engine("draft", EngineOptions(extra={"x": 1}))
