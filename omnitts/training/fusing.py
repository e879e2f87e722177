"""Fusing: parts of a network compiled by torch for the time of training; the same numbers up to rounding.

On a CPU most of a small network's step is not matrix products but one pass over memory after the other. Modules are
compiled in place: names of weights, and so checkpoints, stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import torch
from torch import nn

from omnitts.errors import DependencyError


def fuse(modules: Iterable[nn.Module], where: str) -> None:
    """``where``: the recipe's field that asks for it. Raises `DependencyError` without a C++ compiler."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        raise DependencyError("no C++ compiler is here", where=where, hint="install g++, or set it to false")
    found = list(modules)
    # Modules of one class share their compiled forms, and torch gives up behind eight: each may want a few of its own.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 8 * len(found))
    for module in found:
        module.compile(dynamic=True)
