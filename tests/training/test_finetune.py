"""Fine-tuning a checkpoint folder: it learns, goes on where it stopped, and leaves everything else as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.cli import app as command_line
from omnitts.errors import InputError, OutputError, UsageError
from omnitts.models.linear_layout import Layout
from omnitts.models.manifest import verify
from omnitts.models.mgm_omni.checkpoint import load_speech_lm, read_mouth_config
from omnitts.models.weights import read_tensors
from omnitts.training.finetune import FinetuneOptions, finetune
from omnitts.training.lora import LoraLinear, add_lora, merge_lora
from omnitts.training.losses_file import LOSSES, read_losses
from omnitts.training.manifest import read_recordings

OPTIONS = FinetuneOptions(steps=12, batch_s=20.0, learning_rate=2e-3, rank=4, validation=0.0)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_learns_and_writes_a_checkpoint(toy_model: Path, clips: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "mine"
    finetune(toy_model, read_recordings(clips)[:6], out, replace(OPTIONS, method=method))
    losses = [entry["loss"] for entry in read_losses(tmp_path / "mine.training" / LOSSES) if "loss" in entry]
    assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3])
    assert verify(out).faults == ()
    before, after = read_tensors(toy_model), read_tensors(out)
    assert {name: (value.shape, value.dtype) for name, value in before.items()} == {
        name: (value.shape, value.dtype) for name, value in after.items()
    }
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "model.layers.0.self_attn.q_proj.weight" in changed
    assert ("model.embed_tokens.weight" in changed) == (method == "full")
    for name in ("cosyvoice2/flow.pt", "cosyvoice2/speech_tokenizer_v2.onnx", "vocab.json", "config.json"):
        assert (out / name).read_bytes() == (toy_model / name).read_bytes()


def test_a_stopped_run_ends_in_the_same_weights(toy_model: Path, clips: Path, tmp_path: Path) -> None:
    recordings = read_recordings(clips)[:4]
    options = replace(OPTIONS, steps=4)
    finetune(toy_model, recordings, tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omnitts.training.finetune._write", _stop)
        with pytest.raises(KeyboardInterrupt):
            finetune(toy_model, recordings, tmp_path / "parts", options)
    assert not (tmp_path / "parts").exists()
    finetune(toy_model, recordings, tmp_path / "parts", options)
    whole, parts = read_tensors(tmp_path / "whole"), read_tensors(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_merged_adapters_compute_the_same(toy_model: Path) -> None:
    config = read_mouth_config(toy_model)
    model = load_speech_lm(toy_model, config, layout=Layout.PLAIN)
    rows = torch.zeros(1, 7, 5, dtype=torch.int64)
    plain = model(rows, model.new_cache(1, 7))
    learnt = add_lora(model, 2, 4.0, 0)
    assert torch.equal(model(rows, model.new_cache(1, 7)), plain)
    assert [name for name, weight in model.named_parameters() if weight.requires_grad] != []
    assert sum(weight.numel() for weight in model.parameters() if weight.requires_grad) == sum(
        weight.numel() for weight in learnt.values()
    )
    with torch.no_grad():
        for weight in learnt.values():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    adapted = model(rows, model.new_cache(1, 7))
    merge_lora(model)
    assert not any(isinstance(module, LoraLinear) for module in model.modules())
    assert not torch.allclose(adapted, plain, atol=1e-3)
    assert torch.allclose(model(rows, model.new_cache(1, 7)), adapted, atol=1e-4)


def test_the_command(toy_model: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    arguments = ["--model", str(toy_model), "--data", str(clips), "--out", str(out), "--steps", "1", "--threads", "1"]
    threads = torch.get_num_threads()
    assert command_line.run(["train", "finetune", *arguments]) == 0
    torch.set_num_threads(threads)
    assert capsys.readouterr().out.strip() == str(out)


def test_what_cannot_be_is_named(toy_model: Path, clips: Path, tmp_path: Path) -> None:
    recordings = read_recordings(clips)
    with pytest.raises(UsageError, match="no method"):
        finetune(toy_model, recordings, tmp_path / "a", replace(OPTIONS, method="some"))
    with pytest.raises(InputError, match="1 recordings"):
        finetune(toy_model, recordings[:1], tmp_path / "b", OPTIONS)
    with pytest.raises(OutputError, match="not empty"):
        finetune(toy_model, recordings, toy_model, OPTIONS)
    with pytest.raises(UsageError, match="other settings"):
        finetune(toy_model, recordings, tmp_path / "b", replace(OPTIONS, rank=2))
