"""omnitts: books and scripts into finished, checked audio in a cloned voice.

``omnitts.load_engine`` opens an engine from Python (see `omnitts.api`). It is imported when first asked for, so that
the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnitts.api import Speaker as Speaker
    from omnitts.api import load_engine as load_engine

__version__ = "0.1.0"
__all__ = ["Speaker", "__version__", "load_engine"]


def __getattr__(name: str) -> Any:
    if name in ("Speaker", "load_engine"):
        return getattr(importlib.import_module("omnitts.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
