"""`omnitts chat` from the outside: one question or many, in writing, aloud and as events; the real brain once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from omnitts import audio
from omnitts.cli import chat
from omnitts.errors import EXIT_FLAGGED, InputError, ModelError, UsageError
from tests.engines.tiny_brain import write_brain
from tests.engines.tiny_checkpoint import write_checkpoint

app = typer.Typer()
app.command()(chat.command)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.effect_noise((96, 64), 80).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def run(*arguments: str | Path, engine: str = "fake") -> int:
    status = app([*map(str, arguments), "--engine", engine], standalone_mode=False)
    return status if isinstance(status, int) else 0


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def type_lines(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_one_question_one_answer(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("What is it?", "--image", picture) == 0
    out, err = capsys.readouterr()
    assert out == "You said: [picture of 96 x 64] | What is it?\n"
    assert err == ""


def test_a_question_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    type_lines(monkeypatch, "Two lines,\none question.\n")
    assert run() == 0
    assert capsys.readouterr().out == "You said: Two lines,\none question.\n"


def test_events(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("Hello.", "--voice", "clara", "-o", tmp_path / "a.wav", "--json") == 0
    told = events(capsys)
    assert {event["event"] for event in told} == {"text", "sound", "answer"}
    answer = told[-1]
    assert answer["text"] == "".join(event["text"] for event in told if event["event"] == "text")
    assert answer["audio_s"] == pytest.approx(sum(e["seconds"] for e in told if e["event"] == "sound"), abs=0.01)
    assert (answer["file"], answer["ended"]) == (str(tmp_path / "a.wav"), "end")


def test_several_turns(monkeypatch: pytest.MonkeyPatch, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    type_lines(monkeypatch, f"/image {picture}\nWhat?\n\nAnd?\n/reset\nHm.\n/quit\nNever said.\n")
    assert run("--interactive") == 0
    out, err = capsys.readouterr()
    seen = "You said: [picture of 96 x 64] | What?"
    assert out.splitlines() == [seen, f"{seen} | And?", "You said: Hm."]
    assert "attached to the next question" in err
    assert "forgotten" in err


def test_an_error_does_not_end_a_chat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    type_lines(monkeypatch, "/image nowhere.png\n/dance\nHello.\n")
    assert run("-i") == EXIT_FLAGGED
    out, err = capsys.readouterr()
    assert out == "You said: Hello.\n"
    assert "nowhere.png: no such file" in err
    assert "there is no /dance" in err


def test_files_of_several_turns_are_numbered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    type_lines(monkeypatch, "One.\nTwo.\n")
    assert run("-i", "--voice", "clara", "-o", tmp_path / "a.flac", "--json") == 0
    told = events(capsys)
    assert told[0] == {"event": "ready", "brain": "fake: says back what it was told", "sample_rate": 24000}
    assert [e["file"] for e in told if e["event"] == "answer"] == [str(tmp_path / f"a-{n}.flac") for n in (1, 2)]
    assert (tmp_path / "a-2.flac").is_file()


def test_raw_pcm_on_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run("Hello.", "--voice", "clara", "-o", "-") == 0
    out, err = capfdbinary.readouterr()
    assert b"You said: Hello." in err
    samples = np.frombuffer(out, "<i2")
    assert len(samples) > 24000 * 0.5
    assert samples.any()


def test_errors_by_name(tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="both sound and JSON"):
        run("Hello.", "--voice", "clara", "-o", "-", "--json")
    with pytest.raises(UsageError, match="cannot quantise to '2bit'"):
        run("Hello.", "--quantise", "2bit")
    (tmp_path / "none.png").write_text("none")
    with pytest.raises(InputError, match="not a picture"):
        run("What?", "--image", tmp_path / "none.png")
    type_lines(monkeypatch, "")
    with pytest.raises(InputError, match="no question"):
        run()
    with pytest.raises(ModelError, match="no brain of MGM-Omni"):
        run("Hello.", engine="mgm-omni")


def test_the_whole_road_with_real_models(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tiny checkpoints laid out as published: a picture and a sound in, a written and a spoken answer out."""
    brain, mouth = write_brain(tmp_path / "brain"), write_checkpoint(tmp_path / "mouth")
    sound = tmp_path / "tone.wav"
    audio.Waveform(np.sin(np.arange(16000) / 20).astype(np.float32) / 2, 16000).save(sound)
    asked = ("What is it?", "--model", brain, "--image", picture, "--audio", sound, "--device", "cpu", "--json",
             "--temperature", "0", "--max-new-tokens", "30")  # fmt: skip
    assert run(*asked, engine="mgm-omni") == 0
    written = events(capsys)[-1]
    assert written["tokens"] == 30
    assert written["ended"] == "length"
    out = tmp_path / "a.wav"
    status = run(*asked, "--speech", mouth, "--voice", "clara", "-o", out, engine="mgm-omni")
    told = events(capsys)
    assert told[-1]["text"] == written["text"]
    assert status == (EXIT_FLAGGED if told[-1]["speech_failure"] else 0)
    assert audio.load(out).duration_s == pytest.approx(told[-1]["audio_s"], abs=0.01)
    assert told[-1]["audio_s"] > 1
