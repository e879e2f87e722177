"""What the operators of both sides share: their types, transfers between host and device, and ONNX's sizes and slices.

An operator is made once, when the graph is loaded, by a factory from the node's attributes and the device; it then
maps input values to an output value, or to one for each output. Knows no node and no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .nodes import UnsupportedGraphError

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]
Factory = Callable[[dict[str, Any], torch.device], Function]


def plain(function: Function) -> Factory:
    """An operator without attributes."""
    return lambda attributes, device: function


def upload(value: Array, device: torch.device) -> torch.Tensor:
    """A host value on the device. Single numbers are filled in there: a kernel start instead of a copy."""
    if value.size == 1 and value.dtype == np.float32:
        return torch.full(value.shape, value.item(), dtype=torch.float32, device=device)
    return torch.as_tensor(value).to(device, non_blocking=True)


def download(value: torch.Tensor) -> Array:
    """Waits for the device."""
    array: Array = value.cpu().numpy()
    return array


def ints(value: Array) -> list[int]:
    return [int(number) for number in value.reshape(-1)]


def new_shape(old: Sequence[int], wanted: Array) -> list[int]:
    """ONNX's target of a Reshape: 0 keeps the size at its place."""
    return [old[place] if size == 0 else size for place, size in enumerate(ints(wanted))]


def slices(dimensions: int, starts: Array, ends: Array, axes: Array | None, steps: Array | None) -> tuple[slice, ...]:
    if steps is not None and (steps < 1).any():
        raise UnsupportedGraphError("Slice: only steps forward")
    chosen = [slice(None)] * dimensions
    places = range(len(starts)) if axes is None else ints(axes)
    strides = [1] * len(starts) if steps is None else ints(steps)
    for axis, start, end, stride in zip(places, ints(starts), ints(ends), strides, strict=True):
        chosen[axis] = slice(start, end, stride)
    return tuple(chosen)


def forward_only(attributes: dict[str, Any], function: Function) -> Function:
    if attributes.get("exclusive", 0) or attributes.get("reverse", 0):
        raise UnsupportedGraphError("CumSum: neither exclusive nor reverse")
    return function
