"""One door to torch's ONNX exporter: a network with one dynamic length in, a self-contained file out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from omnitts.errors import DependencyError

_OPSET: Final = 18
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

    ``example`` inputs decide all other dimensions. Written aside and renamed. Raises `DependencyError` without onnx.
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
    onnx.save(without_notes(program.model_proto), str(aside))
    aside.replace(path)


def without_notes(model: Any) -> Any:
    """The same ONNX model less the exporter's notes: each node carries a stack trace with the paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model
