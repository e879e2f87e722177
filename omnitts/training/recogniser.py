"""Whisper's encoder as a torch network: what a recogniser of thousands of hours hears, frame by frame.

Reads the weights of a faster-whisper folder (CTranslate2's `model.bin`), hears the log-mel of the speech tokenizer (128
bands, any length, not padded to 30 s) and can be exported. Its lower layers may be the speech tokenizer's ears, its top
one a teacher. Source: arXiv 2212.04356. Letters: B rows, T frames at 100 Hz, F = T / 2 states, D width.
"""

from __future__ import annotations

import copy
import math
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor, nn

from omnitts.errors import ModelError, UsageError
from omnitts.models.codec.features import slaney_filters

FRAMES_PER_CODE: Final = 2  # whisper's encoder gives 50 states a second
_RATE: Final = 16_000
_N_FFT: Final = 400
_IN_MELS: Final = 128
_WINDOW: Final = 1500  # states
_DTYPES: Final = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class Recogniser(nn.Module):
    """The encoder, or its first ``num_layers``."""

    bands: Tensor

    def __init__(self, num_layers: int, width: int, num_heads: int, num_mels: int = 80) -> None:
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv1d(num_mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(_Layer(width, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("bands", wider_bands(num_mels))

    def forward(self, log_mel: Tensor) -> Tensor:
        """(B, 128, T) of `whisper_log_mel`, all of one length -> (B, T / 2, D) states of the last layer here."""
        return self.layers_heard(log_mel)[-1]

    def layers_heard(self, log_mel: Tensor) -> list[Tensor]:
        """The states after each layer; whisper itself hears `norm` of the top ones."""
        hidden = F.gelu(self.conv1(self.as_whisper_hears(log_mel)))
        hidden = F.gelu(self.conv2(hidden)).transpose(1, 2)  # (B, F, D)
        hidden = hidden + self.places(hidden.shape[1])
        states = []
        for layer in self.layers:
            hidden = layer(hidden)
            states.append(hidden)
        return states

    def lower(self, num_layers: int) -> Recogniser:
        """The same network less the layers above the first ``num_layers``."""
        if not 0 < num_layers <= len(self.layers):
            hint = f"tokenizer.ear_layers: 1 to {len(self.layers)}"
            raise UsageError(f"the recogniser has {len(self.layers)} layers, not {num_layers}", hint=hint)
        fewer = copy.copy(self)
        fewer._modules = {**self._modules, "layers": self.layers[:num_layers]}
        return fewer

    def places(self, length: int) -> Tensor:
        """(F, D) sinusoids of the time of each state; beyond half a minute, whisper's window, that of its end."""
        half = self.width // 2
        device = self.bands.device
        slower = torch.exp(torch.arange(half, device=device) * (-math.log(10_000) / (half - 1)))
        time = torch.arange(length, device=device).clamp(max=_WINDOW - 1)
        angle = time[:, None] * slower
        return torch.cat((angle.sin(), angle.cos()), dim=1)

    def as_whisper_hears(self, log_mel: Tensor) -> Tensor:
        """(B, 128, T) -> (B, 80, T): the same sound in wider bands, floored and scaled as whisper scales it."""
        power = 10.0 ** (log_mel * 4.0 - 4.0)
        log = (self.bands @ power).clamp(min=1e-10).log10()
        loudest = log.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0


class _Layer(nn.Module):
    """Attention to all frames, then two linear layers, each behind a LayerNorm and added."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        B, T, D = hidden.shape
        queries, keys, values = (
            self.qkv(self.attention_norm(hidden)).view(B, T, 3, self.num_heads, D // self.num_heads).unbind(2)
        )
        mixed = F.scaled_dot_product_attention(queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2))
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(B, T, D))
        return hidden + self.narrow(F.gelu(self.widen(self.norm(hidden))))


@lru_cache
def wider_bands(num_mels: int) -> Tensor:
    """(num_mels, 128) weights, none negative, that make mel bands of the 128 narrower ones (least squares)."""
    narrow = slaney_filters(_RATE, _N_FFT, _IN_MELS, 0.0, _RATE / 2).double().numpy()
    wide = slaney_filters(_RATE, _N_FFT, num_mels, 0.0, _RATE / 2).double().numpy()
    return torch.from_numpy(np.stack([nnls(narrow.T, band)[0] for band in wide])).float()


def open_recogniser(folder: Path) -> Recogniser:
    """All layers of the recogniser of a faster-whisper folder. Raises `ModelError` when it is not one."""
    path = folder / "model.bin"
    try:
        found = read_variables(path, "encoder/")
        num_layers = sum(name.endswith("ffn/linear_0/weight") for name in found)
        width, num_mels = found["encoder/conv1/weight"].shape[:2]
        recogniser = Recogniser(num_layers, width, int(found["encoder/num_heads"]), num_mels)
        positions = torch.from_numpy(found["encoder/position_encodings/encodings"].astype(np.float32))
        if not torch.allclose(recogniser.places(len(positions)), positions, atol=2e-3):
            raise ValueError("its positions are not whisper's sinusoids")
        recogniser.load_state_dict({"bands": recogniser.bands, **_renamed(found, num_layers)})
    except (OSError, KeyError, ValueError, RuntimeError, struct.error) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"the recogniser's weights cannot be read ({reason})", where=str(path)) from error
    return recogniser.eval()


def _renamed(found: dict[str, NDArray[Any]], num_layers: int) -> dict[str, Tensor]:
    """CTranslate2's names -> `Recogniser`'s."""
    modules = {"conv1": "conv1", "conv2": "conv2", "layer_norm": "norm"}
    for i in range(num_layers):
        own = f"layer_{i}"
        modules |= {
            f"{own}/self_attention/layer_norm": f"layers.{i}.attention_norm",
            f"{own}/self_attention/linear_0": f"layers.{i}.qkv",
            f"{own}/self_attention/linear_1": f"layers.{i}.out",
            f"{own}/ffn/layer_norm": f"layers.{i}.norm",
            f"{own}/ffn/linear_0": f"layers.{i}.widen",
            f"{own}/ffn/linear_1": f"layers.{i}.narrow",
        }
    state: dict[str, NDArray[Any]] = {}
    for theirs, ours in modules.items():
        weight, bias = ("gamma", "beta") if theirs.endswith("layer_norm") else ("weight", "bias")
        state |= {
            f"{ours}.weight": found[f"encoder/{theirs}/{weight}"],
            f"{ours}.bias": found[f"encoder/{theirs}/{bias}"],
        }
    return {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in state.items()}


def read_variables(path: Path, prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays of a CTranslate2 `model.bin` whose names begin with ``prefix``, as they are stored.

    Layout: version, name and revision of the specification, then per variable its name, shape, type, size in bytes and
    content; strings are counted and end with a zero. Raises `ValueError` for quantised weights, `struct.error` when
    the file ends too soon.
    """
    data = memoryview(path.read_bytes())
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + kind, data, at)
        at += struct.calcsize(kind)
        return int(value)

    def string() -> str:
        nonlocal at
        length = number("H")
        at += length
        return bytes(data[at - length : at - 1]).decode()

    number("I"), string(), number("I")
    found: dict[str, NDArray[Any]] = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = number("B"), number("I")
        if name.startswith(prefix):
            if name.endswith("weight_scale"):
                raise ValueError("they are quantised; convert them to float16")
            found[name] = np.frombuffer(data[at : at + size], _DTYPES[dtype]).reshape(shape)
        at += size
    return found
