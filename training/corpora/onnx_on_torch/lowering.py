"""An ONNX graph in; out the nodes left to run, in order, the constants, and which values live on the device.

The graph quantises activations as it runs; here they stay float32 (x, scale 1, zero point 0) and the weights are
turned back into floats once, so that the scales fold into the weights. What is constant is computed here. Knows nothing
of slots and steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch

from .device_operators import DEVICE_OPERATORS
from .host_operators import HOST_OPERATORS
from .nodes import ALWAYS_HOST, BOOL, FLOAT, HOST_INPUTS, INTEGERS, Node, UnsupportedGraphError
from .operators import Array
from .weights import with_lstm, with_weights

COMPARISONS = ("Greater", "Less")


class Lowering:
    """The graph's nodes without the quantisation and without what is constant, and where each value lives."""

    def __init__(self, graph: Any) -> None:
        self.constants: dict[str, Array] = {
            tensor.name: np.array(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer
        }
        given = [entry for entry in graph.input if entry.name not in self.constants]
        self.inputs = [entry.name for entry in given]
        self.on_device = {entry.name for entry in given if entry.type.tensor_type.elem_type == FLOAT}
        self.nodes: list[Node] = []
        self._aliases: dict[str, str] = {}
        self._scaled: set[str] = set()
        self._booleans: set[str] = set()
        for entry in graph.node:
            attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in entry.attribute}
            names = [self._aliases.get(name, name) for name in entry.input]
            self._lower(Node(entry.op_type, entry.name or entry.output[0], names, list(entry.output), attributes))
        self.output = self._aliases.get(graph.output[0].name, graph.output[0].name)
        self._drop_unused()

    def users(self, nodes: Sequence[Node]) -> dict[str, list[Node]]:
        """Who reads each value; the output has a reader that is no node, so nothing is fused away past it."""
        users: dict[str, list[Node]] = {self.output: [Node("Output", "", [self.output], [], {})]}
        for node in nodes:
            for name in node.inputs:
                users.setdefault(name, []).append(node)
        return users

    def _lower(self, node: Node) -> None:
        given = node.inputs
        if node.op == "DynamicQuantizeLinear":
            self._aliases[node.outputs[0]] = given[0]
            self.constants[node.outputs[1]] = np.ones((), np.float32)
            self.constants[node.outputs[2]] = np.zeros((), np.uint8)
            self._scaled.add(node.outputs[1])
        elif node.op in HOST_OPERATORS and all(not name or name in self.constants for name in given):
            self._fold(node)
        elif node.op == "Cast" and node.attributes["to"] == FLOAT and given[0] in self.on_device - self._booleans:
            self._aliases[node.outputs[0]] = given[0]
        else:
            self._emit(node)

    def _fold(self, node: Node) -> None:
        # A bias is divided by the activation's scale, rounded and later multiplied back: with a scale of 1 the
        # rounding would only lose precision, so it is left out along the chain that starts at a scale.
        scaled = any(name in self._scaled for name in node.inputs)
        if scaled and node.op in ("Floor", "Cast"):
            value = self.constants[node.inputs[0]]
        else:
            function = HOST_OPERATORS[node.op](node.attributes, torch.device("cpu"))
            value = np.asarray(function(*[self.constants.get(name) for name in node.inputs]))
        self.constants[node.outputs[0]] = value
        if scaled:
            self._scaled.add(node.outputs[0])

    def _emit(self, node: Node) -> None:
        if node.op in ("MatMulInteger", "ConvInteger", "MatMul", "Conv") and node.inputs[1] in self.constants:
            with_weights(node, self.constants)
        elif node.op == "DynamicQuantizeLSTM":
            with_lstm(node, self.constants, self.nodes)
        elif node.op == "Cast" and node.inputs[0] in self.on_device and node.attributes["to"] in INTEGERS:
            node.op = "Download"
        data = [name for i, name in enumerate(node.inputs) if name and i not in HOST_INPUTS.get(node.op, ())]
        node.on_device = node.op not in ALWAYS_HOST and (
            node.op not in HOST_OPERATORS
            or node.op == "DequantizeLinear"
            or any(name in self.on_device for name in data)
        )
        if node.op not in (DEVICE_OPERATORS if node.on_device else HOST_OPERATORS):
            raise UnsupportedGraphError(f"{node.name}: operator {node.op} is not known here")
        if node.on_device:
            self.on_device.update(node.outputs)
            if node.op in COMPARISONS or (node.op == "Cast" and node.attributes["to"] == BOOL):
                self._booleans.update(node.outputs)
        self.nodes.append(node)

    def _drop_unused(self) -> None:
        wanted, kept = {self.output}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
