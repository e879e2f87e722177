"""`omnitts evaluate` from the outside: the draft narrator on a tiny set, heard by a real recogniser, in a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from omnitts.cli import evaluate
from omnitts.errors import InputError, UsageError
from omnitts.pipeline.check.asr_models import list_asr_models
from tests.pipeline.evaluate.sets import write_long

app = typer.Typer()
app.command()(evaluate.command)
needs_asr = pytest.mark.skipif(not list_asr_models(), reason="no whisper model is on this machine")


def run(*arguments: str | Path) -> int:
    status = app(list(map(str, arguments)), standalone_mode=False)
    return status if isinstance(status, int) else 0


@needs_asr
def test_the_draft_narrator_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_long(tmp_path / "set"), tmp_path / "out"
    assert run("long-tts-eval", data, "-o", out, "--engine", "draft") == 0
    table, err = capsys.readouterr()
    own = next(line.split() for line in table.splitlines() if line.split()[:1] == ["draft"])
    assert own[:3] == ["draft", "en", "2"]
    assert float(own[3]) < 30  # percent, of ten words
    assert "26.26" in table
    assert "2 items, 0 of them done before" in err
    assert run("long-tts-eval", data, "-o", out, "--engine", "draft", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in told] == ["evaluating", "finished"]
    assert told[0]["done"] == 2
    assert told[1]["scores"][0]["num_words"] >= 10  # more where the digits were heard as digits


def test_errors_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no benchmark"):
        run("mine", tmp_path, "-o", tmp_path)
    with pytest.raises(UsageError, match="nowhere to put"):
        run("long-tts-eval", tmp_path)
    with pytest.raises(UsageError, match="no data set"):
        run("long-tts-eval", "-o", tmp_path)
    with pytest.raises(UsageError, match="on the hub is not known"):
        run("seed-tts-eval", "-o", tmp_path, "--download")
    with pytest.raises(InputError, match="no such file or folder"):
        run("long-tts-eval", tmp_path / "gone", "-o", tmp_path)


def test_the_data_set_is_fetched_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(repo: str) -> Path:
        asked.append(repo)
        return tmp_path / "nothing"

    monkeypatch.setattr("omnitts.pipeline.evaluate.datasets.download_dataset", fetch)
    with pytest.raises(InputError):
        run("long-tts-eval", "-o", tmp_path, "--download")
    with pytest.raises(InputError):
        run("seed-tts-eval", "-o", tmp_path, "--download", "--repo", "me/my-copy")
    assert asked == ["wcy1122/Long-TTS-Eval", "me/my-copy"]
