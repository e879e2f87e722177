"""Presets: shipped ones are found, a user's own come first, unknown names are answered with those there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitts import presets
from omnitts.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))
    return tmp_path


def test_the_shipped_masters_are_found() -> None:
    assert {"audiobook", "podcast"} <= presets.presets("masters").keys()
    assert presets.find_preset("masters", "audiobook").is_file()


def test_a_users_own_preset_hides_the_shipped_one(home: Path) -> None:
    own = home / "masters" / "audiobook.yaml"
    own.parent.mkdir()
    own.write_text("loudness_lufs: -20\n")
    assert presets.find_preset("masters", "audiobook") == own
    assert "podcast" in presets.presets("masters")


def test_folders_are_presets_too_and_hidden_files_are_not(home: Path) -> None:
    for name in ("anna", ".git", "__pycache__"):
        (home / "voices" / name).mkdir(parents=True)
    (home / "voices" / "notes.v2").mkdir()
    assert {"anna", "notes.v2"} <= presets.presets("voices").keys()
    assert not {".git", "__pycache__", "notes"} & presets.presets("voices").keys()


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no preset of masters is called 'radio'") as caught:
        presets.find_preset("masters", "radio")
    assert "audiobook" in caught.value.hint


def test_without_the_installed_package_the_source_tree_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "SHIPPED_PACKAGE", "a_package_that_is_not_there")
    assert (presets.preset_dir("masters") / "audiobook.yaml").is_file()


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="masters"):
        presets.presets("songs")
