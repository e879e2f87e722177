"""`omnitts voices` from the outside: output, streams, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.cli import voices
from omnitts.errors import OmnittsError, UsageError, VoiceError
from omnitts.pipeline.voices.library import resolve_voice

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: str | Path) -> int:
    status = voices.app([str(argument) for argument in arguments], standalone_mode=False)
    return status if isinstance(status, int) else 0


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "anna.flac"
    audio.save(audio.load(resolve_voice("imogen").audio), path)
    return path


def test_list_names_presets_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("clara ") and "American female" in line for line in lines) == 1
    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {item["name"] for item in listed} >= {"clara", "walter", "beatrice", "edmund"}
    assert all(item["preset"] and item["transcript"] and item["licence"] for item in listed)


def test_add_show_check_remove(recording: Path, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    said = resolve_voice("imogen").transcript
    assert run("add", "anna", recording, "--text", said, "--licence", "hers", "--asr", "none") == 0
    assert said in capsys.readouterr().out
    assert run("show", "anna", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["transcript"], shown["licence"], shown["preset"]) == (said, "hers", False)
    assert shown["seconds"] == pytest.approx(10.3, abs=0.3)
    assert run("check", "anna", "--asr", "none") == 0
    assert "anna: fit to be cloned" in capsys.readouterr().out
    assert run("remove", "anna", "--yes") == 0
    assert not (home / "voices" / "anna").exists()


def test_add_tells_a_script_everything(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = resolve_voice("imogen").transcript
    assert run("add", "anna", recording, "--text", said, "--asr", "none", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["event"] == "added"
    assert told["fit"] is True
    assert told["digest"] == resolve_voice("anna").digest


def test_check_fails_on_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice = audio.load(resolve_voice("imogen").audio)
    path = tmp_path / "clipped.wav"
    audio.save(Waveform((voice.samples * 8).clip(-1, 1), voice.sample_rate), path)
    assert run("check", path, "--asr", "none") == 2
    out = capsys.readouterr().out
    assert "not fit to be cloned" in out
    assert "fault: the recording is clipped" in out
    assert run("check", path, "--asr", "none", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert told["fit"] is False
    assert "clipped" in {finding["code"] for finding in told["findings"]}
    assert run("check", path, "--asr", "none", "--quiet") == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (("show", "clarra"), VoiceError, "no voice"),
        (("check", "nowhere.wav"), VoiceError, "no such recording"),
        (("remove", "clara", "--yes"), VoiceError, "presets cannot be removed"),
        (("add", "a.b", "x.wav", "--asr", "none"), VoiceError, "cannot be the name"),
        (("add", "anna", "x.wav", "--asr", "none"), VoiceError, "no such file"),
    ],
)
def test_errors_are_ours(arguments: tuple[str, ...], kind: type[OmnittsError], said: str) -> None:
    with pytest.raises(kind, match=said):
        run(*arguments)


def test_remove_asks_first(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "anna", recording, "--text", resolve_voice("imogen").transcript, "--asr", "none", "--quiet")
    with pytest.raises(UsageError, match="nobody can be asked"):
        run("remove", "anna", "--json")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", _refuse)
    with pytest.raises(typer.Abort):
        run("remove", "anna")
    assert resolve_voice("anna").name == "anna"


def _refuse(*args: object, **kwargs: object) -> None:
    raise typer.Abort


@pytest.mark.parametrize("command", ["list", "show", "add", "check", "remove"])
def test_each_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(command, "--help")
    assert f"omnitts voices {command}" in " ".join(capsys.readouterr().out.split())
