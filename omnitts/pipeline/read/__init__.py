"""Reading: a file or stdin in, a `Book` out. One file per format (``format_*.py``); the rest is shared between them.

Knows nothing of voices, pieces or sound. Chapters that are not to be spoken stay in the book with the reason.
"""

from omnitts.pipeline.read.options import ReadOptions
from omnitts.pipeline.read.reader import read_book
from omnitts.pipeline.read.selection import select_chapters

__all__ = ["ReadOptions", "read_book", "select_chapters"]
