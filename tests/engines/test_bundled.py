"""The small model that may come with the package: found, named, the last choice, and one line says that it speaks.

A tiny checkpoint stands in for it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.cli import app as command_line
from omnitts.engines.checkpoints import bundled_remark, find_checkpoint, mouths_fetched, mouths_present
from omnitts.errors import EngineError, ModelError
from omnitts.models.hub import BUNDLED, bundled_folder, bundled_model, find_folder, locate_model
from omnitts.models.manifest import Manifest, sha256_of, verify, write_manifest
from omnitts.models.pull import pull
from tests.engines.tiny_checkpoint import write_checkpoint


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Presets of an installation with a small model that speaks English alone."""
    presets = tmp_path_factory.mktemp("presets")
    folder = write_checkpoint(presets / "models" / "small")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "languages": ["en"], "_name_or_path": BUNDLED.repo}))
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    write_manifest(folder, Manifest(BUNDLED.repo, "main", "a" * 40, files))
    return presets


@pytest.fixture(autouse=True)
def home(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without other models."""
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("omnitts.models.hub.preset_dir", lambda kind: package / kind)
    return tmp_path


def test_it_is_whole() -> None:
    small = bundled_model()
    assert small is not None
    assert (small.missing, small.place, small.commit) == ((), "bundled", "a" * 40)
    assert verify(small.folder).faults == ()
    assert command_line.run(["models", "verify", "small"]) == 0


def test_it_is_what_is_opened_when_nothing_else_is_here() -> None:
    assert mouths_fetched() == ()
    assert mouths_present() == (BUNDLED.repo,)
    assert find_checkpoint("") == locate_model("small") == bundled_folder()
    assert "omnitts models pull" in bundled_remark("mgm-omni", "")


def test_it_is_not_mentioned_where_it_was_asked_for_or_does_not_speak() -> None:
    assert bundled_remark("mgm-omni", "small") == ""
    assert bundled_remark("draft", "") == ""


def test_a_fetched_model_comes_first(home: Path) -> None:
    folder = home / "home" / "models" / "wcy1122--MGM-Omni-TTS-4B"
    write_checkpoint(folder)
    lock = {"repo": "wcy1122/MGM-Omni-TTS-4B", "revision": "main", "commit": "c" * 40, "sha256": {}}
    (folder / "omnitts.lock.json").write_text(json.dumps(lock), encoding="utf-8")
    assert mouths_present() == ("wcy1122/MGM-Omni-TTS-4B", BUNDLED.repo)
    assert find_checkpoint("") == folder
    assert bundled_remark("mgm-omni", "") == ""


def test_there_is_nothing_to_pull_or_remove(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="comes with omnitts"):
        pull("small")
    assert command_line.run(["models", "remove", "small", "--yes"]) == ModelError.exit_code
    assert verify(bundled_folder()).faults == ()


@pytest.mark.usefixtures("no_small_model")
def test_a_stripped_installation_says_so() -> None:
    for look in (find_folder, pull):
        with pytest.raises(ModelError, match="without the small model"):
            look("small")
    with pytest.raises(ModelError, match="no checkpoint"):
        find_checkpoint("")


def test_the_list_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(["models", "list", "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)["stored"]
    assert [(item["repo"], item["place"]) for item in stored] == [(BUNDLED.repo, "bundled")]


def test_narrate_says_who_speaks_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights say nothing, so the book fails; the line comes before."""
    book = tmp_path / "book.txt"
    book.write_text("Go home.", encoding="utf-8")
    arguments = ["narrate", str(book), "--voice", "clara", "--no-check", "--takes", "1", "-o", str(tmp_path / "b.wav")]
    command_line.run(arguments)
    assert capsys.readouterr().err.count("omnitts models pull 2b") == 1
    command_line.run([*arguments, "--model", "small"])
    assert "omnitts models pull 2b" not in capsys.readouterr().err


def test_another_language_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = tmp_path / "book.txt"
    book.write_text("从前有一座山，山上有一座庙。", encoding="utf-8")
    out = tmp_path / "b.m4b"
    status = command_line.run(["narrate", str(book), "--voice", "clara", "--language", "zh", "-o", str(out)])
    assert status == EngineError.exit_code
    assert "zh" in capsys.readouterr().err
    assert not out.exists()
