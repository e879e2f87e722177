"""Brain config: what a checkpoint's config.json says about the multimodal language model.

Goes in: the parsed config.json of a brain repository (spec 6.1). Comes out: frozen dataclasses. Knows no tensors and no
files; where the towers lie is for `loading` to find out. A field that has no safe default is asked for by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from omnitts.errors import ModelError

DUAL_MAIN_DIM: Final = 1280  # spec 6.3: the reference hard-codes the width of the main audio tower
PROJECTOR_WIDTH: Final = 2048  # spec 6.3: hidden width of the projectors' MLP
NORM_PROJECTOR_WIDTH: Final = 4096  # spec 6.3: the same for dual_mlp_type2_norm

DUAL_PROJECTORS: Final = frozenset({"dual_mlp", "dual_mlp_attn", "dual_mlp_type2", "dual_mlp_type2_norm"})
SINGLE_PROJECTORS: Final = frozenset({"simple_mlp", "linear", "identity"})

SpeechTowerKind = Literal["dual", "whisper", "qwen2a"]

_TEXT_FIELDS: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "rms_norm_eps",
)  # fmt: skip
_OPTIONAL_TEXT_FIELDS: Final = (
    "hidden_act", "max_position_embeddings", "use_sliding_window", "sliding_window", "max_window_layers", "layer_types",
    "bos_token_id", "eos_token_id",
)  # fmt: skip


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the speech projector (spec 6.3). ``ds_rate`` frames are stacked into one embedding."""

    kind: str
    hidden_size: int
    ds_rate: int = 1
    encoder_hidden_size: int = 0
    main_dim: int = DUAL_MAIN_DIM
    mlp_width: int = PROJECTOR_WIDTH
    linear_in_features: int = 0

    @property
    def takes_two_towers(self) -> bool:
        return self.kind in DUAL_PROJECTORS

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "config.json") -> ProjectorConfig:
        """Raises `ModelError` for an unknown ``mm_speech_projector_type`` or a size it needs and does not find."""
        kind = str(_required(raw, "mm_speech_projector_type", where))
        if kind not in DUAL_PROJECTORS | SINGLE_PROJECTORS:
            known = ", ".join(sorted(DUAL_PROJECTORS | SINGLE_PROJECTORS))
            raise ModelError(f"mm_speech_projector_type {kind!r} is not known", where=where, hint=f"known are {known}")
        stacks = kind not in ("linear", "identity")
        default_width = NORM_PROJECTOR_WIDTH if kind == "dual_mlp_type2_norm" else PROJECTOR_WIDTH
        return cls(
            kind=kind,
            hidden_size=int(_required(raw, "hidden_size", where)),
            ds_rate=int(_required(raw, "speech_encoder_ds_rate", where)) if stacks else 1,
            encoder_hidden_size=int(_required(raw, "speech_encoder_hidden_size", where)) if stacks else 0,
            main_dim=int(raw.get("dual_main_dim", DUAL_MAIN_DIM)),
            mlp_width=int(raw.get("speech_proj_hidden", default_width)),
            linear_in_features=int(_required(raw, "mm_speech_hidden_size", where)) if kind == "linear" else 0,
        )


@dataclass(frozen=True)
class SpeechTowerConfig:
    """Which audio encoders the brain listens with, and where their own checkpoints lie."""

    kind: SpeechTowerKind
    path: str
    aux_path: str
    is_in_checkpoint: bool
    l2_normalises: bool

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "config.json") -> SpeechTowerConfig:
        """Chooses by substring of ``mm_speech_tower``, in the reference's order: dual, whisper, qwen2a (spec 6.1)."""
        name = str(_required(raw, "mm_speech_tower", where))
        kind = next((kind for kind in ("dual", "whisper", "qwen2a") if kind in name.lower()), None)
        if kind is None:
            raise ModelError(
                f"mm_speech_tower {name!r} names no known audio encoder",
                where=where,
                hint="the name must contain dual, whisper or qwen2a",
            )
        return cls(
            kind=kind,  # type: ignore[arg-type]
            path=re.sub("dual-", "", name, flags=re.IGNORECASE),
            aux_path=str(_required(raw, "speech_tower_aux", where)) if kind == "dual" else "",
            is_in_checkpoint=bool(raw.get("unfreeze_mm_speech_tower", False)),
            l2_normalises=bool(_required(raw, "speech_norm", where)),
        )


