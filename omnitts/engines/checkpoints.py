"""Which checkpoint `mgm-omni` opens: the one that is named, else the best mouth on this machine. Loads nothing.

The small model that comes with the package is the last choice, and a person is told when it is the one.
"""

from __future__ import annotations

from pathlib import Path

from omnitts.errors import ModelError
from omnitts.models.hub import BUNDLED, bundled_model, find_known, list_models, locate_model

PREFERENCE = ("2b", "4b", "0.6b")  # the usual one first; models of other names come after these


def find_checkpoint(model: str) -> Path:
    """The folder of ``model`` (a folder, a short name or a hub id), or of the preferred one when it is empty.

    Raises `ModelError` when it is not on this machine; nothing is fetched.
    """
    if model:
        return locate_model(model)
    present = mouths_present()
    if not present:
        hint = "omnitts models pull 2b gets one (5.5 GB), or give a folder with --model"
        raise ModelError("no checkpoint of MGM-Omni is on this machine", where="--engine mgm-omni", hint=hint)
    return locate_model(present[0])


def mouths_present() -> tuple[str, ...]:
    """Names of the complete mouth checkpoints on this machine, the preferred one first, the bundled one last."""
    bundled = bundled_model()
    return (*mouths_fetched(), *([bundled.repo] if bundled is not None and not bundled.missing else []))


def mouths_fetched() -> tuple[str, ...]:
    """Hub ids of those that were fetched; the bundled one does not know the words of a brain."""
    found = []
    for stored in list_models():
        known = find_known(stored.repo)
        if not stored.missing and (known is None or known.kind == "mouth"):
            found.append((_rank(known.short_name if known else ""), stored.repo))
    return tuple(dict.fromkeys(repo for _, repo in sorted(found)))


def bundled_remark(engine: str, model: str) -> str:
    """What to tell a person who gets the small model without having asked for it; empty when it is not so."""
    if engine != "mgm-omni" or model or mouths_present()[:1] != (BUNDLED.repo,):
        return ""
    return "the small model that comes with omnitts speaks; for publishing get the full one: omnitts models pull 2b"


def _rank(short_name: str) -> int:
    return PREFERENCE.index(short_name) if short_name in PREFERENCE else len(PREFERENCE)
