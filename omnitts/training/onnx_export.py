"""One door to torch's ONNX exporter: a network with one dynamic length in, a self-contained file out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omnitts.errors import DependencyError

_OPSET: Final = 18
_LARGE: Final = 4096  # numbers; smaller tensors are left alone
_CHATTY: Final = ("torch.onnx", "onnxscript", "onnx_ir")


def export(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str],
    output: str,
    dynamic: Mapping[str, int],
) -> None:
    """Writes ``network`` as one file. ``dynamic``: by input name, the dimension whose length may differ.

    ``example`` inputs decide all other dimensions. Large matrices are stored in fewer bits (`in_fewer_bits`).
    Written aside and renamed. Raises `DependencyError` without onnx.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter needs it and would fail late without it
    except ImportError as error:
        raise DependencyError(f"the export needs {error.name}", hint="pip install 'omnitts[train]'") from error
    shapes = [{dynamic[name]: torch.export.Dim("T", min=2)} if name in dynamic else None for name in inputs]
    aside = path.with_suffix(".part")
    chatty = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in chatty]
    for logger in chatty:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=_OPSET,
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=shapes,
                verbose=False,
            )
    finally:
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    onnx.save(in_fewer_bits(without_notes(program.model_proto)), str(aside))
    aside.replace(path)


def without_notes(model: Any) -> Any:
    """The same ONNX model less the exporter's notes: each node carries a stack trace with the paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def in_fewer_bits(model: Any) -> Any:
    """The same ONNX model in a quarter to a half of the bytes; sessions still compute in float32.

    Large matrices that `round_matrices` rounded become int8 and scales, exactly; others become float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    kept, nodes = [], []
    for tensor in graph.initializer:
        matrix = numpy_helper.to_array(tensor)
        if matrix.dtype != np.float32 or matrix.ndim < 2 or matrix.size < _LARGE:
            kept.append(tensor)
            continue
        rounded = [Rounded.along(matrix, axis) for axis in (0, matrix.ndim - 1)]
        exact = [found for found in rounded if np.allclose(found.matrix(), matrix, rtol=0, atol=1e-7)]
        if exact:
            names = [f"{tensor.name}.int8", f"{tensor.name}.scale"]
            kept += [numpy_helper.from_array(exact[0].whole, names[0])]
            kept += [numpy_helper.from_array(exact[0].scale, names[1])]
            nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=exact[0].axis))
        else:
            name = f"{tensor.name}.half"
            kept += [numpy_helper.from_array(matrix.astype(np.float16), name)]
            nodes.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return model


def round_matrices(network: nn.Module) -> None:
    """Rounds every large matrix of a network to 255 steps per row, in place."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1 and weight.numel() >= _LARGE:
                weight.copy_(torch.from_numpy(Rounded.along(weight.float().numpy(), 0).matrix()))


@dataclass(frozen=True)
class Rounded:
    """A matrix as whole numbers from -127 to 127 and a scale for each place along ``axis``."""

    axis: int
    scale: NDArray[np.float32]
    whole: NDArray[np.int8]

    @classmethod
    def along(cls, matrix: NDArray[np.float32], axis: int) -> Rounded:
        others = tuple(i for i in range(matrix.ndim) if i != axis)
        scale = np.maximum(np.abs(matrix).max(axis=others), 1e-8).astype(np.float32) / np.float32(127)
        made = cls(axis, scale, np.zeros(matrix.shape, np.int8))
        return replace(made, whole=np.round(matrix / made._steps()).astype(np.int8))

    def matrix(self) -> NDArray[np.float32]:
        return self.whole * self._steps()

    def _steps(self) -> NDArray[np.float32]:
        return self.scale.reshape([-1 if i == self.axis else 1 for i in range(self.whole.ndim)])
