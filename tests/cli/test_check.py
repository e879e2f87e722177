"""`omnitts check`: refusals, the printed report and the exit status; the listening itself is tested in its own room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnitts import audio
from omnitts.cli.app import run
from omnitts.pipeline import audit as recipe
from omnitts.pipeline.check.transcribe import Transcript
from omnitts.pipeline.check.whole_file import WholeReport


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    audio.silence(2.0, 16_000).save(tmp_path / "book.wav")
    Path("book.txt").write_text("The lamp was lit at dusk.\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["none.wav", "book.txt"], 4, "no such file"),
        (["book.txt", "book.txt"], 4, "not an audio file"),
        (["book.wav", "none.txt"], 4, "no such file"),
        (["book.wav", "book.txt", "--voice", "nobody"], 5, "no voice or recording"),
        (["book.wav", "book.txt", "--asr", "nobody"], 3, "unknown ASR model"),
        (["book.wav", "book.txt", "--chapters", "5"], 3, "no chapter 5"),
        (["book.wav", "book.txt", "--report", "book.wav"], 7, "overwrite"),
        (["book.wav", "book.txt", "--report", "book.txt"], 7, "overwrite"),
        (["book.wav", "book.txt", "--report", "."], 7, "folder, not a file"),
    ],
)
def test_refusals_leave_everything_as_it_was(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert run(["check", *arguments]) == status
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


class Ears:
    """Hears nothing at all."""

    def __init__(self, *_: object) -> None: ...

    def transcribe(self, waveform: audio.Waveform, language: str, *, careful: bool = False) -> Transcript:
        return Transcript("", (), language)

    def transcribe_long(self, path: Path, language: str) -> Iterator[Transcript]:
        yield Transcript("", (), language)

    def is_rare(self, word: str) -> bool:
        return False


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[WholeReport]:
    """The reports that were made, by ears that hear nothing."""
    made: list[WholeReport] = []
    check_audio = recipe.check_audio

    def remember(*args: object, **kwargs: object) -> WholeReport:
        made.append(check_audio(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(recipe, "Transcriber", Ears)
    monkeypatch.setattr(recipe, "find_asr_model", lambda *_, **__: None)
    monkeypatch.setattr(recipe, "check_audio", remember)
    return made


def test_what_is_missing_is_printed_and_flagged(heard: list[WholeReport], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "book.wav", "book.txt", "--report", "out/report.json"]) == 2
    told = capsys.readouterr().out
    assert "coverage 0.0%" in told
    assert "missing: The lamp was lit at dusk." in told
    assert json.loads(Path("out/report.json").read_text())["accepted"] is False
    assert run(["check", "book.wav", "book.txt", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["words"]) == ("checked", heard[0].words)


def test_a_good_book_is_status_0(monkeypatch: pytest.MonkeyPatch, heard: list[WholeReport]) -> None:
    run(["check", "book.wav", "book.txt", "-q"])
    good = replace(heard[0], accepted=True, reasons=())
    monkeypatch.setattr(recipe, "check_audio", lambda *_, **__: good)
    assert run(["check", "book.wav", "book.txt", "-q"]) == 0
