"""The small model that comes with the package: whole, small enough, the last choice, and it speaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitts.audio import load
from omnitts.cli import app as command_line
from omnitts.engines.base import Engine, SpeechRequest
from omnitts.engines.checkpoints import bundled_remark, find_checkpoint, mouths_fetched, mouths_present
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import ModelError
from omnitts.models.hub import BUNDLED, bundled_folder, bundled_model, find_folder, locate_model
from omnitts.models.manifest import verify
from omnitts.models.pull import pull
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.similarity import SpeakerEncoder, cosine
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.pipeline.check.wer import compare
from omnitts.pipeline.voices.library import resolve_voice
from tests.engines.tiny_checkpoint import write_checkpoint

LARGEST_BYTES = 60_000_000
SENTENCES = (
    "The boat came in at noon, and the men went up to the house.",
    "He looked at the fire for a long time and said nothing.",
    "They had walked all day through the forest without a word.",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without models."""
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def engine() -> Iterator[Engine]:
    opened = open_engine("mgm-omni", EngineOptions(device="cpu"))
    yield opened
    opened.close()


def test_every_byte_is_as_it_was_made() -> None:
    found = verify(bundled_folder())
    assert found.has_manifest
    assert found.faults == ()


def test_it_fits_into_the_package() -> None:
    small = bundled_model()
    assert small is not None
    assert small.missing == ()
    assert small.size_bytes < LARGEST_BYTES
    card = (small.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "omnitts models pull" in card
    assert "Not measured" not in card


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


def test_a_stripped_installation_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("omnitts.models.hub.preset_dir", lambda kind: tmp_path / kind)
    with pytest.raises(ModelError, match="without the small model"):
        find_folder("small")
    with pytest.raises(ModelError, match="no checkpoint"):
        find_checkpoint("")


def test_the_list_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(["models", "list", "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)["stored"]
    assert [(item["repo"], item["place"]) for item in stored] == [(BUNDLED.repo, "bundled")]


def test_it_speaks_words_in_the_voice_of_the_reference(engine: Engine) -> None:
    """Several sentences together: one misheard word of a small model is no failure, half of them would be."""
    voice = resolve_voice("clara")
    requests = [SpeechRequest(str(i), text, voice, "en") for i, text in enumerate(SENTENCES)]
    waves = {speech.key: speech.waveform for speech in engine.speak(requests)}
    listener = Transcriber(find_asr_model("base"))
    found = [compare(text, listener.transcribe(waves[str(i)], "en").text, "en") for i, text in enumerate(SENTENCES)]
    assert sum(item.errors for item in found) <= 0.5 * sum(item.words for item in found)
    encoder = SpeakerEncoder()
    reference, made = encoder.embed(load(voice.audio)), encoder.embed(waves["2"])
    assert reference is not None
    assert made is not None
    assert cosine(reference, made) > 0.6


def test_another_language_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = tmp_path / "book.txt"
    book.write_text("从前有一座山，山上有一座庙。", encoding="utf-8")
    status = command_line.run(
        ["narrate", str(book), "--voice", "clara", "--language", "zh", "-o", str(tmp_path / "b.m4b")]
    )
    assert status not in (0, 1, 2)
    assert "zh" in capsys.readouterr().err
    assert not (tmp_path / "b.m4b").exists()
