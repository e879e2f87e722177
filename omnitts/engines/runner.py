"""Runner: steps of a few fixed shapes, each recorded once where the device can replay it.

Goes in: how many slots are in use and how far attention must look. The step runs with the smallest shape that covers
them. On CUDA a shape runs plainly the first time (that warms it up), is recorded as one graph the second time, and is
replayed from then on: the host launches one thing per step. Elsewhere every step runs plainly, through the same code.
Does not know what a step computes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable
from typing import Protocol

import torch

Step = Callable[[int, int], None]  # slots in front, span


class Recorder(Protocol):
    """Turns a call into one that does the same work again, on the same memory."""

    def record(self, call: Callable[[], None]) -> Callable[[], None]: ...


class CudaGraphs:
    """CUDA graphs that share one memory pool: they never run at the same time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, call: Callable[[], None]) -> Callable[[], None]:
        """Records without running: the state the call changes is untouched until the first replay."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph, pool=self._pool):
            call()
        return graph.replay


def recorder_for(device: torch.device) -> Recorder | None:
    return CudaGraphs() if device.type == "cuda" else None


def buckets(num_slots: int) -> tuple[int, ...]:
    """1, 2, 4 ... and ``num_slots`` itself."""
    doubled = [1 << power for power in range(num_slots.bit_length())]
    return (*(size for size in doubled if size < num_slots), num_slots)


class StepRunner:
    """Runs a step in the smallest bucket."""

    def __init__(self, step: Step, num_slots: int, recorder: Recorder | None = None) -> None:
        self._step = step
        self._recorder = recorder
        self._buckets = buckets(num_slots)
        self._met: set[Hashable] = set()
        self._recorded: dict[Hashable, Callable[[], None]] = {}

    def bucket(self, num_used: int) -> int:
        """Slots that a step works on when those in use all lie below ``num_used``."""
        return self._buckets[bisect_left(self._buckets, num_used)]

    def run(self, num_used: int, span: int, kind: Hashable = ()) -> None:
        """One step. ``kind``: whatever else a recorded step depends on."""
        size = self.bucket(num_used)
        if self._recorder is None:
            self._step(size, span)
            return
        shape = (size, span, kind)
        if shape not in self._met:
            self._met.add(shape)
            self._step(size, span)
            return
        if shape not in self._recorded:
            self._recorded[shape] = self._recorder.record(lambda: self._step(size, span))
        self._recorded[shape]()
