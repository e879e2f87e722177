"""Transcribing files: windows, recognisers, several files of which one fails, and where the result goes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.engines.brain import AnswerEnd, AnswerOptions, BrainOptions, Part, open_brain
from omnitts.errors import AudioError, EngineError, OutputError, UsageError
from omnitts.pipeline import transcribe as module
from omnitts.pipeline.listening import INSTRUCTION, INSTRUCTIONS, BrainEar, Window, open_ear
from omnitts.pipeline.transcribe import Outcome, TranscribeOptions, transcribe
from omnitts.pipeline.transcripts import Segment
from omnitts.progress import Event
from omnitts.types import Timing

RATE = 16000


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


class Counting:
    """An ear that hears its window's number. ``most_at_once``: the longest sound it was ever handed, in seconds."""

    description = "counting"
    batch = 2

    def __init__(self) -> None:
        self.heard: list[tuple[float, float]] = []
        self.most_at_once = 0.0

    def language_of(self, window: Window) -> str:
        return "en"

    def hear(self, windows: Sequence[Window], language: str) -> list[Segment]:
        self.most_at_once = max(self.most_at_once, sum(window.waveform.duration_s for window in windows))
        segments = []
        for window in windows:
            self.heard.append((window.start_s, window.end_s))
            word = f"Window{len(self.heard)}."
            segments.append(Segment(window.start_s, window.end_s, word, (Timing(word, window.start_s, window.end_s),)))
        return segments

    def close(self) -> None:
        return


def write_noise(path: Path, seconds: float) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    audio.save(Waveform(noise, RATE), path)
    return path


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    monkeypatch.setattr(module, "open_ear", lambda *args, **kwargs: counting)
    return counting


def run(*files: Path, **options: Any) -> tuple[Outcome, str, list[Event]]:
    listener, sink = Listener(), io.StringIO()
    outcome = transcribe(TranscribeOptions(files, **options), listener, sink)
    return outcome, sink.getvalue(), listener.events


def test_windows_cover_a_long_file_once_and_a_few_at_a_time(tmp_path: Path, ear: Counting) -> None:
    outcome, text, events = run(write_noise(tmp_path / "talk.wav", 200.0))
    assert ear.heard[0][0] == 0.0
    assert ear.heard[-1][1] == pytest.approx(200.0, abs=0.01)
    assert all(before[1] == pytest.approx(after[0]) for before, after in zip(ear.heard, ear.heard[1:], strict=False))
    assert ear.most_at_once <= 60
    assert text.splitlines() == [f"Window{i + 1}." for i in range(len(ear.heard))]
    assert outcome.done[0].audio_s == pytest.approx(200.0, abs=0.01)
    assert [event.name for event in events if event.name != "segment"] == ["listening", "transcribed"]
    assert events[0].data["audio_s"] == pytest.approx(200.0, abs=0.01)


def test_a_folder_gets_every_format_of_every_file(tmp_path: Path, ear: Counting) -> None:
    first, second = write_noise(tmp_path / "a.wav", 1.0), write_noise(tmp_path / "b.flac", 1.0)
    outcome, text, _ = run(first, second, out=tmp_path / "out", formats=("srt", "json"))
    assert text == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.srt", "b.json", "b.srt"]
    assert outcome.done[1].outputs == (tmp_path / "out" / "b.srt", tmp_path / "out" / "b.json")
    assert json.loads((tmp_path / "out" / "b.json").read_text())["segments"][0]["text"] == "Window2."


def test_files_of_one_stem_keep_their_whole_names(tmp_path: Path, ear: Counting) -> None:
    first, second = write_noise(tmp_path / "a.wav", 1.0), write_noise(tmp_path / "a.flac", 1.0)
    run(first, second, out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.flac.txt", "a.wav.txt"]
    (tmp_path / "x").mkdir()
    third = write_noise(tmp_path / "x" / "a.wav", 1.0)
    with pytest.raises(UsageError, match="both become"):
        run(first, third, out=tmp_path / "out")


def test_one_file_that_fails_does_not_stop_the_others(tmp_path: Path, ear: Counting) -> None:
    (tmp_path / "bad.mp3").write_text("no sound")
    good = write_noise(tmp_path / "good.wav", 1.0)
    outcome, _, events = run(tmp_path / "bad.mp3", good, out=tmp_path / "out")
    assert [done.file for done in outcome.done] == [good]
    assert [(path.name, type(error)) for path, error in outcome.failed] == [("bad.mp3", AudioError)]
    assert "failed" in [event.name for event in events]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.txt"]
    with pytest.raises(AudioError):
        run(tmp_path / "bad.mp3")


def test_nothing_half_written_is_left(tmp_path: Path, ear: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_noise(tmp_path / "a.wav", 70.0)

    def fail(windows: Sequence[Window], language: str) -> list[Segment]:
        if ear.heard:
            raise EngineError("the GPU's memory is full")
        return Counting.hear(ear, windows, language)

    monkeypatch.setattr(ear, "hear", fail)
    with pytest.raises(EngineError):
        run(file, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, ear: Counting) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        run(write_noise(tmp_path / "a.wav", 1.0), out=tmp_path / "out")


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    one, two = tmp_path / "a.wav", tmp_path / "b.wav"
    with pytest.raises(UsageError, match="'doc'"):
        TranscribeOptions((one,), formats=("doc",))
    with pytest.raises(UsageError, match="one file in one format"):
        TranscribeOptions((one, two))
    with pytest.raises(UsageError, match="one file in one format"):
        TranscribeOptions((one,), formats=("txt", "srt"))
    with pytest.raises(UsageError, match="takes no instruction"):
        TranscribeOptions((one,), prompt="Write.")
    with pytest.raises(EngineError, match="'parrot'"):
        open_ear("parrot")


class Scribe:
    """A brain that notes what it is asked."""

    description = "scribe"

    def __init__(self) -> None:
        self.questions: list[Sequence[Part]] = []
        self.options = AnswerOptions()

    def answer(self, questions: Sequence[Sequence[Part]], options: AnswerOptions) -> list[AnswerEnd]:
        self.questions += questions
        self.options = options
        return [AnswerEnd(" Heard. ", 448, "length") for _ in questions]

    def close(self) -> None:
        return


def test_a_brain_is_asked_greedily_for_each_window_that_is_not_silent() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    windows = [
        Window(0.0, Waveform(noise, RATE)),
        Window(1.0, Waveform(noise * 0, RATE)),
        Window(2.0, Waveform(noise, RATE)),
    ]
    scribe = Scribe()
    ear = BrainEar(scribe)  # type: ignore[arg-type]
    segments = ear.hear(windows, "en")
    assert [segment.text for segment in segments] == ["Heard.", "", "Heard."]
    assert [segment.is_cut for segment in segments] == [True, False, True]
    assert [list(question) for question in scribe.questions] == [[w.waveform, INSTRUCTION] for w in windows[::2]]
    assert scribe.options.temperature == 0.0
    ear.hear(windows[:1], "zh")
    assert scribe.questions[-1][1] == INSTRUCTIONS["zh"]
    BrainEar(scribe, "Only the nouns.").hear(windows[:1], "zh")  # type: ignore[arg-type]
    assert scribe.questions[-1][1] == "Only the nouns."


def test_all_windows_silent_asks_nothing() -> None:
    ear = BrainEar(open_brain("fake", BrainOptions()))
    assert ear.hear([Window(0.0, Waveform(np.zeros(RATE, np.float32), RATE))], "") == [Segment(0.0, 1.0, "")]
