"""A checkpoint folder of the published layout, opened whole; and folders with something missing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.checkpoint import load_mouth, read_mouth_config
from omnitts.models.mgm_omni.generate import SpeechSequence, generate
from tests.models.golden_cases import SHIPPED_DIR

GOLDEN = SHIPPED_DIR / "speechlm-forward"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Slow tokenizer files, two shards, a generation config: as published, but small."""
    for file in (SHIPPED_DIR / "tokenizer" / "mouth").iterdir():
        shutil.copy(file, tmp_path / file.name)
    fields = json.loads((GOLDEN / "config.json").read_text()) | {"model_type": "MGMTTS"}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    (tmp_path / "generation_config.json").write_text(json.dumps({"top_k": 20, "top_p": 0.95, "temperature": 0.6}))
    shutil.copy(GOLDEN / "weights.safetensors", tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_folder_is_opened_and_speaks(folder: Path, dtype: torch.dtype) -> None:
    mouth = load_mouth(folder, dtype=dtype)
    assert mouth.model.model.embed_tokens.weight.dtype == dtype
    sampling = mouth.sampling(seed=2)
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed) == (0.3, 20, 0.95, 2)
    prompt = mouth.prompts.build("Hello.", "I have been waiting.", list(range(40)))
    sequence = SpeechSequence.start(prompt, mouth.vocabulary, sampling, max_rows=12)
    ((_, result),) = generate(mouth.model, [sequence])
    assert 3 <= len(result.rows) <= 13
    assert result.rows[0, 0] == prompt.text_ids[0]


def test_a_tied_head_stored_twice_is_no_surprise(folder: Path) -> None:
    weights = load_mouth(folder).model.state_dict()
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, str(folder / "model.safetensors"))
    assert load_mouth(folder).model.lm_head is None


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "merges.txt", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{re.escape(name)} is missing"):
        load_mouth(folder)


def test_a_broken_config_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: cannot be read"):
        load_mouth(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="not a JSON object"):
        load_mouth(folder)


def test_weights_of_another_size_are_named(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text()) | {"intermediate_size": 64}
    (folder / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ModelError, match=r"gate_proj\.weight is 128x64, not 64x64"):
        load_mouth(folder)


def test_blank_codes_may_lie_beside_the_config(folder: Path) -> None:
    assert read_mouth_config(folder).blank_codes is None
    (folder / "blank_ids.json").write_text("[5, 6]")
    assert read_mouth_config(folder).blank_codes == (5, 6)
    (folder / "blank_ids.json").write_text('{"a": "b"}')
    with pytest.raises(ModelError, match="not a list of codes"):
        read_mouth_config(folder)
