"""Tower sources: where each tower's config and weights come from (spec 1.1, 6.1).

Goes in: the brain's config, its folder, and what its weight files hold. Comes out: for each tower a folder (or None
when its weights lie in the brain's checkpoint) and its config fields. A tower inside a checkpoint whose own folder is
not on this machine has its config read off the shapes of its weights. Loads no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.brain.audio_towers import HEAD_DIM as AUDIO_HEAD_DIM
from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.keys import AUX_AUDIO, MAIN_AUDIO, TOWER_PREFIXES, TOWER_PROBES, VISION
from omnitts.models.mgm_omni.config import read_json

Shapes = Mapping[str, tuple[int, ...]]

VISION_HEAD_DIM: Final = 80  # of the published Qwen2.5-VL towers
VISION_DEPTH: Final = 32  # of the same; their full-attention blocks are:
VISION_FULL_ATTENTION: Final = (7, 15, 23, 31)


@dataclass(frozen=True)
class TowerSource:
    """``part`` is the tower's prefix in `Brain`; ``folder`` holds its weights (None: the brain's own checkpoint)."""

    part: str
    config_field: str
    fields: Mapping[str, Any]
    folder: Path | None


def find_towers(
    config: BrainConfig, folder: Path, shapes: Shapes, overrides: Mapping[str, Path] | None = None
) -> list[TowerSource]:
    """The sources of all towers the config names.

    ``shapes``: tensors of the checkpoint under the names of `Brain`. ``overrides``: folders given by the user under
    ``mm_vision_tower``, ``mm_speech_tower``, ``speech_tower_aux``. Raises `ModelError` naming the config field of a
    tower that is not found.
    """
    wanted: list[tuple[str, str, str, str, bool]] = []
    if config.vision:
        wanted.append((VISION, "mm_vision_tower", config.vision.path, "vision_config", config.vision.is_in_checkpoint))
    if config.speech:
        is_inside, kind = config.speech.is_in_checkpoint, config.speech.kind
        main_field = "whisper_aux" if kind == "whisper" else "audio_encoder"
        wanted.append((MAIN_AUDIO, "mm_speech_tower", config.speech.path, main_field, is_inside))
        if kind == "dual":
            wanted.append((AUX_AUDIO, "speech_tower_aux", config.speech.aux_path, "whisper_aux", is_inside))
    sources = []
    for part, name_field, path, config_field, flagged in wanted:
        is_inside = flagged or f"{part}{TOWER_PROBES[part]}" in shapes
        override = (overrides or {}).get(name_field)
        tower = override or find_tower_folder(path, folder)
        if tower is None and not is_inside:
            raise ModelError(
                f"{name_field} {path!r} is not on this machine",
                where=str(folder / "config.json"),
                hint=f"put it beside the checkpoint as {Path(path).name}, or give its folder",
            )
        fields = dict(config.tower_fields.get(config_field, {}))
        if not fields and tower is not None:
            fields = read_tower_config(tower, part)
        if not fields:
            fields = derive_config(part, shapes, f"{folder} ({name_field})")
        sources.append(TowerSource(part, config_field, fields, None if is_inside else tower))
    return sources


def find_tower_folder(path: str, checkpoint: Path) -> Path | None:
    """A path as written, relative to the checkpoint or beside it by its last name, or a hub id already fetched."""
    name = Path(path).name
    candidates = (Path(path), checkpoint / path, checkpoint / name, checkpoint.parent / name)
    for candidate in candidates:
        if candidate.is_absolute() and (candidate / "config.json").is_file():
            return candidate
    return _fetched(path)


def read_tower_config(folder: Path, part: str) -> dict[str, Any]:
    """The encoder's fields from a tower folder's config.json, whether it is the encoder's own or a whole model's."""
    raw = read_json(folder / "config.json")
    nested = raw.get("vision_config" if part == VISION else "audio_config")
    return dict(nested or raw)


def tower_prefix(part: str, names: Iterable[str], where: str) -> str:
    """The prefix under which a tower's own checkpoint keeps the encoder. Raises `ModelError` if there is none."""
    known = set(names)
    for prefix in TOWER_PREFIXES[part]:
        if prefix + TOWER_PROBES[part] in known:
            return prefix
    raise ModelError(f"no tensor {TOWER_PROBES[part]} of a fitting tower", where=where)


def derive_config(part: str, shapes: Shapes, where: str) -> dict[str, Any]:
    """Config fields read off the weights; shapes do not tell the width of a head, which is the published family's."""
    own = {name[len(part) :]: shape for name, shape in shapes.items() if name.startswith(part)}
    if TOWER_PROBES[part] not in own:
        raise ModelError("the tower's weights are missing", where=where)
    return _derive_vision(own, where) if part == VISION else _derive_audio(own)


def _derive_vision(own: Shapes, where: str) -> dict[str, Any]:
    width, channels, frames, patch, _ = own["patch_embed.proj.weight"]
    depth = _count(own, "blocks")
    if depth != VISION_DEPTH or width % VISION_HEAD_DIM:
        raise ModelError(
            f"a vision tower of {depth} blocks, {width} wide, is none of the published ones",
            where=where,
            hint="give its folder, so that its config can be read",
        )
    return {
        "depth": depth,
        "hidden_size": width,
        "intermediate_size": own["blocks.0.mlp.gate_proj.weight"][0],
        "num_heads": width // VISION_HEAD_DIM,
        "in_channels": channels,
        "patch_size": patch,
        "temporal_patch_size": frames,
        "out_hidden_size": own["merger.mlp.2.weight"][0],
        "fullatt_block_indexes": list(VISION_FULL_ATTENTION),
    }


def _derive_audio(own: Shapes) -> dict[str, Any]:
    width, mel_bins, _ = own["conv1.weight"]
    return {
        "d_model": width,
        "num_mel_bins": mel_bins,
        "encoder_layers": _count(own, "layers"),
        "encoder_attention_heads": width // AUDIO_HEAD_DIM,
        "encoder_ffn_dim": own["layers.0.fc1.weight"][0],
        "max_source_positions": own["embed_positions.weight"][0],
    }


def _count(own: Shapes, group: str) -> int:
    return len({name.split(".")[1] for name in own if name.startswith(f"{group}.")})


def _fetched(repo_id: str) -> Path | None:
    """The snapshot of a hub repository that is on this machine already; nothing is downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo_id, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
