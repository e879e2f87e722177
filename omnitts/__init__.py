"""omnitts: books and scripts into finished, checked audio in a cloned voice."""

from __future__ import annotations

__version__ = "0.1.0"
