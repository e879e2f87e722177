"""Checkpoint folders in every published layout, and what is said about those that do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from omnitts.errors import DependencyError, EngineError, ModelError
from omnitts.models.linear_layout import Layout
from omnitts.models.mgm_omni.brain import loading, quantise
from omnitts.models.mgm_omni.brain.audio_input import MEL_BINS
from omnitts.models.mgm_omni.brain.loading import LoadedBrain, load_brain
from omnitts.models.mgm_omni.brain.vision_input import PatchConfig, Patches
from tests.models.golden_cases import SHIPPED_DIR

VISION, MAIN, AUX = (
    "model.vision_tower.vision_tower.",
    "model.speech_tower.speech_tower.",
    "model.speech_tower.speech_tower_aux.",
)
GRID = (1, 4, 4)
SAME = {"rtol": 0.0, "atol": 1e-5}

EditConfig = Callable[[dict[str, Any]], object]


def write_checkpoint(folder: Path, tiny_dir: Path, edit: EditConfig = lambda raw: None) -> dict[str, torch.Tensor]:
    """Config and tokenizer of the tiny brain; returns its tensors, for the test to store as it likes."""
    folder.mkdir(parents=True)
    raw = json.loads((tiny_dir / "config.json").read_text(encoding="utf-8"))
    edit(raw)
    (folder / "config.json").write_text(json.dumps(raw))
    for path in (SHIPPED_DIR / "tokenizer" / "brain").iterdir():
        shutil.copy(path, folder)
    return load_file(tiny_dir / "weights.safetensors")


def load(folder: Path, **options: Any) -> LoadedBrain:
    return load_brain(folder, **{"dtype": torch.float32, "device_map": "cpu", **options})


def logits_of(brain: LoadedBrain) -> torch.Tensor:
    """The next token's logits after a picture, a sound and some words."""
    network = brain.network
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randn(GRID[1] * GRID[2], 3 * 2 * 14 * 14, generator=generator)
    mel = torch.randn(MEL_BINS, 3000, generator=generator)
    media = [*network.encode_vision([Patches(pixels, GRID)]), network.encode_audio(mel)]
    return network.prefill([network.embed([5, 6, -200, 7, -500, 8], media)])[0]


@pytest.fixture(scope="module")
def wanted(tiny_brain: LoadedBrain) -> torch.Tensor:
    return logits_of(tiny_brain)


def test_one_file_with_everything_in_it(tmp_path: Path, tiny_dir: Path, wanted: torch.Tensor) -> None:
    folder = tmp_path / "MGM-Omni-7B"
    tensors = write_checkpoint(folder, tiny_dir, lambda raw: raw.update(model_type="MGMOmni"))
    tensors["model.mm_projector.0.weight"] = torch.zeros(3)  # may be stored, has no use
    save_file(tensors, folder / "model.safetensors")
    (folder / "generation_config.json").write_text('{"repetition_penalty": 1.05, "eos_token_id": [822, 820]}')
    (folder / "preprocessor_config.json").write_text('{"min_pixels": 3136, "max_pixels": 1003520}')
    brain = load(folder)
    torch.testing.assert_close(logits_of(brain), wanted, **SAME)
    assert brain.generation["repetition_penalty"] == 1.05
    assert brain.eos_ids == {820, 822}
    assert brain.patch_config == PatchConfig(max_pixels=1003520)
    assert not brain.network.training


def test_shards_with_an_index(tmp_path: Path, tiny_dir: Path, wanted: torch.Tensor) -> None:
    folder = tmp_path / "sharded"
    tensors = write_checkpoint(folder, tiny_dir)
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    torch.testing.assert_close(logits_of(load(folder)), wanted, **SAME)


def test_towers_in_folders_of_their_own(tmp_path: Path, tiny_dir: Path, wanted: torch.Tensor) -> None:
    """As published checkpoints of whole models: each tower under its own prefix, its config nested or flat."""
    folder = tmp_path / "MGM-Omni-7B"
    raw: dict[str, Any] = {}

    def move_towers_out(config: dict[str, Any]) -> None:
        raw.update({name: config.pop(name) for name in ("vision_config", "audio_encoder", "whisper_aux")})
        config.update(unfreeze_mm_vision_tower=False, unfreeze_mm_speech_tower=False)
        config.update(mm_vision_tower="model_zoo/qwen2.5-vl-tiny", mm_speech_tower="Dual-qwen2a-tiny")

    tensors = write_checkpoint(folder, tiny_dir, move_towers_out)
    save_file({n: t for n, t in tensors.items() if "tower" not in n}, folder / "model.safetensors")
    layouts = (
        (tmp_path / "qwen2.5-vl-tiny", VISION, "visual.", {"vision_config": raw["vision_config"]}),
        (tmp_path / "qwen2a-tiny", MAIN, "audio_tower.", {"audio_config": raw["audio_encoder"]}),
        (folder / "whisper-aux-tiny", AUX, "model.encoder.", raw["whisper_aux"]),
    )
    for tower, published, own, config in layouts:
        tower.mkdir()
        (tower / "config.json").write_text(json.dumps(config))
        part = {own + n.removeprefix(published): t for n, t in tensors.items() if n.startswith(published)}
        save_file({**part, "language_model.norm.weight": torch.ones(4)}, tower / "model.safetensors")
    torch.testing.assert_close(logits_of(load(folder)), wanted, **SAME)

    elsewhere = tmp_path / "moved"
    (tmp_path / "qwen2a-tiny").rename(elsewhere)
    with pytest.raises(ModelError, match=r"config.json: mm_speech_tower 'qwen2a-tiny' is not on this machine"):
        load(folder)
    found = load(folder, towers={"mm_speech_tower": elsewhere})
    torch.testing.assert_close(logits_of(found), wanted, **SAME)


