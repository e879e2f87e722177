"""The mouth's `config.json` as a frozen dataclass.

Goes in: a dict. Comes out: sizes of backbone, adapter and speech codebook. Knows no tokenizer (see vocabulary.py).
Source: specification 2.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.models.qwen3 import Qwen3Config
from omnitts.models.weights import FETCH_AGAIN

# `speech_token_pre_pad` has three defaults in the reference when the config lacks it: 4 pad rows in the prompt,
# 1 row dropped when rows become codes, 1 as an attribute nobody reads. Both that act are kept as they are.
DEFAULT_PROMPT_PAD_ROWS: Final = 4
DEFAULT_DROPPED_ROWS: Final = 1
DEFAULT_CODEBOOK_SIZE: Final = 6563
DEFAULT_CODES_PER_ROW: Final = 4


@dataclass(frozen=True)
class MouthConfig:
    """Sizes of the speech language model.

    K = `codes_per_row` speech codes a step, V = `codebook_size` ids each: real codes, then eos (V - 2) and pad (V - 1).
    """

    backbone: Qwen3Config
    adapter: Qwen3Config
    codebook_size: int = DEFAULT_CODEBOOK_SIZE
    codes_per_row: int = DEFAULT_CODES_PER_ROW
    pre_pad: int | None = None
    max_prompt_rows: int | None = None  # tokenizer_model_max_length
    refer_pad_id: int | None = None
    silence_code: int | None = None
    blank_codes: tuple[int, ...] | None = None
    text_form: TextForm = TextForm.LETTERS

    @property
    def text_size(self) -> int:
        """Text ids are 0 .. text_size - 1; speech ids follow, codebook by codebook."""
        return self.backbone.vocab_size - self.codes_per_row * self.codebook_size

    @property
    def prompt_pad_rows(self) -> int:
        """Pad rows before the reference codes in the prompt."""
        return DEFAULT_PROMPT_PAD_ROWS if self.pre_pad is None else self.pre_pad

    @property
    def dropped_rows(self) -> int:
        """Leading rows of each spoken chunk that carry no sound."""
        return DEFAULT_DROPPED_ROWS if self.pre_pad is None else self.pre_pad

    @property
    def kv_heads_of_layers(self) -> list[int]:
        """Key/value heads of each cache layer: backbone first, adapter after it."""
        return [
            part.num_key_value_heads for part in (self.backbone, self.adapter) for _ in range(part.num_hidden_layers)
        ]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "config.json") -> MouthConfig:
        """Reads a `config.json`; raises `ModelError` naming a field that is missing, unknown or contradicts another."""
        model_type = values.get("model_type", "MGMTTS")
        if str(model_type).lower() != "mgmtts":
            raise ModelError(
                f"model_type is {model_type!r}, not 'MGMTTS'", where=where, hint="give the folder of a TTS checkpoint"
            )
        backbone = Qwen3Config.from_dict(values, where)
        config = cls(
            backbone=backbone,
            adapter=_adapter_config(backbone, values, where),
            codebook_size=int(values.get("tokenizer_speech_size") or DEFAULT_CODEBOOK_SIZE),
            codes_per_row=int(values.get("speech_token_count") or DEFAULT_CODES_PER_ROW),
            pre_pad=_optional_int(values, "speech_token_pre_pad"),
            max_prompt_rows=_optional_int(values, "tokenizer_model_max_length"),
            refer_pad_id=_optional_int(values, "refer_pad_id"),
            silence_code=_optional_int(values, "silence_token"),
            blank_codes=tuple(values["blank_ids"]) if values.get("blank_ids") is not None else None,
            text_form=_text_form(values, where),
        )
        if config.text_size <= 0:
            raise ModelError(
                f"vocab_size {backbone.vocab_size} has no room for {config.codes_per_row} x {config.codebook_size} "
                "speech ids",
                where=where,
            )
        return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint; `ModelError` names the file that is missing or broken."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.name} is missing", where=str(path.parent), hint=FETCH_AGAIN) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read ({error})", where=str(path), hint=FETCH_AGAIN) from error
    if not isinstance(values, dict):
        raise ModelError("is not a JSON object", where=str(path), hint=FETCH_AGAIN)
    return values


def _adapter_config(backbone: Qwen3Config, values: Mapping[str, Any], where: str) -> Qwen3Config:
    """`[layers,hidden,heads,inter]` or `[layers,hidden,heads_gqa,inter]`; all else is the backbone's."""
    kind = values.get("tts_adapter_type")
    if kind != "qwen3":
        raise ModelError(f"tts_adapter_type is {kind!r}; only 'qwen3' is known", where=where)
    text = str(values.get("tts_adapter_config", ""))
    try:
        layers, hidden, heads, intermediate = text[1:-1].split(",")
        num_heads, group = (int(part) for part in (heads.split("_") if "_" in heads else (heads, "1")))
        adapter = replace(
            backbone,
            num_hidden_layers=int(layers),
            hidden_size=int(hidden),
            num_attention_heads=num_heads,
            num_key_value_heads=num_heads // group,
            intermediate_size=int(intermediate),
        )
    except (ValueError, ZeroDivisionError) as error:
        hint = "expected [layers,hidden,heads,inter] or [layers,hidden,heads_gqa,inter]"
        raise ModelError(f"tts_adapter_config {text!r} cannot be read", where=where, hint=hint) from error
    if adapter.hidden_size != backbone.hidden_size:
        raise ModelError(f"the adapter is {adapter.hidden_size} wide, the backbone {backbone.hidden_size}", where=where)
    return adapter


def _text_form(values: Mapping[str, Any], where: str) -> TextForm:
    name = values.get("text_form", TextForm.LETTERS)
    try:
        return TextForm(name)
    except ValueError as error:
        known = ", ".join(TextForm)
        raise ModelError(f"text_form is {name!r}, not one of {known}", where=where, hint="update omnitts") from error


def _optional_int(values: Mapping[str, Any], field: str) -> int | None:
    return None if values.get(field) is None else int(values[field])
