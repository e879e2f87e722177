"""The recipe on tiny data sets: spoken by the fake engine, heard by a stand-in, scored by the benchmark's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.errors import EngineError, UsageError, VoiceError
from omnitts.pipeline.check.similarity import SpeakerEncoder
from omnitts.pipeline.evaluate.published import PUBLISHED, published_for
from omnitts.pipeline.evaluate.run import EvaluateOptions, Evaluation, evaluate, slices
from omnitts.pipeline.voices.library import resolve_voice
from omnitts.progress import Event
from omnitts.types import Voice
from tests.engines.tiny_checkpoint import write_checkpoint
from tests.pipeline.evaluate.sets import Hears, write_long, write_seed


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def run(
    tmp_path: Path, hears: Hears, benchmark: str = "long-tts-eval", **options: Any
) -> tuple[Evaluation, list[Event]]:
    listener = Listener()
    chosen = {"benchmark": benchmark, "data": tmp_path / "set", "out": tmp_path / "out", "engine": "fake", **options}
    return evaluate(EvaluateOptions(**chosen), listener, hears), listener.events


def lines(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [json.loads(line) for line in evaluation.results.read_text().splitlines()]


def test_the_better_reference_counts_and_words_weigh_the_same(tmp_path: Path) -> None:
    write_long(tmp_path / "set")
    evaluation, events = run(tmp_path, Hears("it was in nineteen eighty four", "the sea was warm"))
    header, first, second = lines(evaluation)
    assert header["header"]["engine_revision"] == "fake-1"
    assert (first["id"], first["wer"], first["num_words"]) == ("a", 0.0, 6)
    assert (second["id"], second["wer"]) == ("b", 0.25)
    only = evaluation.scores[0]
    assert only.wer == pytest.approx(1 / 10)
    assert only.mean_wer == pytest.approx(1 / 8)
    assert only.rtf is not None
    assert only.similarity is None  # nobody's voice was asked for
    assert [event.name for event in events] == ["evaluating", "scored", "scored"]
    assert evaluation.results.name == "long-tts-eval.fake.jsonl"


def test_the_same_command_does_only_what_is_left(tmp_path: Path) -> None:
    write_long(tmp_path / "set")
    run(tmp_path, Hears("nothing right"), limit=1)
    evaluation, events = run(tmp_path, Hears("the sea was calm"))
    assert events[0].data["done"] == 1
    assert [event.data["id"] for event in events[1:]] == ["b"]
    assert len(lines(evaluation)) == 3
    with pytest.raises(UsageError, match="another seed"):
        run(tmp_path, Hears("x"), seed=1)
    _, events = run(tmp_path, Hears("the sea was calm"), seed=1, fresh=True)
    assert events[0].data["done"] == 0


def test_seed_items_are_spoken_in_their_own_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []
    monkeypatch.setattr(
        SpeakerEncoder,
        "similarity",
        lambda self, waveform, voice: compared.append((voice.language, voice.transcript)) or 0.7,
    )
    write_seed(tmp_path / "set")
    evaluation, _ = run(tmp_path, Hears("don't go anna", "今天天汽真不錯"), "seed-tts-eval", keep_audio=True)
    _, english, chinese = lines(evaluation)
    assert english["wer"] == 0.0
    assert chinese["wer"] == pytest.approx(1 / 7)  # the traditional character is no error
    assert [score.subset for score in evaluation.scores] == ["en", "zh-hard"]
    prompt = resolve_voice("clara").transcript
    assert compared == [("en", prompt), ("zh", prompt)]
    kept = audio.load(tmp_path / "out" / "seed-tts-eval.fake" / "en" / "u1.flac")
    assert kept.duration_s == pytest.approx(english["audio_s"], abs=0.01)


def test_a_prompt_too_short_for_the_library_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpeakerEncoder, "similarity", lambda self, waveform, voice: None)
    folder = write_seed(tmp_path / "set")
    audio.save(Waveform(np.ones(16000 * 2, np.float32) / 4, 16000), folder / "en" / "prompt-wavs" / "p.flac")
    evaluation, _ = run(tmp_path, Hears("don't go anna"), "seed-tts-eval", subsets=("en",))
    assert (lines(evaluation)[1]["failure"], lines(evaluation)[1]["wer"]) == ("", 0.0)


def test_similarity_is_with_the_voice_that_was_cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def similarity(self: object, waveform: Waveform, voice: Voice) -> float | None:
        if voice.name == "clara":
            return 0.8
        raise VoiceError("too little speech")

    monkeypatch.setattr(SpeakerEncoder, "similarity", similarity)
    write_long(tmp_path / "set")
    evaluation, _ = run(tmp_path, Hears("x"), voice="clara")
    assert [line["similarity"] for line in lines(evaluation)[1:]] == [0.8, 0.8]
    assert evaluation.scores[0].similarity == pytest.approx(0.8)
    evaluation, _ = run(tmp_path, Hears("x"), voice="edmund", name="e", limit=1)
    assert lines(evaluation)[1]["similarity"] is None


def test_an_item_that_fails_counts_as_unspoken_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_long(tmp_path / "set")

    def speak(self: object, requests: Any) -> Any:
        raise EngineError("the GPU is on fire")

    monkeypatch.setattr("omnitts.engines.fake.FakeEngine.speak", speak)
    evaluation, _ = run(tmp_path, Hears("x"))
    assert evaluation.num_failed == 2
    assert evaluation.scores[0].wer == 1.0
    assert "on fire" in lines(evaluation)[1]["failure"]
    monkeypatch.undo()
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    evaluation, events = run(tmp_path, Hears("it was in 1984", "the sea was calm"))
    assert (evaluation.num_failed, evaluation.scores[0].wer) == (0, 0.0)
    assert len(events) == 3


def test_whole_texts_reach_the_engine_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pieces, 1984 is spoken as words; whole, the engine gets the digits."""
    from omnitts.engines import fake

    write_long(tmp_path / "set")
    texts: list[str] = []
    tone = fake.tone
    monkeypatch.setattr(fake, "tone", lambda request: texts.append(request.text) or tone(request))
    run(tmp_path, Hears("x"), limit=1)
    run(tmp_path, Hears("x"), limit=1, whole=True, name="whole")
    assert "1984" not in texts[0]
    assert texts[1] == "It was in 1984."


