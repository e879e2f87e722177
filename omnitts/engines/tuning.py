"""Tuning: which form of a layer this processor multiplies fastest, found by trying once and remembered.

Goes in: the width of a model, its precision, the usual batch. Comes out: the layout of its linear layers
(linear_layout.py). Packed or plain is tried; the answer is kept in the cache folder, one small file for processor,
torch and sizes together. Widened layers are never slower than plain ones, and a GPU has its steps recorded instead
(runner.py): neither is tried. `torch.compile` is no candidate: it gave the plain layers' speed at half a minute of
compiling (docs/performance.md).
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from omnitts import paths
from omnitts.audio import write_atomically
from omnitts.errors import OutputError
from omnitts.models.linear_layout import Layout, usual_layout
from omnitts.models.packed_linear import PackedLinear

logger = logging.getLogger(__name__)

_ROUNDS: Final = 5
_MULTIPLES: Final = (1, 3)  # a square projection and one of the MLP's shape


def fastest_layout(width: int, batch: int, dtype: torch.dtype, device: torch.device) -> Layout:
    """Of linear layers of ``dtype``, for ``batch`` rows of ``width``. Takes a second, once."""
    usual = usual_layout(dtype, device)
    if usual is not Layout.PACKED:
        return usual
    path = _path(width, batch, dtype)
    try:
        return Layout.PACKED if json.loads(path.read_text(encoding="utf-8"))["packed"] else Layout.PLAIN
    except (OSError, ValueError, KeyError, TypeError):
        pass
    plain_s, packed_s = _try(width, batch, dtype)
    found = {"packed": packed_s < plain_s, "plain_s": plain_s, "packed_s": packed_s}
    logger.debug("linear layers of %d for %d rows: plain %.2g s, packed %.2g s", width, batch, plain_s, packed_s)
    try:
        write_atomically(path, json.dumps(found).encode())
    except OutputError as error:
        logger.debug("not remembered: %s", error)
    return Layout.PACKED if packed_s < plain_s else Layout.PLAIN


@torch.inference_mode()
def _try(width: int, batch: int, dtype: torch.dtype) -> tuple[float, float]:
    """Least seconds of the plain and of the packed layers, timed in turn."""
    plain = [nn.Linear(width, width * multiple, bias=False, dtype=dtype) for multiple in _MULTIPLES]
    forms: tuple[list[nn.Module], list[nn.Module]] = ([*plain], [PackedLinear(layer.weight) for layer in plain])
    rows = torch.randn(batch, width).to(dtype)
    best = [float("inf"), float("inf")]
    for _ in range(_ROUNDS):
        for i, layers in enumerate(forms):
            best[i] = min(best[i], _seconds(layers, rows))
    return best[0], best[1]


def _seconds(layers: list[nn.Module], rows: Tensor) -> float:
    started_s = time.perf_counter()
    for layer in layers:
        layer(rows)
    return time.perf_counter() - started_s


def _path(width: int, batch: int, dtype: torch.dtype) -> Path:
    """Named by all that decides the answer."""
    machine = (platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability())
    key = f"{machine} {torch.__version__} {torch.get_num_threads()} {width} {batch} {dtype}"
    return paths.cache_dir() / "tuning" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
