"""Presets: named voices, masters, casts, lexicons and a small model.

A user's own folder goes first, then what the package ships.

A preset is a file (``masters/audiobook.yaml``) or a folder (``voices/anna/``); its name without suffix is the preset's.
Knows where they are, not what is in them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from omnitts import paths
from omnitts.errors import UsageError

KINDS = ("voices", "masters", "casts", "lexicons", "models")
SHIPPED_PACKAGE = "omnitts_presets"


def preset_dir(kind: str) -> Path:
    """The folder of shipped presets of a kind; it may be empty, or missing in a stripped installation."""
    _check(kind)
    spec = importlib.util.find_spec(SHIPPED_PACKAGE)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))) / kind
    return Path(__file__).parent.parent / "presets" / kind  # a source tree that is not installed


def user_preset_dir(kind: str) -> Path:
    """Where a user's own presets of a kind live; they hide shipped ones of the same name."""
    _check(kind)
    return paths.home_dir() / kind


def presets(kind: str) -> dict[str, Path]:
    """All presets of a kind by name, in order of name. Hidden files and Python's own are none."""
    found: dict[str, Path] = {}
    for folder in (preset_dir(kind), user_preset_dir(kind)):
        if folder.is_dir():
            found |= {path.stem if path.is_file() else path.name: path for path in folder.iterdir() if _is_preset(path)}
    return dict(sorted(found.items()))


def find_preset(kind: str, name: str) -> Path:
    """The file or folder of a preset. Raises `UsageError` naming those there are."""
    found = presets(kind)
    if name not in found:
        raise UsageError(
            f"no preset of {kind} is called {name!r}",
            where=str(user_preset_dir(kind)),
            hint=f"choose one of {', '.join(found)}" if found else "there are none yet",
        )
    return found[name]


def _is_preset(path: Path) -> bool:
    return not path.name.startswith((".", "__")) and path.suffix not in (".py", ".pyc")


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"presets are of {', '.join(KINDS)}; not {kind!r}")
