"""`omnitts doctor`: each lack is found, has a remedy, and only what stops the main job makes it fail."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from omnitts.cli import doctor as command
from omnitts.errors import DependencyError, FfmpegError
from omnitts.ffmpeg import Installation, installation
from omnitts.pipeline import doctor
from omnitts.pipeline.doctor import State, Symptom, can_narrate, examine

TORCH_ANSWER = {"version": "2.9", "cuda": None, "devices": [], "threads": 2, "cpu": "AVX2"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a torch that answers at once."""
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(doctor, "_ASK_TORCH", f"print({json.dumps(json.dumps(TORCH_ANSWER))})")
    return tmp_path / "home"


def symptoms() -> dict[str, Symptom]:
    return {symptom.name: symptom for symptom in examine()}


def run(*arguments: str) -> int:
    app = typer.Typer()
    app.command()(command.command)
    status = app(list(arguments), standalone_mode=False)
    return status if isinstance(status, int) else 0


def test_a_bare_machine_can_narrate_and_knows_what_it_lacks(home: Path) -> None:
    found = symptoms()
    assert can_narrate(list(found.values()))
    assert found["models"].state is State.LIMITED
    assert "omnitts models pull 2b" in found["models"].remedy
    assert "8 presets" in found["voices"].found
    assert found["torch"].found == "2.9 (CPU only), 2 threads, AVX2"
    assert all(symptom.remedy for symptom in found.values() if symptom.state is not State.OK)
    assert not home.exists()


def test_no_network_is_touched_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert "model hub" not in symptoms()


def test_online_says_whether_the_hub_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = {symptom.name: symptom for symptom in examine(online=True)}
    assert found["model hub"].state is State.LIMITED
    assert "HF_ENDPOINT" in found["model hub"].remedy


def test_a_broken_torch_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ASK_TORCH", "raise ImportError('libcudart.so.12: not found')")
    found = symptoms()
    assert "libcudart.so.12: not found" in found["torch"].found
    assert "torch" in found["torch"].remedy
    monkeypatch.setattr(doctor, "_ASK_TORCH", "import os; os.kill(os.getpid(), 9)")
    assert "does not load" in symptoms()["torch"].found


def test_devices_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"device": "cuda:0", "name": "H200", "memory_gb": 141.0}
    answer = json.dumps(TORCH_ANSWER | {"cuda": "12.8", "devices": [gpu]})
    monkeypatch.setattr(doctor, "_ASK_TORCH", f"print({answer!r})")
    found = symptoms()
    assert found["devices"].state is State.OK
    assert "cuda:0 H200 (141.0 GB)" in found["devices"].found


def test_the_real_question_to_torch_runs() -> None:
    source = Path(doctor.__file__).read_text(encoding="utf-8").split('_ASK_TORCH = """')[1].split('"""')[0]
    answer = json.loads(subprocess.run([sys.executable, "-c", source], capture_output=True, check=True).stdout)
    assert set(answer) == set(TORCH_ANSWER)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("packages", lambda m: m.setitem(doctor.PACKAGES, "no_such_module", "no-such-package")),
        ("ffmpeg", lambda m: m.setenv("OMNITTS_FFMPEG", "/nowhere/ffmpeg")),
        (
            "ffmpeg",
            lambda m: m.setattr("omnitts.ffmpeg.installation", lambda: Installation("f", "7", frozenset({"flac"}))),
        ),
        ("home folder", lambda m: m.setattr("os.access", lambda *args: False)),
        ("disk space", lambda m: m.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10_000_000))),
    ],
)
def test_what_stops_the_main_job_fails(
    name: str, spoil, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    spoil(monkeypatch)
    assert run("--json") == DependencyError.exit_code
    told = json.loads(capsys.readouterr().out)
    assert told["can_narrate"] is False
    (lack,) = [symptom for symptom in told["symptoms"] if symptom["state"] == "missing"]
    assert lack["name"] == name
    assert lack["remedy"]


def test_lacking_one_format_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation("ffmpeg", "7", frozenset({"aac", "flac", "libmp3lame"}))
    monkeypatch.setattr("omnitts.ffmpeg.installation", lambda: known)
    found = symptoms()["ffmpeg"]
    assert (found.state, "libopus (opus)" in found.found) == (State.LIMITED, True)


def test_half_models_and_broken_voices_are_named(home: Path) -> None:
    (home / "models" / "wcy1122--MGM-Omni-TTS-2B-0927" / ".partial").mkdir(parents=True)
    (home / "voices" / "anna").mkdir(parents=True)
    (home / "voices" / "anna" / "voice.json").write_text("{", encoding="utf-8")
    told = [symptom for symptom in examine() if symptom.state is State.LIMITED]
    assert any("MGM-Omni-TTS-2B-0927 lacks" in symptom.found for symptom in told)
    assert any(symptom.found.startswith("anna: ") and "voices remove anna" in symptom.remedy for symptom in told)


def test_the_page_is_plain_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out
    assert any(line.split()[:2] == ["ok", "ffmpeg"] for line in captured.out.splitlines())
    assert "books can be narrated here" in captured.err
    assert run("--quiet") == 0
    assert capsys.readouterr().out == ""


def test_ffmpeg_tells_what_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = installation()
    assert found.version[0] in "0123456789N"
    assert {"aac", "flac"} <= found.encoders
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("OMNITTS_FFMPEG", str(broken))
    with pytest.raises(FfmpegError, match="does not run"):
        installation()


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    run("--help")
    assert "omnitts doctor --online --json" in capsys.readouterr().out
