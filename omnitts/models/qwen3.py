"""Qwen3 decoder over a batched cache: embeddings in, hidden states out.

Written from the architecture (pre-norm layers, RMSNorm on each query and key head before the rotary embedding, grouped
query attention, SwiGLU), with the checkpoint's key names. Knows no vocabulary, no sampling and no speech.

Letters: B rows, T steps, D width, H query heads, G query heads per key/value head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.errors import ModelError
from omnitts.models.kv_cache import KVCache


@dataclass(frozen=True)
class Qwen3Config:
    """The fields of `config.json` that shape the decoder."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rope_theta: float
    rms_norm_eps: float
    max_position_embeddings: int
    attention_bias: bool = False
    tie_word_embeddings: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "config.json") -> Qwen3Config:
        """Reads the fields of a `config.json`.

        Defaults are those of transformers' Qwen3Config; sizes have none. Raises `ModelError` naming the field that is
        missing, or that asks for something this decoder does not do.
        """
        _refuse_unknown(values, where)

        def need(field: str) -> Any:
            if values.get(field) is None:
                raise ModelError(f"the field {field} is missing", where=where, hint="fetch the checkpoint again")
            return values[field]

        rope = values.get("rope_parameters") or {}
        config = cls(
            vocab_size=int(need("vocab_size")),
            hidden_size=int(need("hidden_size")),
            intermediate_size=int(need("intermediate_size")),
            num_hidden_layers=int(need("num_hidden_layers")),
            num_attention_heads=int(need("num_attention_heads")),
            num_key_value_heads=int(values.get("num_key_value_heads") or need("num_attention_heads")),
            head_dim=int(values.get("head_dim") or 128),
            rope_theta=float(values.get("rope_theta") or rope.get("rope_theta") or 10000.0),
            rms_norm_eps=float(values.get("rms_norm_eps", 1e-6)),
            max_position_embeddings=int(values.get("max_position_embeddings", 32768)),
            attention_bias=bool(values.get("attention_bias", False)),
            tie_word_embeddings=bool(values.get("tie_word_embeddings", False)),
        )
        if config.num_attention_heads % config.num_key_value_heads:
            raise ModelError(
                f"num_attention_heads {config.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{config.num_key_value_heads}",
                where=where,
            )
        return config


def _refuse_unknown(values: Mapping[str, Any], where: str) -> None:
    """Names the first field that asks for a variant which is not built."""
    rope_kinds = [
        (field, dict(values[field]).get("rope_type") or dict(values[field]).get("type") or "default")
        for field in ("rope_scaling", "rope_parameters")
        if values.get(field)
    ]
    wanted: list[tuple[str, Any, Any]] = [
        ("hidden_act", values.get("hidden_act", "silu"), "silu"),
        ("use_sliding_window", bool(values.get("use_sliding_window", False)), False),
        *((field, kind, "default") for field, kind in rope_kinds),
    ]
    for field, value, known in wanted:
        if value != known:
            raise ModelError(f"{field} is {value!r}; only {known!r} is known", where=where)


@dataclass(frozen=True)
class StepContext:
    """What every layer of one forward pass shares."""

    positions: Tensor  # (B, T)
    span: int  # cache positions 0..span-1 are looked at
    cos: Tensor  # (B, T, 1, head_dim)
    sin: Tensor
    mask: Tensor  # (B, 1, T, span), added to the scores

    @classmethod
    def plan(cls, config: Qwen3Config, positions: Tensor, span: int, dtype: torch.dtype) -> StepContext:
        """Rotary tables and causal mask for tokens at `positions` (B, T): a token sees positions 0 to its own."""
        halves = torch.arange(0, config.head_dim, 2, device=positions.device).float() / config.head_dim
        # Reciprocal first, as the reference: dividing the position instead moves logits by several 1e-4.
        inverse_frequencies = 1.0 / config.rope_theta**halves
        angles = positions[..., None, None].float() * inverse_frequencies  # (B, T, 1, head_dim / 2)
        angles = torch.cat([angles, angles], dim=-1)
        seen = torch.arange(span, device=positions.device) <= positions[:, None, :, None]  # (B, 1, T, span)
        mask = torch.zeros(seen.shape, dtype=dtype, device=positions.device).masked_fill(~seen, float("-inf"))
        return cls(positions, span, angles.cos().to(dtype), angles.sin().to(dtype), mask)


class RMSNorm(nn.Module):
    """x / rms(x) * weight, normalised in fp32 and scaled in the model's dtype."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(hidden.dtype)


class Attention(nn.Module):
    """Grouped-query attention; keys and values live in the cache."""

    def __init__(self, config: Qwen3Config, layer_idx: int) -> None:
        super().__init__()
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_kv_heads = config.num_key_value_heads
        self.num_groups = config.num_attention_heads // config.num_key_value_heads
        D, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(D, config.num_attention_heads * config.head_dim, bias=bias)
        self.k_proj = nn.Linear(D, config.num_key_value_heads * config.head_dim, bias=bias)
        self.v_proj = nn.Linear(D, config.num_key_value_heads * config.head_dim, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * config.head_dim, D, bias=bias)
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps)

    def forward(self, hidden: Tensor, cache: KVCache, context: StepContext) -> Tensor:
        B, T, _ = hidden.shape
        heads = (B, T, -1, self.head_dim)
        query = rotate(self.q_norm(self.q_proj(hidden).view(heads)), context)  # (B, T, H, head_dim)
        key = rotate(self.k_norm(self.k_proj(hidden).view(heads)), context)
        cache.write(self.layer_idx, key, self.v_proj(hidden).view(heads), context.positions)
        keys, values = cache.read(self.layer_idx, context.span)

        # The G query heads of a key/value head are laid along T, so keys and values are never repeated.
        G = self.num_groups
        query = query.view(B, T, self.num_kv_heads, G, self.head_dim).permute(0, 2, 3, 1, 4)
        query = query.reshape(B, self.num_kv_heads, G * T, self.head_dim)
        mask = context.mask if T == 1 else context.mask.repeat(1, 1, G, 1)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)  # (B, H / G, G * T, head_dim)
        mixed = mixed.view(B, self.num_kv_heads, G, T, self.head_dim).permute(0, 3, 1, 2, 4)
        return self.o_proj(mixed.reshape(B, T, -1))


def rotate(heads: Tensor, context: StepContext) -> Tensor:
    """Rotary embedding, rotate-half form: pairs (i, i + head_dim / 2)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * context.cos + torch.cat([-second, first], dim=-1) * context.sin


class MLP(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class DecoderLayer(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x)). `layer_idx` is its place in the cache."""

    def __init__(self, config: Qwen3Config, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer_idx)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, cache: KVCache, context: StepContext) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cache, context)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Qwen3Model(nn.Module):
    """Token table, decoder layers, final norm: the checkpoint's `model.*`."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, inputs_embeds: Tensor, cache: KVCache, context: StepContext) -> Tensor:
        """Normed hidden states (B, T, D) of `inputs_embeds` (B, T, D); their keys and values are left in the cache.

        Lengths are not advanced: the caller does that (`KVCache.advance`) when every layer of the step has run.
        """
        hidden = inputs_embeds
        for layer in self.layers:
            hidden = layer(hidden, cache, context)
        return self.norm(hidden)
