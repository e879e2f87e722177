"""Quantised weights back into floats: a node that reads int8 constants in, the same node with float32 weights out.

The activation's scale is 1 and its zero point 0, so only the weights' zero points (and an LSTM's scales) are applied
here; the other scales are Mul nodes of the graph, which fusing folds in. Knows nothing of the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch

from .nodes import Node, UnsupportedGraphError, symmetric_padding
from .operators import Array

# torch keeps an LSTM's gates as input, forget, cell, output; ONNX as input, output, forget, cell.
TORCH_GATES = (0, 2, 3, 1)


def with_weights(node: Node, constants: Mapping[str, Array]) -> None:
    """Moves constant weights of a product or convolution into the node, as floats: (K, N) or (C_out, C_in, width)."""
    weight = constants[node.inputs[1]].astype(np.float32)
    bias = None
    if node.op.endswith("Integer"):
        if len(node.inputs) > 3 and node.inputs[3]:
            zero = constants[node.inputs[3]].astype(np.float32)
            per_channel = (-1, *[1] * (weight.ndim - 1)) if node.op == "ConvInteger" else (-1,)
            weight = weight - (zero.reshape(per_channel) if zero.size > 1 else zero.reshape(()))
    elif len(node.inputs) > 2 and node.inputs[2]:
        bias = constants[node.inputs[2]]
    if node.op.startswith("Conv") and (weight.ndim != 3 or not symmetric_padding(node.attributes)):
        raise UnsupportedGraphError(f"{node.name}: only convolutions over one axis with the same padding on both sides")
    node.op = "Conv" if node.op.startswith("Conv") else "Linear"
    node.inputs = node.inputs[:1]
    node.attributes = {**node.attributes, "weight": weight, "bias": bias}


def with_lstm(node: Node, constants: Mapping[str, Array], earlier: Sequence[Node]) -> None:
    """Moves the weights of a DynamicQuantizeLSTM into a torch LSTM in the node.

    com.microsoft keeps W as (directions, in, 4 H) and R as (directions, H, 4 H), transposed to ONNX's own LSTM, with
    one scale a direction or a column; biases are (directions, 8 H). The earlier nodes of the
    graph tell whether its first states are zeros.
    """
    _, w, r, b, lengths, first, cell, peepholes, *quantised = [*node.inputs, *[""] * (12 - len(node.inputs))]
    unused = not lengths and not peepholes and not node.attributes.get("input_forget", 0)
    made = {name: before for before in earlier for name in before.outputs}
    for state in filter(None, (first, cell)):
        zeros = constants.get(state)
        producer = made.get(state)
        filled = producer is not None and producer.op == "ConstantOfShape" and fill_value(producer.attributes) == 0
        unused &= filled if zeros is None else not zeros.any()
    if not unused or node.attributes.get("direction") != b"bidirectional" or "activations" in node.attributes:
        raise UnsupportedGraphError(f"{node.name}: only plain bidirectional LSTMs that start from zeros")
    w_scale, w_zero, r_scale, r_zero = (per_direction(constants[name]) for name in quantised)
    weights_in = (constants[w].astype(np.float32) - w_zero) * w_scale  # (2, in, 4 H)
    weights_state = (constants[r].astype(np.float32) - r_zero) * r_scale  # (2, H, 4 H)
    hidden = int(node.attributes["hidden_size"])
    module = torch.nn.LSTM(weights_in.shape[1], hidden, bidirectional=True)
    with torch.no_grad():
        for direction, suffix in enumerate(("", "_reverse")):
            bias_in, bias_state = np.split(constants[b][direction], 2)
            for part, value in (
                ("weight_ih", weights_in[direction].T),
                ("weight_hh", weights_state[direction].T),
                ("bias_ih", bias_in),
                ("bias_hh", bias_state),
            ):
                gates = np.split(value, 4)
                ordered = np.concatenate([gates[gate] for gate in TORCH_GATES])
                getattr(module, f"{part}_l0{suffix}").copy_(torch.from_numpy(ordered))
    node.op, node.inputs, node.outputs = "LSTM", node.inputs[:1], node.outputs[:1]
    node.attributes = {"module": module.eval().requires_grad_(False)}


def per_direction(value: Array) -> Array:
    """(directions,) or (directions, 4 H) as (directions, 1, 1 or 4 H) float32."""
    return value.astype(np.float32).reshape(value.shape[0], 1, -1)


def fill_value(attributes: dict[str, Any]) -> Any:
    return onnx.numpy_helper.to_array(attributes["value"]).item() if "value" in attributes else 0.0
