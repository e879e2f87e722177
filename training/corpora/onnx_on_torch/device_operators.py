"""Operators over device values: float tensors in, and host values where HOST_INPUTS says so; float tensors out.

Never waits for the device, unless an LSTM runs on another. Knows no node and no graph. Operators go by ONNX's names;
Linear and LSTM are what lowering makes of ONNX's, MulAdd and Norm what fusing makes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .layers import conv, conv_transpose, layer_norm, linear, lstm, norm, skip_layer_norm
from .nodes import BOOL, FLOAT, UnsupportedGraphError
from .operators import Array, Factory, Function, forward_only, ints, new_shape, plain, slices, upload

# Turns each STFT value by a millionth of a radian. The graph takes the phase of a negative real number to be minus pi
# unless its imaginary part is above 0; the first and last bin have none, and the voice was trained with plus pi there,
# which onnxruntime's less exact transform also gives.
PHASE_NUDGE = 1 - 1e-6j


def cast(attributes: dict[str, Any], _: torch.device) -> Function:
    kind = {FLOAT: torch.float32, BOOL: torch.bool}[attributes["to"]]
    return lambda value: value.to(kind)


def reduce(function: Function) -> Factory:
    def factory(attributes: dict[str, Any], _: torch.device) -> Function:
        keep = bool(attributes.get("keepdims", 1))
        return lambda value, axes: function(value, ints(axes), keepdim=keep)

    return factory


def resize(attributes: dict[str, Any], _: torch.device) -> Function:
    mode, places = attributes["mode"].decode(), attributes.get("coordinate_transformation_mode", b"half_pixel")
    known = {"nearest": b"asymmetric", "linear": b"half_pixel"}  # as torch places the samples
    if known.get(mode) != places or (mode == "nearest" and attributes.get("nearest_mode") != b"floor"):
        raise UnsupportedGraphError(f"Resize: {mode} with {places.decode()} coordinates is not known here")

    def run(value: torch.Tensor, _: Array | None, scales: Array) -> torch.Tensor:
        size = math.floor(np.float32(value.shape[-1]) * scales[-1])
        return F.interpolate(value, size=size, mode=mode)

    return run


def pad(attributes: dict[str, Any], _: torch.device) -> Function:
    mode = attributes.get("mode", b"constant").decode()

    def run(value: torch.Tensor, sizes: Array, fill: Array | None = None) -> torch.Tensor:
        before, after = np.split(sizes, 2)
        if before[:-1].any() or after[:-1].any() or mode != "reflect":
            raise UnsupportedGraphError("Pad: only reflection at the ends of the last axis")
        return F.pad(value, (int(before[-1]), int(after[-1])), mode)

    return run


def stft(attributes: dict[str, Any], _: torch.device) -> Function:
    if not attributes.get("onesided", 1):
        raise UnsupportedGraphError("STFT: only one-sided")

    def run(value: torch.Tensor, step: Array, window: torch.Tensor, length: Array) -> torch.Tensor:
        frames = value.unfold(-1, int(length), int(step)) * window  # (B, F, length)
        return torch.view_as_real(torch.fft.rfft(frames) * PHASE_NUDGE)

    return run


def gather(attributes: dict[str, Any], device: torch.device) -> Function:
    axis = attributes.get("axis", 0)

    def run(value: torch.Tensor, index: Array) -> torch.Tensor:
        if index.ndim == 0:
            return value.select(axis, int(index))
        rows = value.index_select(axis, upload(index.reshape(-1) % value.shape[axis], device))
        return rows.reshape(*value.shape[:axis], *index.shape, *value.shape[axis + 1 :])

    return run


def scatter(attributes: dict[str, Any], device: torch.device) -> Function:
    if attributes.get("reduction", b"none") != b"none":
        raise UnsupportedGraphError("ScatterND: only without reduction")

    def run(value: torch.Tensor, index: Array, updates: torch.Tensor) -> torch.Tensor:
        return value.index_put(tuple(upload(index, device).unbind(-1)), updates)

    return run


def fused_matmul(attributes: dict[str, Any], _: torch.device) -> Function:
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("transBatchA") or attributes.get("transBatchB"):
        raise UnsupportedGraphError("FusedMatMul: only with alpha 1 and without transBatch")
    left, right = bool(attributes.get("transA")), bool(attributes.get("transB"))
    return lambda a, b: torch.matmul(a.mT if left else a, b.mT if right else b)


def clip(value: torch.Tensor, low: Array | None = None, high: Array | None = None) -> torch.Tensor:
    return value.clamp(None if low is None else low.item(), None if high is None else high.item())


def dequantize(value: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None = None) -> torch.Tensor:
    floats = value.to(torch.float32)
    return (floats if zero is None else floats - zero) * scale


def fast_gelu(value: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return F.gelu(value if bias is None else value + bias, approximate="tanh")


def squeeze(value: torch.Tensor, axes: Array | None = None) -> torch.Tensor:
    return value.squeeze() if axes is None else value.squeeze(tuple(ints(axes)))


def unsqueeze(value: torch.Tensor, axes: Array) -> torch.Tensor:
    total = value.ndim + axes.size
    for axis in sorted(axis % total for axis in ints(axes)):
        value = value.unsqueeze(axis)
    return value


def expand(value: torch.Tensor, shape: Array) -> torch.Tensor:
    return value.expand(np.broadcast_shapes(tuple(value.shape), tuple(ints(shape))))


def power(value: torch.Tensor, exponent: Array) -> torch.Tensor:
    return value.square() if exponent == 2 else value.pow(exponent.item())


DEVICE_OPERATORS: dict[str, Factory] = {
    "Add": plain(torch.add),
    # 0 / 0 comes of bins that are exactly silent, which onnxruntime's transform never makes.
    "Atan": plain(lambda value: torch.atan(value).nan_to_num(0.0)),
    "Cast": cast,
    "Clip": plain(clip),
    "Concat": lambda attributes, _: lambda *parts: torch.cat(parts, attributes["axis"]),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Cos": plain(torch.cos),
    "CumSum": lambda attributes, _: forward_only(attributes, lambda value, axis: value.cumsum(int(axis))),
    "DequantizeLinear": plain(dequantize),
    "Div": plain(torch.div),
    "Exp": plain(torch.exp),
    "Expand": plain(expand),
    "FastGelu": plain(fast_gelu),
    "Floor": plain(torch.floor),
    "FusedMatMul": fused_matmul,
    "Gather": gather,
    "Greater": plain(torch.gt),
    "LSTM": lstm,
    "LayerNormalization": layer_norm,
    "LeakyRelu": lambda attributes, _: lambda value: F.leaky_relu(value, attributes.get("alpha", 0.01)),
    "Less": plain(torch.lt),
    "Linear": linear,
    "MatMul": plain(torch.matmul),
    "Mul": plain(torch.mul),
    "MulAdd": plain(torch.addcmul),
    "Norm": norm,
    "Pad": pad,
    "Pow": plain(power),
    "ReduceMean": reduce(torch.mean),
    "ReduceSum": reduce(torch.sum),
    "Reshape": plain(lambda value, shape: value.reshape(new_shape(value.shape, shape))),
    "Resize": resize,
    "Round": plain(torch.round),
    "STFT": stft,
    "ScatterND": scatter,
    "Sigmoid": plain(torch.sigmoid),
    "Sin": plain(torch.sin),
    "SkipLayerNormalization": skip_layer_norm,
    "Slice": plain(
        lambda value, starts, ends, axes=None, steps=None: value[slices(value.ndim, starts, ends, axes, steps)]
    ),
    "Softmax": lambda attributes, _: lambda value: value.softmax(attributes.get("axis", -1)),
    "Split": lambda attributes, _: lambda value, sizes: value.split(ints(sizes), attributes.get("axis", 0)),
    "Sqrt": plain(torch.sqrt),
    "Squeeze": plain(squeeze),
    "Sub": plain(torch.sub),
    "Tanh": plain(torch.tanh),
    "Transpose": lambda attributes, _: lambda value: value.permute(attributes["perm"]),
    "Unsqueeze": plain(unsqueeze),
    "Where": plain(torch.where),
}
