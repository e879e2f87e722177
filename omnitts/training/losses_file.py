"""Losses of a stage, written down as they come: JSON lines, those of what is held back as ``valid NAME``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from omnitts.audio import write_atomically

LOSSES: Final = "losses.jsonl"


def append_losses(path: Path, entry: dict[str, Any]) -> None:
    """Adds a line: a ``step`` and its losses by name."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read_losses(path: Path) -> list[dict[str, float]]:
    """The entries of a losses file; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def forget_after(path: Path, step: int) -> None:
    """Drops the losses of steps that will be made again."""
    kept = [entry for entry in read_losses(path) if entry["step"] <= step]
    write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in kept).encode())
