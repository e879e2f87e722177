"""Weights from safetensors into a module: meta build, key table, strict load.

Goes in: a folder with `model.safetensors`, or shards with their index. Comes out: the module, in eval mode, on the
wanted device and dtype. Does not know what the module computes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from omnitts.errors import ModelError, UsageError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FETCH_AGAIN = "fetch the checkpoint again"

_LOG = logging.getLogger(__name__)
_NAMED_AT_MOST = 5
_Module = TypeVar("_Module", bound=nn.Module)


def dtype_by_name(name: str) -> torch.dtype:
    """`fp32`, `bf16` or `fp16` as torch's dtype."""
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {name!r}", hint=f"choose one of {', '.join(DTYPES)}")
    return DTYPES[name]


def expected_shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that the module `build()` loads; built on the meta device, so without memory."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def load_module(
    build: Callable[[], _Module],
    tensors: Mapping[str, Tensor],
    *,
    where: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    ignored: Collection[str] = (),
) -> _Module:
    """The module `build()` with exactly these tensors, in eval mode, without gradients.

    `ignored` names tensors that a checkpoint may carry although the module has no place for them. Raises `ModelError`
    naming the tensors that are missing, left over, or of another shape.
    """
    with torch.device("meta"):
        module = build()
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    given = {name: tensor for name, tensor in tensors.items() if name in expected or name not in ignored}
    check_keys(expected, {name: tuple(tensor.shape) for name, tensor in given.items()}, where)
    placed = {
        name: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in given.items()
    }
    module.load_state_dict(placed, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def check_keys(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raises `ModelError` with the names (and shapes) by which `given` differs from `expected`."""
    complaints = [
        _complaint("missing", sorted(expected.keys() - given.keys())),
        _complaint("unexpected", sorted(given.keys() - expected.keys())),
        _complaint(
            "of another shape",
            [
                f"{name} is {_by(given[name])}, not {_by(expected[name])}"
                for name in sorted(expected.keys() & given.keys())
                if expected[name] != given[name]
            ],
        ),
    ]
    found = [complaint for complaint in complaints if complaint]
    if found:
        raise ModelError("; ".join(found), where=where, hint="the weights do not belong to this config.json")


def _complaint(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} {kind}: {', '.join(names[:_NAMED_AT_MOST])}{more}"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def read_tensors(
    folder: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder, floating ones cast to `dtype` one by one: peak memory is one copy.

    Raises `ModelError` naming the file that is missing or damaged.
    """
    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            with safe_open(str(path), framework="pt", device=str(device)) as shard:
                for name in shard.keys():  # noqa: SIM118 - safe_open is not a mapping
                    tensor = shard.get_tensor(name)
                    tensors[name] = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        except SafetensorError as error:
            raise ModelError(f"damaged weight file ({error})", where=str(path), hint=FETCH_AGAIN) from error
    _LOG.debug("%d tensors from %s", len(tensors), folder)
    return tensors


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a checkpoint: those of the index, else the single one."""
    index_path = folder / "model.safetensors.index.json"
    if index_path.is_file():
        try:
            names = sorted(set(json.loads(index_path.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ModelError("the weight index cannot be read", where=str(index_path), hint=FETCH_AGAIN) from error
        paths = [folder / name for name in names]
    else:
        paths = [next((p for p in sorted(folder.glob("*.safetensors"))), folder / "model.safetensors")]
        if (folder / "model.safetensors").is_file():
            paths = [folder / "model.safetensors"]
    for path in paths:
        if not path.is_file():
            raise ModelError(f"{path.name} is missing", where=str(folder), hint=FETCH_AGAIN)
    return paths
