"""`omnitts plan` from the outside: the table, the facts for scripts, the exit status of a book with problems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.cli.app import run

BOOK = """# Contents

Chapter One ... 1

# Chapter One

It cost $3.50 on 4 July 1776.

# Chapter Two

The end.
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Path("book.md").write_text(BOOK, encoding="utf-8")


def test_the_table_shows_chapters_and_what_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "book.md"]) == 0
    told = capsys.readouterr()
    lines = [line.split() for line in told.out.splitlines()]
    assert ["1", "Chapter", "One"] in [line[:3] for line in lines]
    assert ["2", "Chapter", "Two"] in [line[:3] for line in lines]
    assert "skipped: " in told.out
    assert "(--keep 1)" in told.out
    assert "about" in told.out.splitlines()[-1]
    assert told.err == ""
    assert not Path("home").exists()


def test_facts_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "book.md", "--json", "--keep", "1", "--skip", "Two"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["event"] == "plan"
    assert [chapter["number"] for chapter in facts["chapters"]] == [1, 2, None]
    assert facts["pieces"] == sum(chapter["pieces"] for chapter in facts["chapters"])
    assert facts["problems"] == []


def test_the_spoken_text_has_no_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "book.md", "--text", "--chapters", "1"]) == 0
    spoken = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("#", "{"))]
    said = " ".join(spoken)
    assert "three dollars" in said
    assert not any(char.isdigit() for char in said)


@pytest.mark.parametrize(
    ("text", "arguments", "status", "said"),
    [
        ("A caf\xe9 was there and a na\xefve man.".encode("latin-1"), [], 2, "encoding not declared"),
        (b"Hello [pause soon] there.", [], 2, "is not understood"),
        (b"[voice nobody] Hello there.", [], 4, "'nobody' has no voice"),
        (b"Hello there, reader.", ["--keep", "99"], 2, "matches no chapter"),
    ],
)
def test_problems_make_the_status(
    text: bytes, arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.txt").write_bytes(text)
    assert run(["plan", "odd.txt", *arguments]) == status
    assert said in capsys.readouterr().out
    assert run(["plan", "odd.txt", "-q", *arguments]) == status
    assert capsys.readouterr().out == ""


def test_ten_megabytes_without_a_full_stop_are_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """A tenth of it here; `benchmarks/plan.py` has the large ones."""
    Path("long.txt").write_text("some words go on and on without an end " * 25_000, encoding="utf-8")
    assert run(["plan", "long.txt", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["words"] == 25_000 * 9
    assert facts["longest_piece_s"] < 40
