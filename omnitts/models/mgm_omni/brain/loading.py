"""Loading: a published brain checkpoint becomes a `Brain` with its tokenizer (spec 1.1, 6.1).

Goes in: a folder with config.json, safetensors and tokenizer files; the towers inside it or in folders of their own.
Comes out: `LoadedBrain`, in eval mode, each tensor read straight onto its device. Every problem is a `ModelError` that
names the file or field.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from omnitts.errors import ModelError
from omnitts.models.linear_layout import Layout, lay_out, usual_layout
from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.keys import own_name, published_name
from omnitts.models.mgm_omni.brain.network import Brain
from omnitts.models.mgm_omni.brain.placement import (
    Placement,
    carry_activations,
    free_bytes,
    on_one_device,
    plan_placement,
    resolve_devices,
)
from omnitts.models.mgm_omni.brain.quantise import (
    Quantisation,
    quantise_linears,
    quantiser_config,
    require_bitsandbytes,
)
from omnitts.models.mgm_omni.brain.tower_sources import TowerSource, find_towers, tower_prefix
from omnitts.models.mgm_omni.brain.vision_input import PatchConfig
from omnitts.models.mgm_omni.checkpoint import read_tokenizer
from omnitts.models.mgm_omni.config import read_json
from omnitts.models.weights import FETCH_AGAIN, check_keys, weight_files

_LOG = logging.getLogger(__name__)
_TIED = "lm_head.weight"
_EMBEDDINGS = "text_model.embed_tokens.weight"


@dataclass(frozen=True)
class LoadedBrain:
    """A brain ready to use. ``generation``: its generation_config.json as it is ({} when there is none)."""

    network: Brain
    tokenizer: Any
    patch_config: PatchConfig
    generation: Mapping[str, Any]
    eos_ids: frozenset[int]


@dataclass(frozen=True)
class _Stored:
    """Where one tensor lies: the file, and its name in it."""

    path: Path
    name: str
    shape: tuple[int, ...]


def load_brain(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float16,
    device_map: str | Sequence[str] = "auto",
    quantisation: Quantisation = "none",
    towers: Mapping[str, Path] | None = None,
) -> LoadedBrain:
    """Loads a checkpoint laid out as wcy1122/MGM-Omni-7B.

    ``device_map``: ``auto``, one device, or several to spread the layers over. ``towers``: folders for
    ``mm_vision_tower``, ``mm_speech_tower``, ``speech_tower_aux`` where the config's paths do not hold here.
    Raises `ModelError` (missing or damaged files, fields, tensors), `EngineError` (devices), `DependencyError`.
    """
    if quantisation != "none":
        require_bitsandbytes()
    config = BrainConfig.from_dict(read_json(folder / "config.json"), str(folder / "config.json"))
    stored = _find_tensors(folder)
    sources = find_towers(config, folder, {name: item.shape for name, item in stored.items()}, towers)
    for source in sources:
        if source.folder is not None:
            stored |= _find_tower_tensors(source, source.folder)
    brain = build_brain(config, {source.config_field: source.fields for source in sources}, str(folder))
    placement = _place(brain, dtype, device_map, quantisation)
    device_of = placement.device_of if quantisation == "none" else lambda name: torch.device("cpu")
    fill_brain(brain, {name: item.shape for name, item in stored.items()}, _reader(stored, dtype, device_of), folder)
    if quantisation != "none":
        _quantise(brain, quantisation, dtype, placement)
    elif usual_layout(dtype, placement.home) is Layout.WIDENED:
        _widen(brain)
    if placement.is_split:
        carry_activations(brain.text_model.layers, brain.text_model.norm, placement)
    _LOG.info("brain from %s: %d towers, %s on %s", folder, len(sources), dtype, placement.home)
    tokenizer = read_tokenizer(folder)
    generation = _read_optional(folder / "generation_config.json")
    return LoadedBrain(
        network=brain,
        tokenizer=tokenizer,
        patch_config=_patch_config(folder, sources),
        generation=generation,
        eos_ids=eos_ids_of(tokenizer, config, generation),
    )


def build_brain(
    config: BrainConfig, towers: Mapping[str, Mapping[str, Any]] | None = None, where: str = "config.json"
) -> Brain:
    """The empty network on the meta device. Raises `ModelError` when a config field has an impossible value."""
    try:
        with torch.device("meta"):
            return Brain(config, towers)
    except (StrictDataclassError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"the config cannot be built ({error})", where=where) from error


def fill_brain(
    brain: Brain, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor], where: Path | str
) -> Brain:
    """Gives every tensor of ``brain`` its value, strictly: ``shapes`` must be exactly what the network has.

    ``read``: name in `Brain` -> tensor on its device. A tied head is taken from the embeddings.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in brain.state_dict().items()}
    is_tied = brain.config.tie_word_embeddings
    given = {name: shape for name, shape in shapes.items() if not (is_tied and name == _TIED)}
    check_keys(
        {published_name(name): shape for name, shape in expected.items() if not (is_tied and name == _TIED)},
        {_published(name): shape for name, shape in given.items()},
        str(where),
    )
    tensors = {name: read(name) for name in given}
    if is_tied:
        tensors[_TIED] = tensors[_EMBEDDINGS]
    brain.load_state_dict(tensors, strict=True, assign=True)
    _restore_rotary_tables(brain)
    return brain.eval().requires_grad_(False)