def test_the_real_engine_goes_the_same_road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny checkpoint with random weights: what it says is noise, but it is spoken, heard, compared and written."""
    monkeypatch.setattr(SpeakerEncoder, "similarity", lambda self, waveform, voice: 0.5)
    write_long(tmp_path / "set")
    model = write_checkpoint(tmp_path / "tiny")
    options = {"engine": "mgm-omni", "model": str(model), "device": "cpu", "voice": "clara"}
    evaluation, _ = run(tmp_path, Hears("the sea was calm"), whole=True, limit=1, **options)
    header, only = lines(evaluation)
    assert evaluation.results.name == "long-tts-eval.mgm-omni-tiny.jsonl"
    assert header["header"]["voice"]
    assert only["audio_s"] > 0
    assert (only["similarity"], only["failure"]) == (0.5, "")


def test_slices_are_those_of_the_published_script() -> None:
    cut = list(slices(Waveform(np.ones(16000 * 60, np.float32), 16000)))
    assert [piece.duration_s for piece in cut] == [28.0, 28.0, 4.0]


def test_long_speech_is_heard_in_slices_and_joined(tmp_path: Path) -> None:
    write_long(tmp_path / "set")
    (tmp_path / "set" / "en.jsonl").write_text(json.dumps({"text": "One two three four five. " * 30}))
    hears = Hears("part")
    evaluation, _ = run(tmp_path, hears)
    assert len(hears.lengths_s) > 1
    assert lines(evaluation)[1]["heard"] == " ".join(["part"] * len(hears.lengths_s))


def test_what_cannot_be_spoken_is_said_before_anything_is(tmp_path: Path) -> None:
    write_seed(tmp_path / "set")
    with pytest.raises(EngineError, match="does not speak 'zh'"):
        run(tmp_path, Hears("x"), "seed-tts-eval", engine="draft")
    with pytest.raises(UsageError, match="no subset 'fr'"):
        run(tmp_path, Hears("x"), "seed-tts-eval", subsets=("fr",))
    with pytest.raises(UsageError, match="no benchmark"):
        run(tmp_path, Hears("x"), "mine")
    assert not (tmp_path / "out").exists()


def test_published_figures_name_their_source() -> None:
    assert {item.benchmark for item in PUBLISHED} == {"long-tts-eval", "seed-tts-eval"}
    assert all(item.source and 0 < rate < 100 for item in PUBLISHED for rate in item.errors.values())
    ours = next(item for item in published_for("long-tts-eval") if "MGM" in item.model)
    assert ours.errors == {"en": 4.98, "zh": 5.58, "en-hard": 26.26, "zh-hard": 23.58}
