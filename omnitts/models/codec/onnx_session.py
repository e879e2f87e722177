"""One door to onnxruntime: a network file opened with some number of threads, run on numpy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    NotImplemented,
    RuntimeException,
)

from omnitts.errors import ModelError

_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented, RuntimeException)


class OnnxNetwork:
    """A network with ``num_inputs`` inputs whose first output is wanted; runs on the CPU."""

    def __init__(self, path: Path, *, num_inputs: int, num_threads: int) -> None:
        if not path.is_file():
            raise ModelError("is missing from the checkpoint", where=str(path))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = (
            3  # errors come back as exceptions; warnings about unused parts do not concern anyone
        )
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _ERRORS as error:
            raise ModelError(f"is not a usable ONNX file ({error})", where=str(path)) from error
        self._path = path
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        if len(self._inputs) != num_inputs:
            raise ModelError(f"has {len(self._inputs)} inputs, not {num_inputs}", where=str(path))

    def run(self, *arrays: NDArray[np.float32] | NDArray[np.int32]) -> NDArray[np.generic]:
        """The first output, given the inputs in their order in the file."""
        try:
            outputs = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        except _ERRORS as error:
            shapes = ", ".join(f"{array.dtype} {array.shape}" for array in arrays)
            raise ModelError(f"failed on inputs of {shapes} ({error})", where=str(self._path)) from error
        return np.asarray(outputs[0])
