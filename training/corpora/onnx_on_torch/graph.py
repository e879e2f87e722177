"""A loaded graph on one device: an .onnx file in, then named numpy arrays in and device tensors out, run after run.

When the graph is loaded every value gets a slot and every node becomes a step that reads and fills slots. Host values
and device values have slots of their own, told apart by the lowering. Only a named few operators take both, all others
get theirs uploaded, so a host value that meets a device value by mistake is a TypeError, also where the device is the
processor. Knows no operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch

from .device_operators import DEVICE_OPERATORS
from .fusing import absorb, fuse_multiply_add, fuse_norms
from .host_operators import HOST_OPERATORS
from .lowering import Lowering
from .nodes import HOST_INPUTS, Node, UnsupportedGraphError
from .operators import Array, Function, upload

Step = Callable[[list[Any]], None]
Bound = tuple[Step, list[int], list[int]]  # a step, the slots it reads and the slots it fills


class TorchGraph:
    """One loaded graph on one device. Not for several threads at once on one card: work would only queue."""

    def __init__(self, path: Path, device: str, keep: Sequence[str] = (), recurrent_on: str | None = None) -> None:
        """Loads the graph and lays it out for the device.

        path: the .onnx file. device: torch's name of it, such as "cuda".

        keep: names of values that `run` gives after the output, in this order, on the device: Kokoro's durations, say.
        The output must depend on the value, and fusing must leave it: it may not lie inside a normalisation, between a
        product or convolution and the scales and bias folded into it, or between a Mul and an Add that become one step.

        recurrent_on: where the LSTMs run; None is the device, "cpu" the processor. With "cpu" their inputs and states
        are copied there and back, and the processor waits for the device at each. On an H100, cuDNN's LSTM takes 21 of
        the 52 ms of GPU time that 14 s of speech cost, in 8,000 small kernels, which holds a card up that many
        processes share: 14 of them read 420 times real time with the LSTMs on the processor, 6 read 310 times with
        them on the card.

        UnsupportedGraphError when a node is not known here, or a name to keep is of no value that is left.
        """
        model = onnx.load(str(path))
        lowered = Lowering(model.graph)
        self.nodes = fuse_multiply_add(fuse_norms(absorb(lowered.nodes, lowered), lowered), lowered)
        self.inputs = lowered.inputs
        self._lowered = lowered
        self._device = torch.device(device)
        self._kept = tuple(keep)
        self._recurrent_on = torch.device(recurrent_on or device)
        self._slots: dict[tuple[str, bool], int] = {}
        self._initial: list[Any] = []
        self._steps: list[tuple[Step, tuple[int, ...]]] = []
        with torch.no_grad():  # not inference_mode: cuDNN's LSTM weights are laid out anew in place
            self._outputs = self._prepare()

    def run(self, **inputs: Array) -> tuple[torch.Tensor, ...]:
        """inputs: every input of the graph by name. The first output, then the values of `keep`, all on the device.

        The processor waits for the device only at a Cast of a device value to integers (Kokoro's durations), and at
        LSTMs that run elsewhere.
        """
        values = self._initial.copy()
        for name in self.inputs:
            values[self._slots[name, False]] = inputs[name]
        with torch.inference_mode():
            for step, dead in self._steps:
                step(values)
                for slot in dead:
                    values[slot] = None
            return tuple(values[slot] for slot in self._outputs)

    def _prepare(self) -> list[int]:
        """Lays out slots and steps; returns the slots of the output and of what is kept."""
        steps: list[Bound] = []
        for name in self.inputs:
            host = self._slot(name, False)
            if name in self._lowered.on_device:
                self._add_upload(host, self._slot(name, True), steps)
        for node in self.nodes:
            device = self._recurrent_on if node.op == "LSTM" else self._device
            function = (DEVICE_OPERATORS if node.on_device else HOST_OPERATORS)[node.op](node.attributes, device)
            given = [self._input_slot(node, position, steps) for position in range(len(node.inputs))]
            made = [self._slot(name, node.on_device) for name in node.outputs]
            steps.append((bind(function, given, made), given, made))
        for name in self._kept:
            if (name, True) not in self._slots and (name, False) not in self._slots:
                raise UnsupportedGraphError(f"{name}: no node makes it, or it was fused into another")
        outputs = [self._device_slot(name, steps) for name in (self._lowered.output, *self._kept)]
        last_use = {slot: turn for turn, (_, given, made) in enumerate(steps) for slot in (*given, *made)}
        constant = {slot for slot, value in enumerate(self._initial) if value is not None}
        dead: list[list[int]] = [[] for _ in steps]
        for slot, turn in last_use.items():
            if slot not in constant and slot not in outputs:
                dead[turn].append(slot)
        self._steps = [(step, tuple(slots)) for (step, _, _), slots in zip(steps, dead, strict=True)]
        return outputs

    def _input_slot(self, node: Node, position: int, steps: list[Bound]) -> int:
        """The slot of one input, on the side where the node reads it."""
        name = node.inputs[position]
        if not name:
            return self._slot("", False)
        if node.op in ("Shape", "Download"):  # read either side
            return self._slot(name, name in self._lowered.on_device)
        if not node.on_device or position in HOST_INPUTS.get(node.op, ()):
            if name in self._lowered.on_device:
                raise UnsupportedGraphError(f"{node.name}: {node.op} needs input {position} on the host")
            return self._slot(name, False)
        return self._device_slot(name, steps)

    def _device_slot(self, name: str, steps: list[Bound]) -> int:
        """The device slot of a value; a host value is uploaded once, before its first use."""
        known = (name, True) in self._slots
        slot = self._slot(name, True)
        if not known and name not in self._lowered.on_device and name not in self._lowered.constants:
            self._add_upload(self._slot(name, False), slot, steps)
        return slot

    def _add_upload(self, host: int, slot: int, steps: list[Bound]) -> None:
        device = self._device
        steps.append((bind(lambda value: upload(value, device), [host], [slot]), [host], [slot]))

    def _slot(self, name: str, on_device: bool) -> int:
        if (name, on_device) not in self._slots:
            value: Any = self._lowered.constants.get(name)
            if value is not None and on_device:
                value = upload(value, self._device)
            self._slots[name, on_device] = len(self._initial)
            self._initial.append(value)
        return self._slots[name, on_device]


def bind(function: Function, given: Sequence[int], made: Sequence[int]) -> Step:
    """The function as a step over the slots: most have one or two inputs, which saves building a list of them."""
    if len(made) > 1:

        def split(values: list[Any]) -> None:
            for slot, value in zip(made, function(*[values[slot] for slot in given]), strict=True):
                values[slot] = value

        return split
    out = made[0]
    if len(given) == 1:
        (only,) = given

        def unary(values: list[Any]) -> None:
            values[out] = function(values[only])

        return unary
    if len(given) == 2:
        left, right = given

        def binary(values: list[Any]) -> None:
            values[out] = function(values[left], values[right])

        return binary

    def several(values: list[Any]) -> None:
        values[out] = function(*[values[slot] for slot in given])

    return several
