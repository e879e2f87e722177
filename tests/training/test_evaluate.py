"""Evaluation: figures are what the ears said, summed as promised; the ears here are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from omnitts.audio import FloatArray, Waveform
from omnitts.engines.registry import EngineOptions
from omnitts.errors import InputError
from omnitts.pipeline.check.transcribe import Transcript
from omnitts.training.evaluate import PARTS, EvaluateOptions, evaluate, speak
from omnitts.training.listening import Ears, Heard, summary
from omnitts.training.manifest import read_recordings
from omnitts.training.model_card import model_card
from omnitts.training.recipe import TOY
from tests.training.toys import RATE, buzz


class Deaf:
    """Hears the same words in everything."""

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript:
        return Transcript("The boat went out at dawn.", (), language)

    def is_rare(self, word: str) -> bool:
        return False


class Spectrum:
    """Tells voices by their long-term spectrum; clips under half a second not at all."""

    def embed(self, waveform: Waveform) -> FloatArray | None:
        if waveform.duration_s < 0.5:
            return None
        power = np.abs(np.fft.rfft(waveform.samples, 4 * RATE))[:2000].reshape(100, 20).mean(axis=1)
        return (power / max(1e-9, float(np.linalg.norm(power)))).astype(np.float32)


def test_the_engine_is_asked_as_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def open_engine(name: str, options: EngineOptions) -> SimpleNamespace:
        asked.append(dict(options.extra))
        return SimpleNamespace(speak=lambda requests: iter(()), close=lambda: None)

    monkeypatch.setattr("omnitts.training.evaluate.open_engine", open_engine)
    for options in (EvaluateOptions(), EvaluateOptions(particles=3), EvaluateOptions(pronounce=False)):
        speak(Path("model"), [], {}, options)
    assert asked == [{}, {"particles": 3}, {"pronouncer": "off"}]


def test_every_part_is_measured(toy_model: Path, clips: Path, tmp_path: Path) -> None:
    recordings = read_recordings(clips)[:6]
    details = tmp_path / "details.jsonl"
    options = EvaluateOptions(held_out=("s2",), limit=1, parts=PARTS, device="cpu", particles=2)
    figures = evaluate(
        toy_model, recordings, options, human=recordings[:1], details=details, ears=Ears(Deaf(), Spectrum())
    )
    assert figures["originals, known voices"]["clips"] == 2
    assert figures["originals, held-out voices"]["clips"] == 1
    assert figures["originals, known voices"]["nearest_is_own"] == 1.0
    assert figures["originals, known voices"]["similarity"] > 0.9
    assert 0 < figures["originals, known voices"]["wer"] < 1
    assert {part.split(",")[0] for part in figures} == {
        "originals",
        "vocoder",
        "resynthesis",
        "speech",
        "speed",
        "human references",
    }
    minutes = figures["originals, known voices"]["minutes"]
    for part in ("vocoder", "resynthesis"):
        assert figures[f"{part}, known voices"]["minutes"] == pytest.approx(minutes, abs=0.02)
    assert figures["speed"]["real_time_factor"] > 0
    lines = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 12
    facts = {"hours": 1.0, "utterances": 6, "speakers": 3, "steps": {}, "version": "0", "bytes": 1}
    card = model_card("toy", TOY, facts, figures)
    known = figures["originals, known voices"]
    assert f"| originals, known voices | 2 | {100 * known['wer']:.1f} % | {known['similarity']:.2f} | 1.00 |" in card
    assert f"similarity {figures['human references']['similarity']:.2f}." in card
    assert f"Real-time factor {figures['speed']['real_time_factor']:.2f} with" in card
    assert "licence is not said" in card
    told = model_card("toy", TOY, facts, None, "Read by Anna, CC0.")
    assert "Not measured" in told
    assert "Read by Anna, CC0." in told
    assert "licence is not said" not in told


def test_a_summary_weighs_words() -> None:
    clips = [
        Heard("a", "x", "", "", 1, 10, 30.0, 0.8, "x"),
        Heard("b", "x", "", "", 4, 40, 30.0, 0.6, "y"),
        Heard("c", "x", "", "", 0, 50, 60.0),
    ]
    assert summary(clips) == {
        "clips": 3,
        "words": 100,
        "minutes": 2.0,
        "wer": 0.05,
        "similarity": 0.7,
        "nearest_is_own": 0.5,
    }


def test_voices_are_told_apart_by_their_middles() -> None:
    ears = Ears(Deaf(), Spectrum())
    ears.learn_voices([(name, Waveform(buzz(1.0, hertz), RATE)) for name, hertz in (("low", 100.0), ("high", 240.0))])
    heard = ears.listen("1", Waveform(buzz(1.2, 240.0, 5), RATE), "The boat went out at dawn.", "high")
    assert heard.nearest == "high"
    assert heard.errors == 0
    assert ears.listen("2", Waveform(buzz(0.3, 240.0), RATE), "No.", "high").similarity is None


def test_a_voice_with_one_clip_has_no_reference(toy_model: Path, clips: Path) -> None:
    with pytest.raises(InputError, match="one clip"):
        evaluate(toy_model, read_recordings(clips)[:4], EvaluateOptions(), ears=Ears(Deaf(), Spectrum()))
