"""`omnitts job`: what was done, more takes for what was rejected, space given back without touching anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.audio import silence
from omnitts.cli.app import run
from omnitts.engines import registry
from omnitts.pipeline.job import find_jobs, open_job


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Path("tale.txt").write_text("The lamp was lit at dusk.\n\nA single oar lay upon the sand.\n", encoding="utf-8")


def narrate(*arguments: str) -> int:
    return run(["narrate", "tale.txt", "--engine", "fake", "--no-check", "-q", "--format", "wav", *arguments])


def failing_engine(monkeypatch: pytest.MonkeyPatch, seeds_below: float) -> None:
    import omnitts.pipeline.narrate as recipe

    extra = {"fail_on": "single oar", "fail_seeds_below": seeds_below}
    monkeypatch.setattr(
        recipe, "open_engine", lambda name, _: registry.open_engine(name, registry.EngineOptions(extra=extra))
    )


def told(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "list"]) == 0
    assert "no jobs yet" in capsys.readouterr().err
    narrate()
    assert run(["job", "list", "--json"]) == 0
    [row] = told(capsys)  # type: ignore[misc]
    assert (row["title"], row["accepted"], row["pieces"]) == ("tale", row["pieces"], row["pieces"])
    assert run(["job", "list"]) == 0
    assert row["job"] in capsys.readouterr().out
    assert run(["job", "show", "tale", "--json"]) == 0
    shown = told(capsys)
    assert shown["output"] == str(Path("tale.wav").absolute())  # type: ignore[call-overload, index]
    assert run(["job", "show", str(find_jobs()[0].path)]) == 0


def test_retry_then_the_same_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tale.txt").write_text("A single oar lay upon the sand.", encoding="utf-8")
    failing_engine(monkeypatch, seeds_below=3)
    assert narrate("--takes", "2") == 2
    assert run(["job", "show", "tale"]) == 0
    assert "after 2 takes: the engine itself reports: length" in capsys.readouterr().out
    assert narrate("--takes", "2") == 2  # no takes left: nothing changes
    assert run(["job", "retry", "tale", "--takes", "2", "--json"]) == 0
    assert told(capsys) == {"event": "granted", "job": find_jobs()[0].name, "pieces": 1, "takes": 2}
    assert narrate("--takes", "2") == 0
    assert run(["job", "retry", "tale"]) == 0
    assert "nothing was rejected" in capsys.readouterr().out


def test_clean_frees_what_an_edit_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    narrate()
    [folder] = find_jobs()
    clips = set(folder.clips.rglob("*.flac"))
    Path("tale.txt").write_text("The lamp was lit at dusk.\n\nNothing lay upon the sand.\n", encoding="utf-8")
    narrate()
    assert clips < set(folder.clips.rglob("*.flac"))
    assert run(["job", "clean", "tale", "--json"]) == 0
    assert told(capsys)["bytes"][folder.name] > 0  # type: ignore[call-overload, index]
    left = set(folder.clips.rglob("*.flac"))
    assert len(left) == len(clips)
    assert left != clips


def test_remove_takes_the_job_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("keep me")
    narrate("--job", "mine")
    assert run(["job", "clean", "mine", "--remove"]) == 0
    assert [path.name for path in Path("mine").iterdir()] == ["letter.txt"]
    narrate()
    assert run(["job", "clean", "--all", "--remove"]) == 0
    assert find_jobs() == []
    assert not list(Path("home/jobs").iterdir())
    assert Path("tale.wav").exists()


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("show nope", 9, "no such job"),
        ("show t", 9, "several jobs begin with this"),
        ("retry nope", 9, "no such job"),
        ("clean", 3, "name one job"),
        ("clean tale --all", 3, "name one job"),
        ("retry tale-a --takes 0", 3, "--takes"),
    ],
)
def test_wrong_names(line: str, status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tale-a", "tale-b"):
        folder = Path("home/jobs") / name
        folder.mkdir(parents=True)
        (folder / "job.sqlite").touch()
    assert run(["job", *line.split()]) == status
    assert said in capsys.readouterr().err


def test_a_damaged_job_is_named_and_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    narrate()
    broken = Path("home/jobs/broken")
    broken.mkdir(parents=True)
    (broken / "job.sqlite").write_bytes(b"this is no database" * 300)
    assert run(["job", "list", "--json"]) == 0
    rows = {row["job"]: row["problem"] for row in told(capsys)}  # type: ignore[attr-defined]
    assert "damaged" in rows.pop("broken")
    assert list(rows.values()) == [""]
    assert run(["job", "list"]) == 0
    capsys.readouterr()
    assert run(["job", "show", "broken"]) == 9
    assert "move the job folder away" in capsys.readouterr().err


def test_a_full_disk_is_named_and_keeps_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    narrate()
    [folder] = find_jobs()
    with pytest.raises(Exception, match="the disk is full"), open_job(folder) as job:  # noqa: PT012
        pages = job._db.execute("PRAGMA page_count").fetchone()[0]
        job._db.execute(f"PRAGMA max_page_count = {pages}")
        for idx in range(200):
            job.add_take("x" * 2000, idx, idx, silence(0.1, 16_000))
    assert narrate() == 0


def test_a_job_in_use_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    narrate()
    [folder] = find_jobs()
    with open_job(folder):
        assert run(["job", "clean", "tale", "--remove"]) == 9
        assert "in use" in capsys.readouterr().err
        assert run(["job", "list"]) == 0
    assert folder.store.exists()
