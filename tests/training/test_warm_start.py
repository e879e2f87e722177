"""Going on from an exported model: its front ends are taken over, its weights are where learning begins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from omnitts.cli import app as command_line
from omnitts.errors import InputError, UsageError
from omnitts.models.layout import check_layout
from omnitts.models.manifest import verify
from omnitts.models.mgm_omni.checkpoint import load_mouth
from omnitts.models.reading.durations import DURATIONS
from omnitts.models.reading.pronouncer import PRONOUNCER
from omnitts.training.checkpoint import CHECKPOINT, START
from omnitts.training.losses_file import LOSSES, read_losses
from omnitts.training.run_folder import RunFolder
from omnitts.training.warm_start import start_from
from tests.training.conftest import command

LEARNT = ("flow", "vocoder", "speech-lm", "pronouncer", "durations")


@pytest.fixture(scope="module")
def second_run(toy_model: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    root = tmp_path_factory.mktemp("second") / "run"
    command("train", "corpus", str(root), str(clips), "--recipe", str(toy_model / "training" / "recipe.json"))
    command("train", "start-from", str(root), "--model", str(toy_model))
    return RunFolder(root)


def test_the_front_ends_are_the_models(second_run: RunFolder, toy_run: RunFolder, toy_model: Path) -> None:
    for stage, name in (("tokenizer", "speech_tokenizer_v2.onnx"), ("speaker", "campplus.onnx")):
        assert (second_run.root / stage / name).read_bytes() == (toy_model / "cosyvoice2" / name).read_bytes()
    codes = [np.fromfile(run.root / "tokenizer" / "codes.bin", np.int16) for run in (second_run, toy_run)]
    assert np.array_equal(*codes)
    silence = [json.loads((run.root / "tokenizer" / "silence.json").read_text()) for run in (second_run, toy_run)]
    assert silence[0]["blank_ids"] == silence[1]["blank_ids"]


def test_learning_begins_where_the_model_ended(
    second_run: RunFolder, toy_run: RunFolder, toy_model: Path, tmp_path: Path
) -> None:
    for stage in LEARNT:
        command("train", stage, str(second_run.root), "--steps", "1", "--threads", "1")
        begun = next(entry["loss"] for entry in read_losses(second_run.root / stage / LOSSES) if "loss" in entry)
        first = [entry["loss"] for entry in read_losses(toy_run.root / stage / LOSSES) if "loss" in entry]
        assert begun < np.mean(first[:3]), stage
    out = tmp_path / "model"
    command("train", "export", str(second_run.root), "--out", str(out))
    assert check_layout(out) == []
    for name in (PRONOUNCER, DURATIONS):
        assert load_file(out / "cosyvoice2" / name).keys() == load_file(toy_model / "cosyvoice2" / name).keys()


def test_the_weights_are_the_exported_ones(second_run: RunFolder, toy_model: Path) -> None:
    state = torch.load(second_run.root / "speech-lm" / START, weights_only=True)
    stored = load_file(toy_model / "model.safetensors")
    assert {f"model.{name}" for name in stored} == set(state)
    assert all(torch.equal(state[f"model.{name}"], value.float()) for name, value in stored.items())


def test_a_model_of_letters_goes_on_as_one_of_phonemes(toy_model: Path, clips: Path, tmp_path: Path) -> None:
    """It begins with a new text tokenizer and all weights but the text's embeddings, and reads phonemes at the end."""
    root, recipe = tmp_path / "run", tmp_path / "recipe.json"
    plan = json.loads((toy_model / "training" / "recipe.json").read_text())
    plan["text"]["form"] = "phonemes"
    recipe.write_text(json.dumps(plan))
    command("train", "corpus", str(root), str(clips), "--recipe", str(recipe))
    command("train", "start-from", str(root), "--model", str(toy_model))
    state = torch.load(root / "speech-lm" / START, weights_only=True)
    stored = load_file(toy_model / "model.safetensors")
    changed = [name for name, value in stored.items() if not torch.equal(state[f"model.{name}"], value.float())]
    assert changed == ["model.embed_tokens.weight"]
    assert (root / "text" / "vocab.json").read_bytes() != (toy_model / "vocab.json").read_bytes()
    command("train", "speech-lm", str(root), "--steps", "1", "--threads", "1")
    out = tmp_path / "model"
    command("train", "export", str(root), "--out", str(out), "--unfinished")
    prompts = load_mouth(out).prompts
    assert prompts.text_ids("The knight rode.") == prompts.text_ids("The night rowed.")
    next_root = tmp_path / "next"
    command("train", "corpus", str(next_root), str(clips), "--recipe", str(out / "training" / "recipe.json"))
    command("train", "start-from", str(next_root), "--model", str(out))
    assert (next_root / "text" / "vocab.json").read_bytes() == (out / "vocab.json").read_bytes()


