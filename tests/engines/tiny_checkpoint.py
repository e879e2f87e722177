"""A whole mouth checkpoint of a few megabytes, laid out as published: golden weights and tokenizer, a random codec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from omnitts.models.codec import hyperyaml
from omnitts.models.codec.config import flow_config, hift_config
from tests.models.codec.tiny_codec import (
    YAML,
    published_hift_state,
    random_networks,
    write_speaker_encoder,
    write_tokenizer,
)

GOLDEN = Path(__file__).parent.parent / "golden"
NUM_CODES = 6561


def write_checkpoint(folder: Path) -> Path:
    """config.json, model.safetensors, tokenizer files and cosyvoice2/."""
    folder.mkdir(parents=True)
    mouth = GOLDEN / "speechlm-forward"
    config = json.loads((mouth / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "MGMTTS", **config}))
    shutil.copy(mouth / "weights.safetensors", folder / "model.safetensors")
    for file in (GOLDEN / "tokenizer" / "mouth").iterdir():
        shutil.copy(file, folder / file.name)
    _write_codec(folder / "cosyvoice2")
    return folder


def _write_codec(folder: Path) -> None:
    """As `tiny_codec.write_codec`, with the published number of codes."""
    folder.mkdir()
    (folder / "cosyvoice2.yaml").write_text(
        YAML.replace("vocab_size: 97", f"vocab_size: {NUM_CODES}"), encoding="utf-8"
    )
    settings = hyperyaml.read(folder / "cosyvoice2.yaml")
    flow, hift = random_networks(flow_config(settings["flow"], "tiny"), hift_config(settings["hift"], "tiny"), seed=0)
    torch.save(flow.state_dict(), folder / "flow.pt")
    torch.save(published_hift_state(hift.state_dict(), "parametrizations"), folder / "hift.pt")
    write_tokenizer(folder / "speech_tokenizer_v2.onnx", vocab_size=NUM_CODES)
    write_speaker_encoder(folder / "campplus.onnx")
