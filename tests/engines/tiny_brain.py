"""A whole brain checkpoint of a few megabytes, laid out as published: the golden brain with its towers inside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.engines.tiny_checkpoint import GOLDEN


def write_brain(folder: Path) -> Path:
    """config.json, model.safetensors and tokenizer files."""
    folder.mkdir(parents=True)
    brain = GOLDEN / "brain-lm"
    config = json.loads((brain / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "MGMOmni"}))
    shutil.copy(brain / "weights.safetensors", folder / "model.safetensors")
    for file in (GOLDEN / "tokenizer" / "brain").iterdir():
        shutil.copy(file, folder / file.name)
    return folder