def test_a_tied_head_is_taken_from_the_embeddings(tmp_path: Path, tiny_dir: Path) -> None:
    folder = tmp_path / "tied"
    tensors = write_checkpoint(folder, tiny_dir, lambda raw: raw.update(tie_word_embeddings=True))
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors")
    network = load(folder).network
    assert network.lm_head.weight.data_ptr() == network.text_model.embed_tokens.weight.data_ptr()


@pytest.mark.parametrize("layout", [Layout.PLAIN, Layout.WIDENED])
def test_half_precision_stays_near_single(
    tmp_path: Path, tiny_dir: Path, wanted: torch.Tensor, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    """Measured: bf16 0.084 and fp16 0.010 on logits up to 9.3 (random weights, three layers)."""
    monkeypatch.setattr(loading, "usual_layout", lambda *_: layout)
    folder = tmp_path / "half"
    save_file(write_checkpoint(folder, tiny_dir), folder / "model.safetensors")
    for dtype, bound in ((torch.bfloat16, 0.3), (torch.float16, 0.04)):
        got = logits_of(load(folder, dtype=dtype))
        assert got.dtype == torch.float32
        assert (got - wanted).abs().max() < bound, dtype


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", None, "field hidden_size is missing"),
        ("rope_scaling", None, "rope_scaling.mrope_section is missing"),
        ("speech_norm", None, "field speech_norm is missing"),
        ("speech_tower_aux", None, "field speech_tower_aux is missing"),
        ("mm_speech_projector_type", "conv", "'conv' is not known"),
        ("mm_speech_projector_type", "simple_mlp", "simple_mlp does not fit a dual speech tower"),
        ("mm_vision_tower", "siglip-so400m", "'siglip-so400m' is not a Qwen2.5-VL tower"),
        ("mm_speech_tower", "hubert", "'hubert' names no known audio encoder"),
        ("model_type", "MGMTTS", "a speech model, not a brain"),
        ("num_attention_heads", 5, "mrope_section"),
        ("hidden_act", "no-such", "the config cannot be built"),
        ("intermediate_size", 97, "of another shape: model.layers.0.mlp.down_proj.weight is 64x96, not 64x97"),
        ("num_hidden_layers", 2, "unexpected: model.layers.2.input_layernorm.weight"),
        ("num_hidden_layers", 4, "missing: model.layers.3.input_layernorm.weight"),
    ],
)
def test_a_config_that_does_not_fit_is_answered_by_name(
    tmp_path: Path, tiny_dir: Path, field: str, value: object, message: str
) -> None:
    folder = tmp_path / "odd"
    save_file(write_checkpoint(folder, tiny_dir, lambda raw: raw.update({field: value})), folder / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert message in str(caught.value)
    assert str(folder) in caught.value.where


def test_damaged_and_missing_files_are_named(tmp_path: Path, tiny_dir: Path) -> None:
    folder = tmp_path / "broken"
    tensors = write_checkpoint(folder, tiny_dir)
    with pytest.raises(ModelError, match=r"model.safetensors is missing"):
        load(folder)
    save_file(tensors, folder / "model.safetensors")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged weight file"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json"):
        load(folder)
    with pytest.raises(ModelError, match=r"config.json is missing"):
        load(tmp_path / "nowhere")


def test_an_unknown_device_and_a_missing_package_are_named(
    tmp_path: Path, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fine"
    save_file(write_checkpoint(folder, tiny_dir), folder / "model.safetensors")
    with pytest.raises(EngineError, match="unknown device"):
        load(folder, device_map="gpu-one")
    monkeypatch.setattr("transformers.utils.import_utils.is_bitsandbytes_available", lambda: False)
    with pytest.raises(DependencyError, match="bitsandbytes"):
        load(folder, quantisation="4bit")


@pytest.mark.parametrize(("quantisation", "bound"), [("8bit", 0.5), ("4bit", 4.0)])
def test_quantised_linears_stay_near(
    tmp_path: Path, tiny_dir: Path, wanted: torch.Tensor, quantisation: quantise.Quantisation, bound: float
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is an optional package")
    folder = tmp_path / "quantised"
    save_file(write_checkpoint(folder, tiny_dir), folder / "model.safetensors")
    brain = load(folder, quantisation=quantisation)
    assert not brain.network.text_model.layers[0].mlp.up_proj.weight.is_floating_point()
    assert brain.network.lm_head.weight.dtype == torch.float32
    assert (logits_of(brain) - wanted).abs().max() < bound
