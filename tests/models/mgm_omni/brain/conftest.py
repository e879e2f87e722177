"""Brains of golden cases, loaded once a session, and the files a case borrows from its neighbours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.keys import own_name
from omnitts.models.mgm_omni.brain.loading import LoadedBrain, build_brain, eos_ids_of, fill_brain
from omnitts.models.mgm_omni.brain.network import Brain, EncodedMedia
from omnitts.models.mgm_omni.brain.vision_input import PatchConfig, Patches
from omnitts.models.mgm_omni.checkpoint import Mouth, read_mouth_config, read_tokenizer
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.speech_lm import TIED_HEAD, SpeechLM
from omnitts.models.mgm_omni.vocabulary import build_vocabulary
from omnitts.models.weights import load_module
from tests.models.golden_cases import SHIPPED_DIR, GoldenCase, find_cases

tokenizer_at = cache(read_tokenizer)


def brain_from(
    raw: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], dtype: torch.dtype = torch.float32
) -> Brain:
    """A brain from a state dict under published names."""
    own = {name: tensor.to(dtype) for key, tensor in tensors.items() if (name := own_name(key)) is not None}
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    return fill_brain(build_brain(BrainConfig.from_dict(raw)), shapes, own.__getitem__, "golden")


@cache
def golden_brain(case: GoldenCase) -> LoadedBrain:
    tokenizer = tokenizer_at(case.tokenizer_dirs[0])
    return LoadedBrain(
        network=brain_from(case.config, case.weights()),
        tokenizer=tokenizer,
        patch_config=PatchConfig.from_dict(case.meta.get("preprocessor", {})),
        generation={},
        eos_ids=eos_ids_of(tokenizer, BrainConfig.from_dict(case.config), {}),
    )


@cache
def golden_mouth(case: GoldenCase) -> Mouth:
    """The mouth that a joint case speaks with: the second of its weight files, with the config beside it."""
    folder = neighbour(case, Path(case.meta["weights"][1]).parent.name)
    config = read_mouth_config(folder)
    tokenizer = tokenizer_at(case.tokenizer_dirs[-1])
    vocabulary = build_vocabulary(config, tokenizer)
    weights = load_file(folder / "weights.safetensors")
    model = load_module(lambda: SpeechLM(config), weights, where=case.name, ignored=TIED_HEAD)
    return Mouth(config, vocabulary, PromptBuilder(config, vocabulary, tokenizer), model, {})


def patched_mouth(case: GoldenCase, tensors: Mapping[str, torch.Tensor]) -> Mouth:
    """The same with the rows of the token table that a run replaces."""
    mouth = golden_mouth(case)
    if "patch_row_index" not in tensors:
        return mouth
    state = {name: tensor.clone() for name, tensor in mouth.model.state_dict().items()}
    state["model.embed_tokens.weight"][tensors["patch_row_index"]] = tensors["patch_row_values"]
    config = mouth.config
    model = load_module(lambda: SpeechLM(config), state, where=case.name, ignored=TIED_HEAD)
    return replace(mouth, model=model)


def media_of(case: GoldenCase, network: Brain, tensors: Mapping[str, torch.Tensor], prompt: str) -> list[EncodedMedia]:
    """Encodes what a run's prompt shows and plays, in the order of its markers.

    ``tensors``: the run's, without prefix. Pixels and mels that are not among them come from the case or from a
    neighbour it names.
    """
    media = []
    for marker in re.findall("<image>|<speech>", prompt):
        if marker == "<image>":
            grid = tuple(tensors["image_grid_thw"][0].tolist())
            media += network.encode_vision([Patches(_pixels(case, tensors, grid), grid)])
        else:
            num_blocks = tensors["speech_features"].shape[0] if "speech_features" in tensors else 1
            media.append(network.encode_audio(_mel(case, num_blocks)))
    return media


def _pixels(case: GoldenCase, tensors: Mapping[str, torch.Tensor], grid: tuple[int, int, int]) -> torch.Tensor:
    if "pixel_values" in tensors:
        return tensors["pixel_values"]
    num_patches = grid[0] * grid[1] * grid[2]
    return _borrowed(case, lambda name, t: name.split(".")[-1] == "pixel_values" and len(t) == num_patches)


def _mel(case: GoldenCase, num_blocks: int) -> torch.Tensor:
    def fits(name: str, tensor: torch.Tensor) -> bool:
        return name.startswith("mel") and (1 if tensor.dim() == 2 else tensor.shape[0]) == num_blocks

    return _borrowed(case, fits).float()


def _borrowed(case: GoldenCase, fits: Callable[[str, torch.Tensor], bool]) -> torch.Tensor:
    """From the case's own io file, else a neighbour it names; of several that fit, one whose name its notes mention."""
    notes = f"{case.meta.get('audio', '')} {case.meta.get('notes', '')}"
    for folder in (case.folder, *(neighbour(case, name) for name in re.findall(r"\.\./([\w.-]+)", notes))):
        if (folder / "io.safetensors").is_file():
            fitting = {name: t for name, t in load_file(folder / "io.safetensors").items() if fits(name, t)}
            if fitting:
                return fitting[max(fitting, key=lambda name: name in notes)]
    raise LookupError(f"nothing fitting near {case.name}")


def neighbour(case: GoldenCase, name: str) -> Path:
    """The folder beside the case with this name, or whose name begins with it, else the shipped one."""
    beside = [case.folder.parent / name, *sorted(case.folder.parent.glob(f"{name}*"))]
    return next((folder for folder in beside if folder.is_dir()), SHIPPED_DIR / name)


def shipped(kind: str) -> GoldenCase:
    return next(case for case in find_cases(SHIPPED_DIR) if case.kind == kind)


@pytest.fixture(scope="session")
def tiny_brain() -> LoadedBrain:
    """A brain with random weights, whatever --golden says."""
    return golden_brain(shipped("brain-lm"))


@pytest.fixture(scope="session")
def tiny_mouth() -> Mouth:
    return golden_mouth(shipped("omni-generate"))


@pytest.fixture(scope="session")
def tiny_dir() -> Path:
    """The shipped brain's folder: config.json, weights.safetensors, io.safetensors."""
    return shipped("brain-lm").folder
