"""Finding and joining recognisers; one real listening where the packaged model is installed."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest

from omnitts.audio import Waveform
from omnitts.errors import DependencyError, ModelError, UsageError
from omnitts.pipeline.check import asr_models
from omnitts.pipeline.check.asr_models import find_asr_model, join_packaged, list_asr_models
from omnitts.pipeline.check.judge import Checker, QualityOptions

PACKAGED = all(importlib.util.find_spec(package) for package, _ in asr_models._PARTS)
needs_package = pytest.mark.skipif(not PACKAGED, reason="pip install 'omnitts[offline]'")


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any model, hub or package."""
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))
    monkeypatch.setattr(asr_models, "_cached", list)
    monkeypatch.setattr(asr_models, "_packages_present", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def put_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "vocabulary.json"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_without_model_and_hub_it_fails_at_once_and_says_what_to_do(empty_home: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(DependencyError, match="--no-check"):
        find_asr_model()
    assert time.perf_counter() - started < 5


def test_a_model_in_the_models_folder_is_found_by_name(empty_home: Path) -> None:
    put_model(empty_home / "models" / "faster-whisper-small")
    assert [model.name for model in list_asr_models()] == ["small"]
    assert find_asr_model("small") == find_asr_model()


def test_a_folder_without_a_model_and_an_unknown_name_are_named(empty_home: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.bin"):
        find_asr_model(str(empty_home))
    with pytest.raises(UsageError, match="huge"):
        find_asr_model("huge")


def test_an_english_model_is_not_taken_for_another_language(empty_home: Path) -> None:
    put_model(empty_home / "models" / "faster-whisper-base.en")
    with pytest.raises(DependencyError):
        find_asr_model(language="zh")


@needs_package
def test_a_damaged_package_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))
    monkeypatch.setattr(asr_models, "_JOINED_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="damaged"):
        join_packaged()
    assert list((tmp_path / "models").iterdir()) == []


@needs_package
def test_a_real_voice_is_heard_and_a_dropped_sentence_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hibari = pytest.importorskip("hibari")
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path))
    voice = hibari.Hibari(threads=1)
    first, second = "The old man went down to the sea.", "He looked at the boats for a long time."
    take = Waveform(np.asarray(voice(f"{first} {second}", seed=0), np.float32), voice.sample_rate)
    cut = Waveform(np.asarray(voice(first, seed=0), np.float32), voice.sample_rate)
    checker = Checker(QualityOptions(asr="base", threads=1), "en")
    assert checker.judge(f"{first} {second}", take).accepted
    bad = checker.judge(f"{first} {second}", cut)
    assert bad.longest_gap == 9
    assert not bad.accepted
