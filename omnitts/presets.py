"""Where the presets are that ship with omnitts: voices, masters, casts, lexicons. A kind in, its folder out.

Installed, they are the data package `omnitts_presets`; in a checkout, the folder ``presets/`` beside the package.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

PresetKind = Literal["voices", "masters", "casts", "lexicons"]


def preset_dir(kind: PresetKind) -> Path:
    """Folder of the presets of one kind; it may not exist when none of the kind are shipped."""
    return _presets_root() / kind


def _presets_root() -> Path:
    checkout = Path(__file__).resolve().parent.parent / "presets"
    if checkout.is_dir():
        return checkout
    installed = importlib.util.find_spec("omnitts_presets")
    locations = list(installed.submodule_search_locations or ()) if installed else []
    return Path(locations[0]) if locations else checkout
