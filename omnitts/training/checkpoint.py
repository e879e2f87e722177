"""A stage's checkpoint files: always one whole one, written aside and renamed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from omnitts.errors import InputError
from omnitts.training.recipe import Plan

CHECKPOINT: Final = "checkpoint.pt"
START: Final = "start.pt"  # weights to begin with, from `warm_start`
_FORMAT: Final = 1


def save_checkpoint(state: dict[str, Any], folder: Path) -> None:
    """All that the loop needs to go on; ``networks`` and ``average`` are what `trained_weights` reads of it."""
    save_aside({"format": _FORMAT, **state}, folder / CHECKPOINT)


def save_aside(state: dict[str, Any], path: Path) -> None:
    """`torch.save` into a neighbour file, then renamed: there is always one whole checkpoint."""
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load_weights(network: nn.Module, folder: Path, plan: Plan) -> int:
    """Gives a stage's networks the exported weights of its checkpoint; returns the step. Raises `InputError`."""
    weights, step = trained_weights(folder, plan)
    network.load_state_dict(weights)
    network.eval()
    return step


def trained_weights(folder: Path, plan: Plan) -> tuple[dict[str, Tensor], int]:
    """The weights a stage exports and its steps: of its checkpoint, else those it was to begin with (0 steps)."""
    path = folder / CHECKPOINT
    if path.is_file():
        state = load_checkpoint(path)
        return state["average" if plan.average else "networks"], int(state["step"])
    if (folder / START).is_file():
        return load_state(folder / START), 0
    hint = f"run `omnitts train {folder.name} {folder.parent}` first"
    raise InputError("the stage has not been trained", where=str(folder), hint=hint)


def load_state(path: Path) -> dict[str, Any]:
    """What `save_aside` wrote. Raises `InputError` for what cannot be read."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        hint = "delete it to start the stage again"
        raise InputError(f"the checkpoint cannot be read ({reason})", where=str(path), hint=hint) from error
    return state


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote. Raises `InputError`, also for one of another version of omnitts."""
    state = load_state(path)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise InputError("the checkpoint was written by another version", where=str(path), hint="start the stage again")
    return state
