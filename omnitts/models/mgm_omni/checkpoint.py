"""A mouth checkpoint folder, opened: config, tokenizer, vocabulary, weights.

Goes in: a local folder laid out as published (`config.json`, safetensors, tokenizer files, perhaps
`generation_config.json` and `blank_ids.json`). Comes out: one `Mouth`. Fetches nothing. Source: specification 1.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Tokenizer

from omnitts.errors import ModelError
from omnitts.models.linear_layout import Layout, usual_layout
from omnitts.models.mgm_omni.config import MouthConfig, read_json
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import TIED_HEAD, SpeechLM
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary, build_vocabulary
from omnitts.models.weights import FETCH_AGAIN, load_module, read_tensors

_TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # either set will do


@dataclass(frozen=True)
class Mouth:
    """Everything that turns text and a reference into rows."""

    config: MouthConfig
    vocabulary: SpeechVocabulary
    prompts: PromptBuilder
    model: SpeechLM
    generation_config: dict[str, Any]

    def sampling(self, **overrides: Any) -> Sampling:
        """The checkpoint's sampling settings with the reference's defaults below and `overrides` above them."""
        return Sampling.from_generation_config(self.generation_config, **overrides)


def load_mouth(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    layout: Callable[[MouthConfig], Layout] | None = None,
) -> Mouth:
    """Opens a checkpoint folder; raises `ModelError` naming the file, field or tensor that is wrong.

    ``layout``: of the linear layers of a model of this config; the usual one where it is not given.
    """
    config = read_mouth_config(folder)
    tokenizer = read_tokenizer(folder)
    vocabulary = build_vocabulary(config, tokenizer, where=str(folder))
    generation_path = folder / "generation_config.json"
    return Mouth(
        config=config,
        vocabulary=vocabulary,
        prompts=PromptBuilder(config, vocabulary, tokenizer),
        model=load_speech_lm(folder, config, dtype=dtype, device=device, layout=layout(config) if layout else None),
        generation_config=read_json(generation_path) if generation_path.is_file() else {},
    )


def read_mouth_config(folder: Path) -> MouthConfig:
    """`config.json`, with the blank codes of a `blank_ids.json` beside it unless the config lists its own."""
    path = folder / "config.json"
    config = MouthConfig.from_dict(read_json(path), where=str(path))
    blank_path = folder / "blank_ids.json"
    if config.blank_codes is None and blank_path.is_file():
        try:
            blanks = tuple(int(code) for code in json.loads(blank_path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ModelError("is not a list of codes", where=str(blank_path), hint=FETCH_AGAIN) from error
        config = replace(config, blank_codes=blanks)
    return config


def read_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer of a checkpoint folder, from its files alone."""
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZER_FILES):
        missing = next(name for name in _TOKENIZER_FILES[1] if not (folder / name).is_file())
        raise ModelError(f"{missing} is missing", where=str(folder), hint=FETCH_AGAIN)
    try:
        return Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the tokenizer cannot be read ({error})", where=str(folder), hint=FETCH_AGAIN) from error


def load_speech_lm(
    folder: Path,
    config: MouthConfig,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    layout: Layout | None = None,
) -> SpeechLM:
    """The speech language model with the folder's weights; the key table is checked before anything is used.

    `layout` of the linear layers; None: the usual one for `dtype` on `device`.
    """
    model = load_module(
        lambda: SpeechLM(config),
        read_tensors(folder, dtype=dtype, device=device),
        where=str(folder),
        dtype=dtype,
        device=device,
        ignored=TIED_HEAD,
    )
    model.lay_out(layout or usual_layout(dtype, device))
    return model
