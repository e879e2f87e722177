"""Footprint: which tensors a brain of some config has, and how much memory they and a conversation take.

Goes in: a `BrainConfig` and the towers' configs. Comes out: published names with shapes, and bytes. Builds on the meta
device only, so a 32B costs nothing to ask about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.keys import published_name
from omnitts.models.mgm_omni.brain.loading import build_brain
from omnitts.models.mgm_omni.brain.quantise import Quantisation

_LINEAR_BITS = {"8bit": 8, "4bit": 4}


@dataclass(frozen=True)
class Footprint:
    """Bytes of the decoder layers, of embeddings and head, of the towers and projectors, and of one cached token."""

    decoder: int
    embeddings: int
    towers: int
    cache_per_token: int

    def total(self, num_tokens: int = 0) -> int:
        """Weights, and the cache of ``num_tokens`` tokens over all conversations."""
        return self.decoder + self.embeddings + self.towers + num_tokens * self.cache_per_token


def expected_tensors(
    config: BrainConfig, towers: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of every tensor, the towers' among them wherever they are stored.

    Raises `ModelError` like `build_brain`.
    """
    state = build_brain(config, towers).state_dict()
    return {published_name(name): tuple(tensor.shape) for name, tensor in state.items()}


def footprint(
    config: BrainConfig,
    towers: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    dtype: torch.dtype = torch.float16,
    quantisation: Quantisation = "none",
) -> Footprint:
    """Memory of the whole brain; 4 and 8 bits count the decoder's linears without their scales (about 1 % more)."""
    linear_bits = _LINEAR_BITS.get(quantisation, 8 * dtype.itemsize)
    parts = dict.fromkeys(("decoder", "embeddings", "towers"), 0)
    for name, shape in expected_tensors(config, towers).items():
        in_layers = name.startswith("model.layers.")
        is_linear = in_layers and len(shape) == 2
        bits = linear_bits if is_linear else 8 * dtype.itemsize
        is_embedding = name.startswith(("model.embed_tokens.", "lm_head.", "model.norm."))
        if config.tie_word_embeddings and name == "lm_head.weight":
            continue
        part = "decoder" if in_layers else "embeddings" if is_embedding else "towers"
        parts[part] += math.prod(shape) * bits // 8
    text = config.text
    head_dim = text["hidden_size"] // text["num_attention_heads"]
    cached_values = 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * head_dim
    return Footprint(**parts, cache_per_token=cached_values * dtype.itemsize)
