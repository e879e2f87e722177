"""Operators over host values: numpy arrays in, one numpy array out. Knows nothing of the device.

Only a Download starts from a device value: it waits for the device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch

from .operators import Array, Factory, Function, download, forward_only, ints, new_shape, plain, slices


def host_cast(attributes: dict[str, Any], _: torch.device) -> Function:
    kind = onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])
    return lambda value: value.astype(kind)


def host_divide(left: Array, right: Array) -> Any:
    return left // right if left.dtype.kind in "iu" else left / right


def host_cumsum(value: Array, axis: Array) -> Array:
    return np.cumsum(value, int(axis), dtype=value.dtype)


def host_constant(attributes: dict[str, Any], _: torch.device) -> Function:
    fill = onnx.numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    return lambda shape: np.full(ints(shape), fill.item(), fill.dtype)


def host_expand(value: Array, shape: Array) -> Array:
    target = np.broadcast_shapes(value.shape, tuple(ints(shape)))
    return np.array(np.broadcast_to(value, target))


def host_squeeze(value: Array, axes: Array | None = None) -> Array:
    return np.squeeze(value, None if axes is None else tuple(ints(axes)))


def host_dequantize(value: Array, scale: Array, zero: Array | None = None) -> Array:
    array: Array = (value.astype(np.float32) - (0 if zero is None else zero.astype(np.float32))) * scale
    return array


HOST_OPERATORS: dict[str, Factory] = {
    "Add": plain(np.add),
    "And": plain(np.logical_and),
    "Cast": host_cast,
    "Concat": lambda attributes, _: lambda *parts: np.concatenate(parts, attributes["axis"]),
    "ConstantOfShape": host_constant,
    "CumSum": lambda attributes, _: forward_only(attributes, host_cumsum),
    "DequantizeLinear": plain(host_dequantize),
    "Div": plain(host_divide),
    "Download": plain(lambda value: download(value).astype(np.int64)),
    "Equal": plain(np.equal),
    "Expand": plain(host_expand),
    "Floor": plain(np.floor),
    "Gather": lambda attributes, _: lambda value, index: np.take(value, index, attributes.get("axis", 0)),
    "Greater": plain(np.greater),
    "GreaterOrEqual": plain(np.greater_equal),
    "Less": plain(np.less),
    "Mul": plain(np.multiply),
    "NonZero": plain(lambda value: np.array(np.nonzero(value), np.int64)),
    "Range": plain(lambda start, end, step: np.arange(start, end, step, dtype=np.asarray(start).dtype)),
    "Reshape": plain(lambda value, shape: value.reshape(new_shape(value.shape, shape))),
    "Shape": lambda attributes, _: lambda value: np.array(value.shape[attributes.get("start", 0) :], np.int64),
    "Slice": plain(
        lambda value, starts, ends, axes=None, steps=None: value[slices(value.ndim, starts, ends, axes, steps)]
    ),
    "Sqrt": plain(np.sqrt),
    "Squeeze": plain(host_squeeze),
    "Sub": plain(np.subtract),
    "Transpose": lambda attributes, _: lambda value: value.transpose(attributes.get("perm")),
    "Unsqueeze": plain(lambda value, axes: np.expand_dims(value, tuple(ints(axes)))),
    "Where": plain(np.where),
}
