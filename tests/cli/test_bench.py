"""`omnitts bench`: the tiny model through every stage, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.cli.app import run
from omnitts.errors import UsageError

TINY = ["bench", "--config", "tiny", "--batch", "1,3", "--seconds", "1", "--threads", "1", "--no-check"]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))


def test_json_names_hardware_weights_and_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TINY, "--json"]) == 0
    out = capsys.readouterr().out
    figures = json.loads(out)
    assert figures["hardware"]["cpu"]
    assert figures["hardware"]["threads"] == 1
    assert "presumed" in figures["weights"]
    assert figures["first_audio_s"] > 0
    assert figures["peak_memory_mb"] > 50
    assert [row["batch"] for row in figures["batches"]] == [1, 3]
    for row in figures["batches"]:
        for stage in ("tokens_per_s", "decode", "flow", "vocoder", "end_to_end"):
            assert row[stage] > 0, stage


def test_the_table_has_a_line_for_each_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(TINY) == 0
    captured = capsys.readouterr()
    assert "end to end" in captured.out
    assert [line.split()[0] for line in captured.out.splitlines()[-2:]] == ["1", "3"]
    assert "batch 3" in captured.err


@pytest.mark.parametrize(
    "wrong", [["--batch", "one"], ["--batch", "0"], ["--config", "9b"], ["--seconds", "0"], ["--device", "toaster"]]
)
def test_what_cannot_be_measured_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TINY, *wrong]) == UsageError.exit_code
    told = capsys.readouterr().err
    assert wrong[0] in told or wrong[1] in told