@dataclass(frozen=True)
class VisionTowerConfig:
    """Which image encoder the brain sees with, and where its own checkpoint lies."""

    path: str
    is_in_checkpoint: bool

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "config.json") -> VisionTowerConfig:
        """Only the native Qwen2.5-VL tower exists here; anything else is a `ModelError`.

        The reference leaves its projector out only when the name contains "qwen2.5-vl"; under the spelling
        "qwen2_5_vl" it would apply ``mm_projector``, which makes no difference for the identity alone.
        """
        name = str(_required(raw, "mm_vision_tower", where))
        lowered = name.lower()
        if "siglip" in lowered or not ("qwen2.5-vl" in lowered or "qwen2_5_vl" in lowered):
            raise ModelError(f"mm_vision_tower {name!r} is not a Qwen2.5-VL tower", where=where)
        projector = str(raw.get("mm_projector_type", "identity"))
        if "qwen2.5-vl" not in lowered and projector != "identity":
            raise ModelError(f"mm_projector_type {projector!r} is not known for tower {name!r}", where=where)
        return cls(path=name, is_in_checkpoint=bool(raw.get("unfreeze_mm_vision_tower", False)))


@dataclass(frozen=True)
class BrainConfig:
    """The whole of config.json that decides the network. ``text`` holds the fields transformers' text model takes.

    ``tower_fields`` are the towers' own configs where config.json carries them: ``vision_config``, ``audio_encoder``
    (main), ``whisper_aux``.
    """

    text: Mapping[str, Any]
    tie_word_embeddings: bool
    vision: VisionTowerConfig | None
    speech: SpeechTowerConfig | None
    projector: ProjectorConfig | None
    tower_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def hidden_size(self) -> int:
        return int(self.text["hidden_size"])

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "config.json") -> BrainConfig:
        """Raises `ModelError` naming the field that is missing or cannot be used."""
        if str(raw.get("model_type", "")).lower() == "mgmtts":
            raise ModelError("this is a speech model, not a brain", where=where, hint="give the folder of MGM-Omni-7B")
        text = {name: _required(raw, name, where) for name in _TEXT_FIELDS}
        text |= {name: raw[name] for name in _OPTIONAL_TEXT_FIELDS if raw.get(name) is not None}
        text["rope_parameters"] = _rope_parameters(raw, text["hidden_size"] // text["num_attention_heads"], where)
        hears, sees = bool(raw.get("mm_speech_tower")), bool(raw.get("mm_vision_tower"))
        speech = SpeechTowerConfig.from_dict(raw, where) if hears else None
        projector = ProjectorConfig.from_dict(raw, where) if hears else None
        if speech and projector and projector.takes_two_towers != (speech.kind == "dual"):
            raise ModelError(f"projector {projector.kind} does not fit a {speech.kind} speech tower", where=where)
        return cls(
            text=text,
            tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
            vision=VisionTowerConfig.from_dict(raw, where) if sees else None,
            speech=speech,
            projector=projector,
            tower_fields={
                name: raw[name] for name in ("vision_config", "audio_encoder", "whisper_aux") if raw.get(name)
            },
        )


def _rope_parameters(raw: Mapping[str, Any], head_dim: int, where: str) -> dict[str, Any]:
    """rope_theta and rope_scaling as one, in the words of transformers 5; "mrope" is its "default" with three axes."""
    rope = dict(raw.get("rope_scaling") or raw.get("rope_parameters") or {})
    if "mrope_section" not in rope:
        raise ModelError("field rope_scaling.mrope_section is missing", where=where)
    if 2 * sum(rope["mrope_section"]) != head_dim:
        raise ModelError(f"mrope_section {rope['mrope_section']} does not fill half a head of {head_dim}", where=where)
    kind = rope.pop("rope_type", rope.pop("type", "default"))
    rope.pop("type", None)
    theta = rope.pop("rope_theta", None) or _required(raw, "rope_theta", where)
    return {**rope, "rope_type": "default" if kind == "mrope" else kind, "rope_theta": theta}


def _required(raw: Mapping[str, Any], name: str, where: str) -> Any:
    if raw.get(name) is None:
        raise ModelError(f"field {name} is missing", where=where)
    return raw[name]
