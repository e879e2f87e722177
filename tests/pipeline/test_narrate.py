"""The whole road with an engine that makes tones: a book in, a finished file out; killed, edited, resumed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from omnitts import ffmpeg
from omnitts.errors import BookError, EngineError, ModelError, OutputError, TextError, UsageError, VoiceError
from omnitts.pipeline.check.judge import QualityOptions
from omnitts.pipeline.job import find_jobs, open_job
from omnitts.pipeline.narrate import Narration, narrate, survey
from omnitts.pipeline.narrate_options import NarrateOptions
from omnitts.pipeline.read.dump import write_dump
from omnitts.progress import Event

UNCHECKED = QualityOptions(check=False)


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]


def options(book: Path, out: Path | None = None, **changes: object) -> NarrateOptions:
    base = NarrateOptions(source=str(book), out=out or book.with_suffix(".m4b"), engine="fake", quality=UNCHECKED)
    return replace(base, **changes)  # type: ignore[arg-type]


def run(book: Path, out: Path | None = None, **changes: object) -> tuple[Narration, Listener]:
    listener = Listener()
    return narrate(options(book, out, **changes), listener), listener


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_book_becomes_a_chaptered_tagged_file(book: Path) -> None:
    done, listener = run(book)
    [file] = done.files
    assert file == book.with_suffix(".m4b")
    probe = ffmpeg.probe(file)
    assert [mark.title for mark in probe.chapters] == ["Chapter One", "Chapter Two"]
    assert probe.tags["title"] == "The Lighthouse"
    assert "AI-narrated" in probe.tags["comment"]
    assert "fake" in probe.tags["comment"]
    assert done.exit_code == 0
    report = json.loads(done.report_file.read_text())
    assert report["duration_s"] == pytest.approx(probe.duration_s, abs=0.2)
    assert report["loudness"]["after"]["integrated_lufs"] == pytest.approx(-19, abs=0.5)
    assert report["loudness"]["after"]["true_peak_dbtp"] <= -2.9
    assert [event.name for event in listener.events[:3]] == ["planned", "engine", "speaking"]
    assert listener.named("judged")[-1].data["pieces_done"] == report["num_pieces"]


def test_the_report_proves_that_every_sentence_has_its_sound(book: Path) -> None:
    done, _ = run(book)
    report = done.report
    sentences = [s for chapter in report["chapters"] for piece in chapter["pieces"] for s in piece["sentences"]]
    told = " ".join(sentence["text"] for sentence in sentences)
    for words in ("The lamp was lit at dusk.", "There was no answer but the sea.", "went up to trim the lamp."):
        assert words in told
    assert report["num_sentences"] == report["num_sentences_with_audio"] == len(sentences)
    starts = [sentence["start_s"] for sentence in sentences]
    assert starts == sorted(starts)
    assert all(sentence["end_s"] > sentence["start_s"] for sentence in sentences)


def test_the_same_command_again_speaks_nothing_anew(book: Path) -> None:
    first, _ = run(book)
    before = digest(first.files[0])
    second, listener = run(book)
    assert listener.named("speaking") == []
    assert digest(second.files[0]) == before


def test_an_edit_speaks_only_what_changed(book: Path) -> None:
    _, first = run(book)
    book.write_text(book.read_text().replace("He read it twice.", "He read it three times."))
    done, second = run(book)
    assert len(second.named("judged")) == 1
    assert len(first.named("judged")) > 2
    assert "three times" in json.dumps(done.report)


def test_a_lexicon_speaks_only_what_it_touches(book: Path, tmp_path: Path) -> None:
    run(book)
    lexicon = tmp_path / "names.tsv"
    lexicon.write_text("keeper\tkeep er\n", encoding="utf-8")
    _, listener = run(book, lexicon=(lexicon,))
    assert listener.named("judged")
    assert all("keep er" in event.data["text"] for event in listener.named("judged"))


def test_a_take_that_failed_in_the_engine_is_spoken_again_with_the_next_seed(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing_engine(monkeypatch, {"fail_on": "single oar", "fail_seeds_below": 2})
    done, listener = run(book)
    takes = [event.data["take"] for event in listener.named("judged") if "single oar" in event.data["text"]]
    assert takes == [0, 1, 2]
    assert done.exit_code == 0
    [piece] = [piece for c in done.report["chapters"] for piece in c["pieces"] if "single oar" in piece["text"]]
    assert (piece["takes"], piece["seed"]) == (3, 2)


def test_what_keeps_failing_is_spoken_by_sentences_then_flagged(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing_engine(monkeypatch, {"fail_on": "single oar"})
    done, _ = run(book, quality=replace(UNCHECKED, takes=2))
    assert done.exit_code == 2
    [piece] = done.report["flagged"]
    assert "single oar" in piece["text"]
    assert piece["takes"] == 3  # two takes, then sentence by sentence
    assert piece["reasons"]
    assert done.files[0].exists()


def test_a_broken_engine_loses_no_finished_work(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing_engine(monkeypatch, {"raise_on": "single oar"})
    with pytest.raises(EngineError):
        run(book)
    assert not book.with_suffix(".m4b").exists()
    monkeypatch.undo()
    monkeypatch.setenv("OMNITTS_HOME", str(book.parent / "home"))
    _, listener = run(book)
    assert 0 < len(listener.named("judged")) < 6
    assert book.with_suffix(".m4b").exists()


def test_sample_is_short_and_its_work_is_not_done_twice(book: Path) -> None:
    sample, _ = run(book, book.with_name("lighthouse.sample.m4b"), sample_s=6.0)
    assert sample.report["duration_s"] < 20
    spoken = {piece["utterance"] for chapter in sample.report["chapters"] for piece in chapter["pieces"]}
    _, listener = run(book)
    assert spoken.isdisjoint(event.data["utterance"] for event in listener.named("judged"))


def test_chapters_split_and_formats(book: Path, tmp_path: Path) -> None:
    done, _ = run(book, tmp_path / "out", split="chapters", format="mp3")
    assert [file.suffix for file in done.files] == [".mp3", ".mp3"]
    one, _ = run(book, tmp_path / "two.flac", chapters="2")
    assert [chapter["title"] for chapter in one.report["chapters"]] == ["Chapter Two"]


def test_speed_makes_it_shorter(book: Path, tmp_path: Path) -> None:
    usual, _ = run(book, tmp_path / "a.wav")
    fast, _ = run(book, tmp_path / "b.wav", speed=1.5)
    assert fast.report["duration_s"] < 0.85 * usual.report["duration_s"]


@pytest.mark.usefixtures("no_small_model")
@pytest.mark.parametrize(
    ("content", "changes", "error"),
    [
        ("", {}, BookError),
        ("🎉🎉🎉", {}, BookError),
        ("Some words.", {"engine": "none such"}, EngineError),
        ("Some words.", {"engine": "draft", "voice": "clara"}, VoiceError),
        ("Some words.", {"voice": "no such voice"}, VoiceError),
        ("Some words.", {"engine": "mgm-omni", "voice": "clara"}, ModelError),
        ("Some words.", {"format": "doc"}, UsageError),
        ("Some words.", {"chapters": "7"}, UsageError),
        ("Some words.", {"master": "no such master"}, UsageError),
        ("Quelques mots. C'est la vie, et la mer est bleue.", {"engine": "draft", "language": "fr"}, EngineError),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    tmp_path: Path, content: str, changes: dict[str, object], error: type[Exception]
) -> None:
    book = tmp_path / "book.txt"
    book.write_text(content, encoding="utf-8")
    with pytest.raises(error):
        run(book, **changes)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["book.txt"]


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_spoken(book: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "x.m4b", tmp_path, book):
        with pytest.raises((OutputError, UsageError)):
            run(book, out)
    assert find_jobs() == []


CHILD = """
import os, signal, sys
from pathlib import Path
from omnitts.pipeline.check.judge import QualityOptions
from omnitts.pipeline.narrate import narrate
from omnitts.pipeline.narrate_options import NarrateOptions

