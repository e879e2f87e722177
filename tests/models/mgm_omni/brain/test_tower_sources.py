"""Where towers come from, and configs read off the weights of a published checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.brain.config import BrainConfig, SpeechTowerConfig
from omnitts.models.mgm_omni.brain.keys import AUX_AUDIO, MAIN_AUDIO, VISION, own_name, published_name
from omnitts.models.mgm_omni.brain.loading import build_brain
from omnitts.models.mgm_omni.brain.tower_sources import derive_config, find_tower_folder, find_towers
from tests.models.mgm_omni.brain.published import AUDIO, BRAIN_7B, BRAIN_32B
from tests.models.mgm_omni.brain.published import VISION as VISION_FIELDS

WITHOUT_TOWER_FIELDS = {n: v for n, v in BRAIN_7B.items() if n not in ("vision_config", "audio_encoder", "whisper_aux")}


def shapes_of(raw: dict[str, object]) -> dict[str, tuple[int, ...]]:
    return {n: tuple(t.shape) for n, t in build_brain(BrainConfig.from_dict(raw)).state_dict().items()}


@pytest.mark.parametrize("raw", [BRAIN_7B, BRAIN_32B])
def test_every_name_goes_there_and_back(raw: dict[str, object]) -> None:
    for name in shapes_of(raw):
        assert own_name(published_name(name)) == name
    assert own_name("model.mm_projector.0.weight") is None


def test_a_published_checkpoint_needs_no_tower_folders(tmp_path: Path) -> None:
    """Towers inside, their paths of another machine: sizes are read off the shapes, and the network is the same."""
    shapes = shapes_of(BRAIN_7B)
    config = BrainConfig.from_dict(WITHOUT_TOWER_FIELDS)
    sources = find_towers(config, tmp_path, shapes)
    assert [source.folder for source in sources] == [None] * 3
    fields = {source.config_field: source.fields for source in sources}
    assert dict(fields["audio_encoder"]) == dict(fields["whisper_aux"]) == AUDIO
    for name, value in fields["vision_config"].items():
        assert {**VISION_FIELDS, "in_channels": 3, "out_hidden_size": 3584}[name] == value
    rebuilt = build_brain(config, fields).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in rebuilt.items()} == shapes


def test_a_vision_tower_of_unknown_depth_is_asked_for() -> None:
    shapes = shapes_of({**BRAIN_7B, "vision_config": {**VISION_FIELDS, "depth": 24, "out_hidden_size": 3584}})
    with pytest.raises(ModelError, match=r"24 blocks, 1280 wide, is none of the published ones"):
        derive_config(VISION, shapes, "folder")
    with pytest.raises(ModelError, match="weights are missing"):
        derive_config(MAIN_AUDIO, {}, "folder")
    assert derive_config(AUX_AUDIO, shapes, "folder") == AUDIO


def test_tower_folders_are_looked_for_beside_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "MGM-Omni-7B"
    checkpoint.mkdir()
    assert find_tower_folder("./model_zoo/tower", checkpoint) is None
    for folder in (tmp_path / "tower", checkpoint / "tower", checkpoint / "model_zoo" / "tower"):
        folder.mkdir(parents=True)
        assert find_tower_folder("./model_zoo/tower", checkpoint) != folder, "a folder without config.json is none"
        (folder / "config.json").write_text(json.dumps({}))
        assert find_tower_folder("./model_zoo/tower", checkpoint).resolve() == folder
        assert find_tower_folder(str(folder), tmp_path / "elsewhere") == folder


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("Dual-Qwen2a-encoder", "dual", "Qwen2a-encoder"),
        ("/zoo/Dual-qwen2-audio", "dual", "/zoo/qwen2-audio"),
        ("openai/whisper-large-v3", "whisper", "openai/whisper-large-v3"),
        ("zoo/QWEN2A", "qwen2a", "zoo/QWEN2A"),
        ("dual-whisper", "dual", "whisper"),
    ],
)
def test_the_tower_is_chosen_by_substring(name: str, kind: str, path: str) -> None:
    raw = {"mm_speech_tower": name, "speech_tower_aux": "aux", "speech_norm": False}
    config = SpeechTowerConfig.from_dict(raw)
    assert (config.kind, config.path) == (kind, path)
    assert config.aux_path == ("aux" if kind == "dual" else "")
