"""One node of a graph, and where ONNX's operators read and make their values. Knows no operator's mathematics.

Host values are numpy arrays: shapes, indices, masks, the durations. Device values are float tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

FLOAT = onnx.TensorProto.FLOAT
BOOL = onnx.TensorProto.BOOL
INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
# The inputs, by position, that a device operator reads as host values: sizes, axes, indices, exponents.
HOST_INPUTS = {
    "Clip": (1, 2),
    "CumSum": (1,),
    "Expand": (1,),
    "Gather": (1,),
    "Pad": (1, 2),
    "Pow": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "ScatterND": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
# Read from either side, and always made on the host.
ALWAYS_HOST = ("ConstantOfShape", "Download", "NonZero", "Range", "Shape")


class UnsupportedGraphError(ValueError):
    """The graph asks for something this package does not know; the message names the node."""


@dataclass
class Node:
    """One operator of the graph; values go by name, "" is an input left out."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    on_device: bool = False


def symmetric_padding(attributes: dict[str, Any]) -> bool:
    """Whether a convolution over one axis pads both sides alike, as torch does."""
    before, after = attributes.get("pads", (0, 0))
    return bool(before == after and attributes.get("auto_pad", b"NOTSET") == b"NOTSET")
