"""The job store: what was entered is believed after a kill, equal work is done once, and nobody works in it twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.errors import JobError
from omnitts.pipeline.job import Job, JobFolder, Status, job_folder_for, open_job, read_job
from omnitts.types import Pause, Span, Utterance, Verdict


def utterance(key: str, chapter_idx: int = 0, piece_idx: int = 0, text: str = "Some words.") -> Utterance:
    return Utterance(key, chapter_idx, piece_idx, text, text, Span(0, len(text)), Pause.SENTENCE, 0.3)


def tone(pitch_hz: float = 200.0) -> Waveform:
    return Waveform(0.3 * np.sin(np.arange(2400) * pitch_hz * 2 * np.pi / 24000).astype(np.float32), 24000)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "book")


def spoken(job: Job, key: str, take: int = 0, *, accepted: bool, score: float = 0.0, failure: str = "") -> None:
    made = job.add_take(key, take, seed=take, sound=tone(100.0 + take), failure=failure)
    job.record(made.clip, Verdict(accepted, () if accepted else ("bad",), score=score))


def test_a_new_utterance_is_pending_and_a_known_one_keeps_its_takes(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a"), utterance("b", 0, 1)])
        spoken(job, "a", accepted=True)
    with open_job(folder) as job:
        job.set_plan([utterance("b"), utterance("a", 0, 1), utterance("c", 1, 0)])
        assert job.statuses() == {"b": Status.PENDING, "a": Status.ACCEPTED, "c": Status.PENDING}
        assert job.counts()[Status.PENDING] == 2


def test_equal_utterances_are_one_piece_of_work(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a"), utterance("b", 0, 1), utterance("a", 0, 2)])
        assert list(job.statuses()) == ["a", "b"]
        assert sum(job.counts().values()) == 2


def test_a_take_without_verdict_waits_for_one(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a")])
        take = job.add_take("a", 0, 7, tone(), synthesis_s=1.5)
    with open_job(folder) as job:
        assert job.status("a") is Status.SPOKEN
        [stored] = job.takes("a")
        assert stored == take
        assert stored.verdict is None
        sound = audio.load(folder.clip(stored.clip.file))
        assert np.allclose(sound.samples, tone().samples, atol=2**-15)


def test_verdicts_come_back_whole(folder: JobFolder) -> None:
    verdict = Verdict(
        False, ("2 of 9 words missing",), "some words", 0.2, 9, 2, 0.8, 2, 0, 1, 0.9, 2.5, {"rms_dbfs": -20.0},
        (("equal", "some", "some"), ("delete", "more", "")), 0.7, {"language": "en"},
    )  # fmt: skip
    with open_job(folder) as job:
        job.set_plan([utterance("a")])
        job.record(job.add_take("a", 0, 0, tone()).clip, verdict, "rules-1")
        [take] = job.takes("a")
        assert (take.verdict, take.checks) == (verdict, "rules-1")
        assert job.status("a") is Status.REJECTED


def test_best_take_prefers_accepted_then_score_then_earlier(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a")])
        assert job.best_take("a") is None
        spoken(job, "a", 0, accepted=False, score=0.9)
        spoken(job, "a", 1, accepted=False, score=0.9)
        spoken(job, "a", 2, accepted=False, score=0.99, failure="blank_run")
        best = job.best_take("a")
        assert best is not None
        assert best.clip.take == 0
        spoken(job, "a", 3, accepted=True, score=0.5)
        best = job.best_take("a")
        assert best is not None
        assert best.clip.take == 3


def test_granted_takes_are_counted(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a"), utterance("b", 0, 1)])
        spoken(job, "a", accepted=False)
        job.grant_takes(["a"], 3)
        job.grant_takes(["a"], 2)
        assert job.take_numbers() == {"a": (1, 5), "b": (0, 0)}


def test_prune_frees_what_the_text_no_longer_holds(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a"), utterance("b", 0, 1)])
        job.add_take("a", 0, 0, tone(300))
        kept = job.add_take("b", 0, 0, tone(400))
        job.set_plan([utterance("b")])
        assert job.prune() > 0
        assert [path.name for path in folder.clips.glob("*/*")] == [Path(kept.clip.file).name]
        job.set_plan([utterance("a")])
        assert job.status("a") is Status.PENDING


def test_two_cannot_work_in_one_job_but_others_may_look(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a")])
        with pytest.raises(JobError, match="in use"), open_job(folder):
            pass
        with read_job(folder) as seen:
            assert list(seen.statuses()) == ["a"]
    with open_job(folder):
        pass


def test_damaged_newer_or_unknown_jobs_are_named(folder: JobFolder) -> None:
    with pytest.raises(JobError, match="no such job"), open_job(folder, must_exist=True):
        pass
    with open_job(folder) as job:
        job.put({"schema": "99"})
    with pytest.raises(JobError, match="version 99"), open_job(folder):
        pass
    folder.store.write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(JobError, match="damaged"), open_job(folder):
        pass


def test_a_row_never_points_to_a_missing_clip(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between file and row: the row is absent, the utterance still pending."""
    with open_job(folder) as job:
        job.set_plan([utterance("a")])

        class Killed(BaseException):
            pass

        def kill(*_: object) -> None:
            raise Killed

        monkeypatch.setattr("omnitts.pipeline.job.store.Clip", kill)
        with pytest.raises(Killed):
            job.add_take("a", 0, 0, tone())
    monkeypatch.undo()
    with open_job(folder) as job:
        assert job.status("a") is Status.PENDING
        assert job.takes("a") == []
        assert len(list(folder.clips.glob("*/*"))) == 1


def test_folder_depends_on_the_output_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))
    one = job_folder_for(tmp_path / "A tale of Ünder.m4b")
    assert one == job_folder_for(tmp_path / "A tale of Ünder.m4b")
    assert one != job_folder_for(tmp_path / "A tale of Ünder.mp3")
    assert one.path.parent == tmp_path / "jobs"
    assert one.name.startswith("A-tale-of-Ünder-")


def test_the_store_is_readable_with_sqlite_alone(folder: JobFolder) -> None:
    with open_job(folder) as job:
        job.set_plan([utterance("a")])
    assert sqlite3.connect(folder.store).execute("SELECT id FROM utterances").fetchall() == [("a",)]
