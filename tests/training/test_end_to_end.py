"""The whole recipe on a dozen clips: every stage learns, and the exported folder opens in the engine and speaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnitts.cli import app as command_line
from omnitts.engines.base import SpeechRequest
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import InputError, OutputError
from omnitts.models.layout import check_layout
from omnitts.models.manifest import verify
from omnitts.training.curves import CURVES
from omnitts.training.export import CARD, export_model
from omnitts.training.losses_file import LOSSES, read_losses
from omnitts.training.manifest import read_recordings
from omnitts.training.recipe import find_recipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import TEACHER, VECTORS
from omnitts.types import Voice
from tests.training.conftest import STAGES
from tests.training.toys import TEXTS


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_learns(toy_run: RunFolder, stage: str) -> None:
    folder = toy_run.root / stage
    losses = [entry["loss"] for entry in read_losses(folder / LOSSES) if "loss" in entry]
    assert len(losses) == 16
    assert np.mean(losses[-4:]) < 0.95 * np.mean(losses[:4])
    assert (folder / CURVES).read_bytes().startswith(b"\x89PNG")


def test_the_speaker_encoder_has_heard_every_utterance(toy_run: RunFolder) -> None:
    assert np.load(toy_run.root / "speaker" / TEACHER).shape == (12, 256)
    assert np.load(toy_run.root / "speaker" / VECTORS).shape == (12, 192)


def test_the_exported_folder_speaks(toy_run: RunFolder, toy_model: Path, clips: Path, tmp_path: Path) -> None:
    out = toy_model
    assert check_layout(out) == []
    verification = verify(out)
    assert verification.has_manifest
    assert verification.faults == ()
    assert "16" in (out / CARD).read_text(encoding="utf-8")
    engine = open_engine("mgm-omni", EngineOptions(model=str(out), device="cpu"))
    steered_less = EngineOptions(model=str(out), device="cpu", extra={"particles": 2})
    assert open_engine("mgm-omni", steered_less).revision != engine.revision, "the reader came along"
    voice = Voice("toy", read_recordings(clips)[0].audio, "d" * 64, TEXTS[0], folder=tmp_path)
    speech = next(iter(engine.speak([SpeechRequest("a", "Go home.", voice)])))
    assert len(speech.waveform) > 0
    assert np.isfinite(speech.waveform.samples).all()
    engine.close()
    with pytest.raises(OutputError, match="not empty"):
        export_model(toy_run, out)
    with pytest.raises(InputError, match="cannot be read"):
        export_model(toy_run, tmp_path / "new", about=tmp_path / "nowhere.md")
    assert not (tmp_path / "new").exists()


def test_a_stage_without_its_forerunner_says_which_command_is_missing(
    tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path / "run")
    assert command_line.run(["train", "flow", root]) == 3
    assert command_line.run(["train", "corpus", root, str(clips), "--recipe", "toy"]) == 0
    assert command_line.run(["train", "flow", root]) == 4
    assert f"omnitts train tokenizer {root}" in capsys.readouterr().err


def test_a_run_keeps_its_recipe(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.keep_recipe(find_recipe("toy"))
    run.keep_recipe(find_recipe("toy"))
    assert run.recipe() == find_recipe("toy")
    assert command_line.run(["train", "corpus", str(tmp_path), str(tmp_path), "--recipe", "gpu"]) == 3
