"""Choosing and opening engines: the table, `auto`, and every refusal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from omnitts.engines.base import Engine
from omnitts.engines.registry import ENGINES, EngineEntry, choose_engine, engine_names, open_engine, primary_tag
from omnitts.errors import DependencyError, EngineError, ModelError, VoiceError


@pytest.mark.parametrize("name", engine_names())
def test_the_table_agrees_with_the_engine(name: str) -> None:
    if name not in ("draft", "fake"):
        pytest.skip("an engine with a model is opened by its own tests")
    engine = open_engine(name)
    assert isinstance(engine, Engine)
    assert engine.name == name
    assert engine.capabilities.clones == ENGINES[name].clones
    assert engine.capabilities.languages == ENGINES[name].languages
    assert engine.revision
    assert engine.description


def test_an_unknown_engine_is_answered_with_the_names() -> None:
    with pytest.raises(EngineError, match="no engine is called 'drft'") as caught:
        open_engine("drft")
    assert all(name in caught.value.hint for name in engine_names())
    with pytest.raises(EngineError, match="no engine is called"):
        choose_engine("", has_voice=False)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"broken": EngineEntry("a_package_that_is_not_there.engine:open_engine", clones=True)}
    monkeypatch.setattr("omnitts.engines.registry.ENGINES", table)
    with pytest.raises(DependencyError, match="a_package_that_is_not_there"):
        open_engine("broken")


def test_auto_without_a_voice_is_the_draft_narrator() -> None:
    assert choose_engine("auto", has_voice=False) == "draft"
    assert choose_engine("auto", has_voice=False, language="en-GB") == "draft"


def test_auto_with_a_voice_and_no_model_says_how_to_get_one() -> None:
    with pytest.raises(ModelError) as caught:
        choose_engine("auto", has_voice=True)
    assert "omnitts models pull" in caught.value.hint
    assert "drop --voice" in caught.value.hint


def test_auto_with_a_voice_and_a_model_clones(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"mgm-omni": EngineEntry("somewhere:open_engine", clones=True)}
    monkeypatch.setattr("omnitts.engines.registry.ENGINES", table)
    assert choose_engine("auto", has_voice=True, models_present=["MGM-Omni-TTS-2B-0927"], language="zh") == "mgm-omni"


def test_a_voice_for_an_engine_that_cannot_clone_names_one_that_can() -> None:
    with pytest.raises(VoiceError, match="draft has one fixed narrator") as caught:
        choose_engine("draft", has_voice=True)
    assert "mgm-omni" in caught.value.hint


@pytest.mark.parametrize("language", ["zh", "zh-CN", "FR", "de_DE"])
def test_a_language_the_engine_lacks_is_refused_by_name(language: str) -> None:
    with pytest.raises(EngineError, match=f"does not speak '{primary_tag(language)}', only en"):
        choose_engine("draft", has_voice=False, language=language)
    assert choose_engine("fake", has_voice=False, language=language) == "fake"


@pytest.mark.parametrize("language", ["", "en", "en-US", "EN_gb", "und"])
def test_english_and_unknown_pass(language: str) -> None:
    assert choose_engine("auto", has_voice=False, language=language) == "draft"


def test_choosing_imports_no_engine() -> None:
    code = (
        "import sys; from omnitts.engines.registry import choose_engine; choose_engine('auto', has_voice=False);"
        "sys.exit(any(name in sys.modules for name in ('hibari', 'torch', 'onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdin=subprocess.DEVNULL).returncode == 0