class Killer:
    left = int(sys.argv[3])
    def emit(self, event):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

narrate(NarrateOptions(source=sys.argv[1], out=Path(sys.argv[2]), engine="fake",
        quality=QualityOptions(check=False)), Killer())
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_anywhere_the_final_file_is_the_same(book: Path, tmp_path: Path) -> None:
    """Killed at one event after another; `benchmarks/kills.py` does the same at random moments of the real command."""
    killed, undisturbed = tmp_path / "killed" / "a.wav", tmp_path / "undisturbed" / "a.wav"

    def run_child(out: Path, home: str, events: int) -> int:
        environment = {**os.environ, "OMNITTS_HOME": str(tmp_path / home)}
        arguments = [sys.executable, "-c", CHILD, str(book), str(out), str(events)]
        return subprocess.run(arguments, env=environment, check=False).returncode

    assert run_child(undisturbed, "one", 10**6) == 0
    kills = 0
    for events in (4, 5, 5, 6, 7, 8):
        code = run_child(killed, "two", events)
        kills += code == -signal.SIGKILL
        if killed.exists():
            assert digest(killed) == digest(undisturbed)
            killed.unlink()
    assert kills >= 3
    assert run_child(killed, "two", 10**6) == 0
    assert digest(killed) == digest(undisturbed)
    assert {path.name for path in killed.parent.iterdir()} == {"a.wav", "a.report.json"}


