"""Fusing: parts of a network compiled by torch for the time of training; the same numbers up to rounding.

Most of a small network's step is not matrix products but one pass over memory after the other. Modules are compiled
in place: names of weights, and so checkpoints, stay as they are. A CPU needs a C++ compiler; a GPU triton, which builds
its launcher with a C compiler and Python's headers.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from omnitts.errors import DependencyError

logger = logging.getLogger(__name__)


def fuse(modules: Iterable[nn.Module], where: str, device: torch.device | str = "cpu") -> None:
    """``where``: the recipe's field that asks for it.

    Raises `DependencyError` without a C++ compiler. On a GPU, which needs it less, what is missing is said and the
    modules stay as they are.
    """
    if torch.device(device).type != "cpu":
        missing = _missing_on_a_gpu()
        if missing:
            logger.warning("%s: not fused, there is no %s", where, missing)
            return
    elif shutil.which("c++") is None and shutil.which("g++") is None:
        raise DependencyError("no C++ compiler is here", where=where, hint="install g++, or set it to false")
    found = list(modules)
    # Modules of one class share their compiled forms, and torch gives up behind eight: each may want a few of its own.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 8 * len(found))
    for module in found:
        module.compile(dynamic=True)


def _missing_on_a_gpu() -> str:
    """The first thing that torch's compiler lacks here for a GPU; empty when it has all."""
    if importlib.util.find_spec("triton") is None:
        return "triton"
    if not any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")):
        return "C compiler"
    return "" if (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file() else "Python.h"
