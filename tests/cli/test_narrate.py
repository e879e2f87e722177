"""`omnitts narrate` from the outside: what it prints, what it refuses before speaking, what it leaves on the disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from omnitts.cli.app import run
from omnitts.cli.display import LiveBar, sentence_of
from omnitts.cli.narrate import seconds_of
from omnitts.errors import UsageError
from omnitts.progress import Event

BOOK = """# Chapter One

The lamp was lit at dusk. Nobody saw the boat come in.

# Chapter Two

In the morning the fog had gone. [voice clara] A single oar lay upon the sand.
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.md"
    path.write_text(BOOK, encoding="utf-8")
    return path


def narrate(*arguments: str | Path) -> int:
    return run(["narrate", *map(str, arguments), "--engine", "fake", "--no-check"])


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_result_to_stdout_and_news_to_stderr(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert narrate("book.md") == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "book.m4b"
    assert "5 of 5 pieces accepted; report: book.report.json" in told.out
    assert "2 chapters" in told.err
    assert "chapter 1: Chapter One" in told.err
    assert narrate("book.md") == 0
    assert "5 pieces already spoken" in capsys.readouterr().err
    assert narrate("book.md", "--quiet") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")


def test_json_is_one_event_a_line(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert narrate("book.md", "-o", "book.wav", "--json") == 0
    told = capsys.readouterr()
    assert told.err == ""
    found = events(told.out)
    names = [event["event"] for event in found]
    assert names[:3] == ["planned", "engine", "speaking"]
    assert names[3:8] == ["judged"] * 5
    assert set(names[8:-1]) == {"assembly"}
    assert names[-1] == "finished"
    assert [event["step"] for event in found if event["event"] == "assembly"][-1] == "publish"
    assert (found[-1]["files"], found[-1]["exit_code"]) == (["book.wav"], 0)


def test_standard_input_and_an_edited_plan_are_books(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "book.md", "--text"]) == 0
    dump = tmp_path / "spoken.txt"
    dump.write_text(capsys.readouterr().out, encoding="utf-8")
    assert narrate(dump, "-o", "a.wav", "--json") == 0
    first = [event["text"] for event in events(capsys.readouterr().out) if event["event"] == "judged"]
    dump.write_text(dump.read_text("utf-8").replace("at dusk", "at dawn"), encoding="utf-8")
    assert narrate(dump, "-o", "a.wav", "--json") == 0
    second = [event["text"] for event in events(capsys.readouterr().out) if event["event"] == "judged"]
    assert len(first) == 5
    assert second == ["The lamp was lit at dawn. Nobody saw the boat come in."]
    with dump.open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert narrate("-", "-o", "b.wav", "-q") == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--split", "pages"], 3, "cannot be split by 'pages'"),
        (["--format", "doc"], 3, "no format is called 'doc'"),
        (["-o", "a.mp3", "--format", "wav"], 3, "contradicts"),
        (["--sample", "soon"], 3, "no stretch of time"),
        (["--speed", "nan"], 3, "--speed"),
        (["--notes", "loud"], 3, "notes"),
        (["--chapters", "9"], 3, "no chapter 9"),
        (["--voice-text", "hi"], 3, "transcript without its recording"),
        (["--voice", "nobody"], 5, "no voice or recording"),
        (["--voice", "book.md"], 5, "not an audio file"),
        (["--lexicon", "none.tsv"], 4, "lexicon"),
        (["-o", "folder"], 3, "suffix"),
        (["-o", "link.m4b"], 7, "overwrite what it is made from"),
        (["--report", "book.md"], 7, "overwrite what it is made from"),
        (["--report", "folder"], 7, "folder, not a file"),
        (["--report", "a.wav", "-o", "a.wav"], 7, "overwrite the audio"),
        (["--report", "book.md/r.json"], 7, "cannot write"),
        (["-o", "book.md/a.m4b"], 7, "cannot write"),
        (["--job", "book.md"], 9, "job folder"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_spoken(
    arguments: list[str], status: int, said: str, book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.m4b").symlink_to(book)
    before = {path.name for path in tmp_path.iterdir()}
    assert narrate("book.md", *arguments) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert said in told.err
    assert len(told.err.splitlines()) <= 2
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == before
    assert not list((tmp_path / "home").rglob("*.flac"))
    assert book.read_text("utf-8") == BOOK


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.txt", b""),
        ("emoji.txt", "🎉 🎉".encode()),
        ("book.epub", b"PK\x05\x06" + bytes(18)),
        ("broken.epub", b"no zip"),
        ("pixels.txt", bytes(range(256)) * 20),
        (".", None),
        ("none.txt", None),
    ],
)
def test_what_is_no_book_is_status_4(
    name: str, content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for command in (["narrate", name, "--engine", "fake", "--no-check"], ["plan", name]):
        assert run(command) == 4
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert "next: " in told


def test_a_missing_ffmpeg_is_named_before_anything_is_spoken(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert narrate("book.md") == 8
    assert "ffmpeg is not on this machine" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_a_killed_ffmpeg_leaves_no_file_and_keeps_the_speech(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("OMNITTS_FFMPEG", str(program))
    assert narrate("book.md", "-o", "out/book.m4b") == 8
    assert "killed by SIGKILL" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.delenv("OMNITTS_FFMPEG")
    assert narrate("book.md", "-o", "out/book.m4b", "--json") == 0
    assert "judged" not in {event["event"] for event in events(capsys.readouterr().out)}


@pytest.mark.parametrize("name", ["a 'b' \"c\".md", "日本 é.md", "two\nlines.md", "-dash.md"])
def test_names_of_any_kind(name: str, book: Path, tmp_path: Path) -> None:
    book.rename(tmp_path / name)
    assert run(["narrate", "--engine", "fake", "--no-check", "-q", "--format", "wav", "--", name]) == 0
    assert (tmp_path / name).with_suffix(".wav").exists()


def test_a_sample_announces_its_own_length(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert narrate("book.md", "--sample", "2s", "--json", "--format", "wav") == 0
    found = events(capsys.readouterr().out)
    assert found[0]["pieces"] == 2
    assert found[0]["audio_s"] == pytest.approx(found[-1]["duration_s"], rel=0.5)
    assert found[-1]["files"] == ["book.sample.wav"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("90", 90), ("5m", 300), ("1h30m", 5400), ("1.5min", 90), (" 2M ", 120)]
)
def test_stretches_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "5 parsecs", "1:30"])
def test_no_stretches_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="no stretch of time"):
        seconds_of(text)


JUDGED = {
    "chapter": 1, "chapter_title": "A", "accepted": False, "take": 1, "reasons": ["too quiet"], "text": "Hello.",
    "pieces_done": 3, "pieces_total": 9, "audio_done_s": 5.0, "audio_made_s": 65.0, "speed": 2.0, "remaining_s": 30,
}  # fmt: skip
EVENTS = [
    Event("checking", {"pieces": 2, "audio_s": 6.0}),
    Event("speaking", {"take": 1, "pieces": 9, "audio_s": 20.0}),
    Event("judged", JUDGED),
    Event("assembly", {"step": "measure", "done_s": 30.0, "total_s": 65.0}),
    Event("assembly", {"step": "encode", "done_s": 10.0, "total_s": 65.0}),
    Event("assembly", {"step": "publish", "files": 1}),
]


def test_the_live_bar_shows_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    with LiveBar() as bar:
        assert bar._bar is not None
        for event in EVENTS:
            bar.emit(event)
            [task] = bar._bar.tasks
            shown.append((task.description, task.completed, task.total, task.fields["detail"]))
    assert shown == [
        ("checking", 0, 6.0, "loading speech recognition"),
        ("take 2: speaking", 0, 20.0, "loading the engine"),
        ("take 2: A", 5.0, 20.0, "3/9 · 1:05 min · 2.0x · 30 s left"),
        ("measuring loudness", 30.0, 65.0, "30 s of 1:05 min"),
        ("writing the file", 10.0, 65.0, "10 s of 1:05 min"),
        ("writing the file", 10.0, 65.0, "10 s of 1:05 min"),
    ]


def test_problems_of_the_book_are_told(book: Path) -> None:
    problems = [{"what": f"fault {n}", "where": "a.txt"} for n in range(7)]
    data = {"title": "T", "chapters": 1, "words": 1, "pieces": 2, "audio_s": 9, "reused": 0, "problems": problems}
    told = sentence_of(Event("planned", data)).splitlines()
    assert told[0] == "T: 1 chapter, 1 word, 2 pieces, about 9 s of audio"
    assert told[1] == "problem: a.txt: fault 0"
    assert told[-1] == "... and 2 more: omnitts plan shows all"
