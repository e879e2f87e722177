"""`omnitts speak` from the outside: a file, or PCM on standard output; refusals before anything is spoken."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.cli.app import run


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def speak(*arguments: str) -> int:
    return run(["speak", *arguments, "--engine", "fake"])


def test_a_file_and_what_is_told_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert speak("Good evening, everyone.", "-o", "a.wav") == 0
    assert capsys.readouterr().err.startswith("a.wav: ")
    assert speak("Good evening, everyone.", "-o", "b.flac", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["file"]) == ("finished", "b.flac")
    assert told["audio_s"] == pytest.approx(audio.load(Path("b.flac")).duration_s, abs=0.01)
    assert speak("Good evening, everyone.", "-o", "c.wav", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_pcm_is_the_same_sound(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = "First sentence of this. Second sentence of this.\n\nAnother paragraph."
    assert speak(text, "-o", "a.wav", "-q") == 0
    assert speak(text, "-o", "-", "-q") == 0
    told = capfdbinary.readouterr()
    written = audio.load(Path("a.wav"))
    assert len(told.out) == 2 * len(written)
    assert told.err == b""


@pytest.mark.parametrize("encoded", ["Ein Café".encode(), "Ein Café".encode("latin-1"), "Ein Café".encode("utf-16")])
def test_standard_input_in_any_encoding(encoded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encoded), encoding="ascii"))
    assert speak("-", "-o", "a.wav", "-q") == 0
    assert speak("Ein Café", "-o", "b.wav", "-q") == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["hi"], 3, "nowhere to put the sound"),
        (["hi", "-o", "a.mp3"], 3, "use .wav or .flac"),
        (["hi", "-o", "file.txt/a.wav"], 7, "cannot write"),
        (["hi", "-o", "ref.wav", "--voice", "ref.wav", "--voice-text", "x"], 7, "overwrite"),
        (["hi", "-o", "a.wav", "--voice-text", "x"], 3, "transcript without its recording"),
        (["", "-o", "a.wav"], 4, "nothing to say"),
        (["🎉", "-o", "a.wav"], 4, "nothing to say"),
        (["[voice nobody] hi", "-o", "a.wav"], 5, "nobody"),
    ],
)
def test_refusals(
    arguments: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.txt").write_text("a file")
    audio.silence(1.0, 16_000).save(tmp_path / "ref.wav")
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.is_file()}
    assert speak(*arguments) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.is_file()} == before


def test_sound_and_json_do_not_share_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    assert speak("hi", "-o", "-", "--json") == 3
    assert json.loads(capsys.readouterr().out)["kind"] == "UsageError"


def test_a_disk_that_fills_up_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Waveform, path: Path, **_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Waveform, "save", fail)
    assert speak("hi", "-o", "a.wav") == 7
    assert "free some disk space" in capsys.readouterr().err
    assert not Path("a.wav").exists()
