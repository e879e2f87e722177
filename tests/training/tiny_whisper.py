"""A faster-whisper folder with a tiny encoder: transformers' own, written as CTranslate2 does."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

WIDTH = 96
POSITIONS = 50
_TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def tiny_encoder(num_layers: int = 3) -> WhisperEncoder:
    """Random weights; hears exactly one second."""
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=WIDTH, encoder_layers=num_layers, encoder_attention_heads=4, encoder_ffn_dim=4 * WIDTH, num_mel_bins=80,
        max_source_positions=POSITIONS,
    )  # fmt: skip
    encoder = WhisperEncoder(config).eval()
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if not name.startswith("embed_positions"):
                weight.add_(0.05 * torch.randn_like(weight))
    return encoder


def write_whisper(folder: Path, encoder: WhisperEncoder) -> Path:
    """`model.bin` in the folder, with a variable of the decoder behind those of the encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = {**_variables(encoder), "decoder/embeddings/weight": np.zeros((5, 3), np.float16)}
    data = struct.pack("<I", 6) + _string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        data += _string(name) + struct.pack("<B", value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
        data += struct.pack("<BI", _TYPES[str(value.dtype)], value.nbytes) + value.tobytes()
    (folder / "model.bin").write_bytes(data + struct.pack("<I", 0))
    return folder


def _variables(encoder: WhisperEncoder) -> dict[str, np.ndarray]:
    state = {name: value.detach().numpy() for name, value in encoder.state_dict().items()}
    found = {
        "encoder/num_heads": np.array(4, np.int16),
        "encoder/position_encodings/encodings": state["embed_positions.weight"],
    }

    def put(theirs: str, ours: str) -> None:
        weight, bias = ("gamma", "beta") if ours.endswith("layer_norm") else ("weight", "bias")
        found[f"encoder/{ours}/{weight}"], found[f"encoder/{ours}/{bias}"] = (
            state[f"{theirs}.weight"], state[f"{theirs}.bias"],
        )  # fmt: skip

    for name in ("conv1", "conv2", "layer_norm"):
        put(name, name)
    for i in range(len(encoder.layers)):
        theirs, ours = f"layers.{i}", f"layer_{i}"
        put(f"{theirs}.self_attn_layer_norm", f"{ours}/self_attention/layer_norm")
        put(f"{theirs}.self_attn.out_proj", f"{ours}/self_attention/linear_1")
        put(f"{theirs}.final_layer_norm", f"{ours}/ffn/layer_norm")
        put(f"{theirs}.fc1", f"{ours}/ffn/linear_0")
        put(f"{theirs}.fc2", f"{ours}/ffn/linear_1")
        parts = [f"{theirs}.self_attn.{part}_proj" for part in "qkv"]
        no_bias = np.zeros(WIDTH, np.float32)
        found[f"encoder/{ours}/self_attention/linear_0/weight"] = np.concatenate([state[f"{p}.weight"] for p in parts])
        found[f"encoder/{ours}/self_attention/linear_0/bias"] = np.concatenate(
            [state.get(f"{p}.bias", no_bias) for p in parts]
        )
    return found


def _string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
