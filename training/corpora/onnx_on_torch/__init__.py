"""Runs an int8 ONNX speech graph (Kokoro) in float32 with PyTorch: named numpy arrays in, the first output out.

For graphics cards: onnxruntime's quantised operators are for processors only. Knows the operators of that graph and
no others; knows nothing of voices, symbols or text.

    nodes             one node, and which of its inputs are host values
    operators         what the operators of both sides share
    host_operators    operators over numpy arrays: shapes, indices, masks, durations
    device_operators  operators over float tensors; layers: those that are layers of a network
    weights           int8 weights turned back into floats
    lowering          the ONNX graph into nodes: quantisation and constants gone, each value on the host or the device
    fusing            several nodes into one
    graph             the nodes into steps, and the run
"""

from __future__ import annotations

from .graph import TorchGraph
from .nodes import UnsupportedGraphError

__all__ = ["TorchGraph", "UnsupportedGraphError"]