def _published(own: str) -> str:
    try:
        return published_name(own)
    except KeyError:
        return own  # a stray tensor keeps its name in the complaint


def _find_tensors(folder: Path) -> dict[str, _Stored]:
    """All tensors of the checkpoint under the names of `Brain`; those that are not used are left out."""
    return {own: item for name, item in _listing(folder).items() if (own := own_name(name)) is not None}


def _find_tower_tensors(source: TowerSource, folder: Path) -> dict[str, _Stored]:
    """The encoder's tensors in a tower's own checkpoint, which may be a whole model."""
    listing = _listing(folder)
    prefix = tower_prefix(source.part, listing, str(folder))
    names = [name for name in listing if name.startswith(prefix)]
    if not prefix:
        names = [name for name in names if not name.startswith(("decoder.", "proj_out."))]
    return {source.part + name[len(prefix) :]: listing[name] for name in names}


def _listing(folder: Path) -> dict[str, _Stored]:
    listing: dict[str, _Stored] = {}
    for path in weight_files(folder):
        try:
            with safe_open(str(path), framework="pt") as shard:
                for name in shard.keys():  # noqa: SIM118 - safe_open is not a mapping
                    listing[name] = _Stored(path, name, tuple(shard.get_slice(name).get_shape()))
        except SafetensorError as error:
            raise ModelError(f"damaged weight file ({error})", where=str(path), hint=FETCH_AGAIN) from error
    return listing


def _reader(
    stored: Mapping[str, _Stored], dtype: torch.dtype, device_of: Callable[[str], torch.device]
) -> Callable[[str], Tensor]:
    """Reads one tensor at a time, so that peak memory stays near one copy of the weights."""

    def read(name: str) -> Tensor:
        item = stored[name]
        with safe_open(str(item.path), framework="pt") as shard:
            tensor = shard.get_tensor(item.name)
        return tensor.to(device=device_of(name), dtype=dtype if tensor.is_floating_point() else tensor.dtype)

    return read


def _place(brain: Brain, dtype: torch.dtype, device_map: str | Sequence[str], quantisation: Quantisation) -> Placement:
    devices = resolve_devices(device_map)
    layers = len(brain.text_model.layers)
    if len(devices) == 1 and devices[0].type != "cuda":
        return on_one_device(devices[0], layers)
    bits = {"none": 8 * dtype.itemsize, "8bit": 8, "4bit": 4}[quantisation]
    sizes = {
        name: tensor.numel() * (bits if name.startswith("text_model.layers.") else 8 * dtype.itemsize) // 8
        for name, tensor in brain.state_dict().items()
    }
    return plan_placement(sizes, layers, {device: free_bytes(device) for device in devices})


def _quantise(brain: Brain, quantisation: Quantisation, dtype: torch.dtype, placement: Placement) -> None:
    def device_of(linear: str) -> torch.device:
        return placement.device_of(f"text_model.layers.{linear}.")

    quantise_linears(brain.text_model.layers, quantiser_config(quantisation, dtype), device_of)
    for layer, device in zip(brain.text_model.layers, placement.layers, strict=True):
        layer.to(device)
    brain.text_model.norm.to(placement.head)
    brain.lm_head.to(placement.head)
    for part in (brain.text_model.embed_tokens, brain.text_model.rotary_emb, brain.vision_tower, brain.audio_towers):
        if part is not None:
            part.to(placement.home)
    if brain.audio_towers is not None:
        brain.speech_projector.to(placement.home)


def _widen(brain: Brain) -> None:
    """All layers that see many positions at once: plain ones would take minutes for a picture or a long question."""
    for part in (brain.text_model.layers, brain.vision_tower, brain.audio_towers):
        if part is not None:
            lay_out(part, Layout.WIDENED)


def _restore_rotary_tables(brain: Brain) -> None:
    """Rotary tables are computed, not stored: built on the meta device they are empty, so they are built again."""
    text = brain.text_model
    text.rotary_emb = type(text.rotary_emb)(text.config).to(brain.device)
    if brain.vision_tower is not None:
        vision = brain.vision_tower
        vision.rotary_pos_emb = type(vision.rotary_pos_emb)(vision.config).to(brain.device)


def _patch_config(folder: Path, sources: Sequence[TowerSource]) -> PatchConfig:
    """From the vision tower's preprocessor_config.json, else the checkpoint's, else the published values."""
    folders = [source.folder for source in sources if source.config_field == "vision_config" and source.folder]
    for candidate in (*folders, folder):
        raw = _read_optional(candidate / "preprocessor_config.json")
        if raw:
            return PatchConfig.from_dict(raw)
    return PatchConfig()


def eos_ids_of(tokenizer: Any, config: BrainConfig, generation: Mapping[str, Any]) -> frozenset[int]:
    """Ids that end an answer: generation_config.json's, else config.json's; and always the tokenizer's own."""
    named = generation.get("eos_token_id", config.text.get("eos_token_id"))
    listed = named if isinstance(named, list) else [named]
    return frozenset(int(i) for i in [*listed, tokenizer.eos_token_id] if i is not None)


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