def test_a_text_form_that_does_not_exist_is_refused(clips: Path, tmp_path: Path, toy_model: Path) -> None:
    root, recipe = tmp_path / "run", tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"base": "toy", "text": {"form": "runes"}}))
    command("train", "corpus", str(root), str(clips), "--recipe", str(recipe))
    with pytest.raises(UsageError, match="no text form is called 'runes'"):
        start_from(RunFolder(root), toy_model)


def test_a_stage_that_has_begun_is_not_overwritten(toy_run: RunFolder, toy_model: Path) -> None:
    before = (toy_run.root / "flow" / CHECKPOINT).read_bytes()
    with pytest.raises(InputError, match="have been trained here already"):
        start_from(toy_run, toy_model)
    assert (toy_run.root / "flow" / CHECKPOINT).read_bytes() == before


def test_other_sizes_are_told(toy_model: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, recipe = tmp_path / "run", tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"base": "toy", "flow": {"channels": 64}}))
    command("train", "corpus", str(root), str(clips), "--recipe", str(recipe))
    command("train", "start-from", str(root), "--model", str(toy_model))
    assert command_line.run(["train", "flow", str(root)]) == InputError.exit_code
    assert "other sizes" in capsys.readouterr().err


def test_an_unfinished_run_hands_over_what_it_has(toy_run: RunFolder, clips: Path, tmp_path: Path) -> None:
    """Front ends and vocoder, but neither flow nor speech LM: the next run takes the first and learns the rest."""
    half = RunFolder(tmp_path / "half")
    shutil.copytree(toy_run.root, half.root, ignore=shutil.ignore_patterns("flow", "speech-lm", "evaluation.json"))
    parts = tmp_path / "parts"
    assert command_line.run(["train", "export", str(half.root), "--out", str(parts)]) == InputError.exit_code
    assert not parts.exists()
    command("train", "export", str(half.root), "--out", str(parts), "--unfinished")
    assert verify(parts).faults == tuple(f"{name} is missing" for name in check_layout(parts))
    root = tmp_path / "next"
    command("train", "corpus", str(root), str(clips), "--recipe", str(parts / "training" / "recipe.json"))
    command("train", "start-from", str(root), "--model", str(parts))
    for stage in ("flow", "speech-lm"):
        assert not (root / stage / START).exists()
        command("train", stage, str(root), "--threads", "1")
    out = tmp_path / "model"
    command("train", "export", str(root), "--out", str(out))
    assert check_layout(out) == []
    assert (out / "cosyvoice2" / "hift.pt").is_file()
    assert "vocoder" not in (out / "MODEL_CARD.md").read_text().partition("Steps:")[2].partition("Seed")[0]


def test_the_tokenizer_may_learn_on(toy_run: RunFolder, clips: Path, tmp_path: Path) -> None:
    parts, root = tmp_path / "parts", tmp_path / "next"
    command("train", "export", str(toy_run.root), "--out", str(parts), "--unfinished")
    command("train", "corpus", str(root), str(clips), "--recipe", str(parts / "training" / "recipe.json"))
    command("train", "start-from", str(root), "--model", str(parts), "--learn-tokenizer")
    assert not (root / "tokenizer" / "codes.bin").exists()
    assert not (root / "flow" / START).exists()  # it knows the old codes
    assert (root / "vocoder" / START).exists()
    command("train", "tokenizer", str(root), "--threads", "1")
    losses = [[entry["loss"] for entry in read_losses(run / "tokenizer" / LOSSES) if "loss" in entry]
              for run in (root, toy_run.root)]  # fmt: skip
    assert losses[0][0] < np.mean(losses[1][:3])
    assert (root / "tokenizer" / "codes.bin").is_file()


def test_a_folder_without_front_ends_is_refused(toy_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"speech_tokenizer_v2\.onnx"):
        start_from(toy_run, tmp_path)
