"""`omnitts transcribe` from the outside; once with a real recogniser where the packaged one is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.cli import transcribe
from omnitts.errors import EXIT_FLAGGED, AudioError, UsageError
from omnitts.pipeline.check.asr_models import list_asr_models
from omnitts.pipeline.voices.library import resolve_voice
from tests.engines.tiny_brain import write_brain

app = typer.Typer()
app.command()(transcribe.command)


def run(*arguments: str | Path) -> int:
    status = app(list(map(str, arguments)), standalone_mode=False)
    return status if isinstance(status, int) else 0


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    audio.save(Waveform(samples, 16000), tmp_path / "noise.wav")
    return tmp_path / "noise.wav"


def test_one_file_goes_to_standard_output(noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(noise, "--engine", "fake", "--prompt", "Write it down.") == 0
    out, err = capsys.readouterr()
    assert out == "[sound of 1.0 s] Write it down.\n"
    assert err == f"{noise}: 1 s heard\n"
    assert run(noise, "--engine", "fake", "--format", "vtt", "--quiet") == 0
    out, err = capsys.readouterr()
    assert out.startswith("WEBVTT\n")
    assert err == ""


def test_several_files_one_of_them_bad(noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mp3").write_text("none")
    out = tmp_path / "out"
    assert run(noise, tmp_path / "bad.mp3", "--engine", "fake", "-o", out, "-f", "srt", "-f", "json") == EXIT_FLAGGED
    err = capsys.readouterr().err
    assert "bad.mp3: not a file that can be played" in err
    assert "1 of 2 files transcribed" in err
    assert sorted(path.name for path in out.iterdir()) == ["noise.json", "noise.srt"]
    assert run(noise, tmp_path / "bad.mp3", "--engine", "fake", "-o", out, "--json") == EXIT_FLAGGED
    told = events(capsys)
    assert [event["event"] for event in told] == ["listening", "segment", "transcribed", "failed", "finished"]
    assert told[-1] == {"event": "finished", "files": 1, "failed": 1}


def test_errors_by_name(tmp_path: Path, noise: Path) -> None:
    with pytest.raises(AudioError, match="not a file that can be played"):
        run(tmp_path / "nowhere.wav", "--engine", "fake")
    with pytest.raises(UsageError, match="no transcript format"):
        run(noise, "--format", "docx")
    with pytest.raises(UsageError, match=r"-o FOLDER|one file in one format"):
        run(noise, tmp_path / "other.wav")
    with pytest.raises(UsageError, match="cannot quantise"):
        run(noise, "--quantise", "int8")
    with pytest.raises(UsageError, match="cannot listen on 'tpu'"):
        run(noise, "--device", "tpu")


def test_a_brain_from_a_checkpoint(noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights say nothing sensible, but they say it through the whole road."""
    folder = write_brain(tmp_path / "brain")
    assert run(noise, "--engine", "mgm-omni", "--model", folder, "--device", "cpu", "--json") == 0
    told = events(capsys)
    assert told[0]["engine"] == "mgm-omni: brain"
    assert told[1]["text"]
    assert told[2]["num_cut"] == int(told[1]["is_cut"])


@pytest.mark.skipif(not list_asr_models(), reason="no whisper model is on this machine")
def test_whisper_hears_words_and_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    voice = resolve_voice("clara")
    assert run(voice.audio, "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["language"] == "en"
    said, heard = (re.findall("[a-z]+", text.lower()) for text in (voice.transcript, data["segments"][0]["text"]))
    assert len(set(said) & set(heard)) > 0.8 * len(set(said))
    words = [word for segment in data["segments"] for word in segment["words"]]
    assert len(words) == pytest.approx(len(said), abs=3)
    assert all(0 <= word["start_s"] <= word["end_s"] <= data["audio_s"] + 0.1 for word in words)