def test_two_narrations_of_one_book_do_not_meet(book: Path) -> None:
    run(book)
    [folder] = find_jobs()
    with open_job(folder), pytest.raises(Exception, match="in use"):
        run(book)


def _failing_engine(monkeypatch: pytest.MonkeyPatch, extra: dict[str, str | float]) -> None:
    import omnitts.pipeline.narrate as recipe
    from omnitts.engines import registry
    from omnitts.engines.registry import EngineOptions

    monkeypatch.setattr(recipe, "open_engine", lambda name, _: registry.open_engine(name, EngineOptions(extra=extra)))


def test_title_author_and_cover_can_be_given(book: Path, tmp_path: Path) -> None:
    png = "89504e470d0a1a0a0000000d49484452000000010000000108020000009077 53de"
    pixel = bytes.fromhex(png.replace(" ", "")) + bytes.fromhex(
        "0000000c49444154789c63f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
    (tmp_path / "cover.png").write_bytes(pixel)
    done, _ = run(book, title="Another", author="Somebody Else", cover=tmp_path / "cover.png")
    probe = ffmpeg.probe(done.files[0])
    assert (probe.tags["title"], probe.tags["artist"], probe.has_cover) == ("Another", "Somebody Else", True)
    with pytest.raises(BookError, match="cover"):
        run(book, cover=tmp_path / "none.png")


def test_an_edited_dump_of_the_spoken_text_speaks_only_the_edit(book: Path, tmp_path: Path) -> None:
    done, _ = run(book, tmp_path / "out.wav")
    planned = survey(options(book)).plan
    dump = tmp_path / "spoken.txt"
    dump.write_text(write_dump(planned), encoding="utf-8")
    again, unchanged = run(dump, tmp_path / "out.wav")
    assert unchanged.named("judged") == []
    assert again.report["num_pieces"] == done.report["num_pieces"]
    dump.write_text(dump.read_text().replace("He read it twice.", "He read it slowly."), encoding="utf-8")
    _, edited = run(dump, tmp_path / "out.wav")
    assert [event.data["text"] for event in edited.named("judged")] == [
        event.data["text"] for event in edited.named("judged") if "He read it slowly." in event.data["text"]
    ]
    assert len(edited.named("judged")) == 1


def test_a_dump_of_another_version_is_not_read_aloud(tmp_path: Path) -> None:
    dump = tmp_path / "spoken.txt"
    dump.write_text("# omnitts spoken text 9\n#\n# Every line ...\n\n{chapter One}\nHello there.\n")
    with pytest.raises(TextError, match="another version"):
        run(dump)


def test_profile_shows_each_stage_once(book: Path) -> None:
    _, listener = run(book, profile=True)
    [event] = listener.named("profile")
    stages = [line["stage"] for line in event.data["stages"]]
    assert stages == ["text", "assemble", "speak"]
    assert all(0 <= line["busy_s"] <= event.data["wall_s"] for line in event.data["stages"])
