"""Token encoder of the flow: conformer blocks with relative positions, a look-ahead, and upsampling by two (spec 3.2).

In: embedded speech tokens of several utterances, padded at the right. Out: hidden states at mel rate, after the
padding has been kept out of every row. Knows nothing of mel, speakers or solvers. Key names are the checkpoint's.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.codec.attention import valid, visible
from omnitts.models.codec.config import EncoderConfig
from omnitts.models.codec.layers import Linear

_BLOCK_EPS: Final = 1e-12
_QUERIES_AT_ONCE: Final = 1024
"""Relative scores are (H, queries, T) floats; slices of this many queries bound them for blocks of four minutes."""


class RelativeAttention(nn.Module):
    """Multi-head attention whose scores add a learned function of the distance between query and key."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.linear_q = Linear(width, width)
        self.linear_k = Linear(width, width)
        self.linear_v = Linear(width, width)
        self.linear_out = Linear(width, width)
        self.linear_pos = Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(num_heads, width // num_heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(num_heads, width // num_heads))

    def forward(self, hidden: Tensor, distances: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D), the (2T - 1, D) table of ``distance_table``, mask (B or 1, 1, T or 1, T) -> (B, T, D)."""
        B, T, D = hidden.shape
        query, key, value = (self._heads(project(hidden)) for project in (self.linear_q, self.linear_k, self.linear_v))
        position = self._heads(self.linear_pos(distances.unsqueeze(0))).transpose(2, 3)  # (1, H, Dh, 2T - 1)
        scale = 1.0 / math.sqrt(D // self.num_heads)
        mixed = []
        for start in range(0, T, _QUERIES_AT_ONCE):
            rows = slice(start, min(start + _QUERIES_AT_ONCE, T))
            part = query[:, :, rows]  # (B, H, n, Dh)
            # Query i meets distances i - (T - 1) ... i: a window of the table that slides by one per query.
            window = position[..., T - rows.stop : 2 * T - 1 - start]  # (1, H, Dh, T + n - 1)
            bias = _slide((part + self.pos_bias_v.unsqueeze(1)) @ window) * scale
            if mask is not None:
                bias = bias.masked_fill(~(mask if mask.shape[2] == 1 else mask[:, :, rows]), float("-inf"))
            biased = part + self.pos_bias_u.unsqueeze(1)
            mixed.append(F.scaled_dot_product_attention(biased, key, value, attn_mask=bias, scale=scale))
        return self.linear_out(torch.cat(mixed, dim=2).transpose(1, 2).reshape(B, T, D))

    def _heads(self, projected: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, Dh)"""
        return projected.view(*projected.shape[:2], self.num_heads, -1).transpose(1, 2)


def _slide(scores: Tensor) -> Tensor:
    """(B, H, n, T + n - 1) scores by table entry -> (B, H, n, T) by key: row r starts at entry n - 1 - r."""
    n, entries = scores.shape[-2:]
    if n == 1:
        return scores
    flat = scores.flatten(-2)[..., n - 1 : n - 1 + n * (entries - 1)]
    return flat.reshape(*scores.shape[:2], n, entries - 1)[..., : entries - n + 1]


def distance_table(length: int, width: int, device: torch.device) -> Tensor:
    """(2 * length - 1, width) sinusoids of the distances length - 1 ... -(length - 1); even dims sine, odd cosine."""
    distance = torch.arange(length - 1, -length, -1.0, device=device)
    frequency = torch.exp(torch.arange(0, width, 2.0, device=device) * -(math.log(10_000.0) / width))
    angle = distance[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.w_1 = Linear(width, inner)
        self.w_2 = Linear(inner, width)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.w_2(F.silu(self.w_1(hidden)))


class ConformerBlock(nn.Module):
    """Pre-norm attention and feed-forward; no convolution module, no macaron half."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm_mha = nn.LayerNorm(config.output_size, eps=_BLOCK_EPS)
        self.self_attn = RelativeAttention(config.output_size, config.attention_heads)
        self.norm_ff = nn.LayerNorm(config.output_size, eps=_BLOCK_EPS)
        self.feed_forward = FeedForward(config.output_size, config.linear_units)

    def forward(self, hidden: Tensor, distances: Tensor, mask: Tensor | None) -> Tensor:
        hidden = hidden + self.self_attn(self.norm_mha(hidden), distances, mask)
        return hidden + self.feed_forward(self.norm_ff(hidden))


class LinearEmbed(nn.Module):
    """Linear, LayerNorm, times the root of the width (the positions enter in the attention)."""

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.out = nn.Sequential(Linear(input_size, output_size), nn.LayerNorm(output_size))
        self._scale = math.sqrt(output_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.out(hidden) * self._scale


class Lookahead(nn.Module):
    """Lets each token hear the next few: a convolution to the right, then one to the left, added to the input."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.conv1 = nn.Conv1d(width, width, reach + 1)
        self.conv2 = nn.Conv1d(width, width, 3)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D), zero after each row's last token -> (B, T, D)."""
        heard = F.leaky_relu(self.conv1(F.pad(hidden.transpose(1, 2), (0, self.reach))))
        return hidden + self.conv2(F.pad(heard, (2, 0))).transpose(1, 2)


class Upsample(nn.Module):
    """Repeats every frame and smooths with a causal convolution."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv1d(width, width, 2 * factor + 1)

    def forward(self, hidden: Tensor) -> Tensor:
        repeated = hidden.transpose(1, 2).repeat_interleave(self.factor, dim=2)
        return self.conv(F.pad(repeated, (2 * self.factor, 0))).transpose(1, 2)


class FlowEncoder(nn.Module):
    """Speech token embeddings -> hidden states at mel rate."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = LinearEmbed(config.input_size, config.output_size)
        self.pre_lookahead_layer = Lookahead(config.output_size, config.lookahead)
        self.encoders = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_blocks))
        self.up_layer = Upsample(config.output_size, config.upsample)
        self.up_embed = LinearEmbed(config.output_size, config.output_size)
        self.up_encoders = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_up_blocks))
        self.after_norm = nn.LayerNorm(config.output_size)

    def forward(self, embedded: Tensor, lengths: list[int], context: int, streaming: bool) -> Tensor:
        """Encode ``lengths`` tokens of each row; the last ``context`` of them are only looked ahead at.

        embedded (B, T, input_size) with T = max(lengths); returns (B, upsample * (T - context), D), of which row b is
        valid up to upsample * (lengths[b] - context). A row's values do not depend on the other rows.
        """
        device = embedded.device
        hidden = self.embed(embedded)
        inside = valid(lengths, hidden.shape[1], device)
        if inside is not None:  # beyond the last token the look-ahead hears zeros, not embeddings of padding
            hidden = hidden * inside.unsqueeze(-1)
        body = [length - context for length in lengths]
        hidden = self.pre_lookahead_layer(hidden)[:, : max(body)]
        hidden = self._run(self.encoders, hidden, body, self.config.chunk if streaming else None)
        hidden = self.up_embed(self.up_layer(hidden))
        frames = [length * self.config.upsample for length in body]
        chunk = self.config.chunk * self.config.upsample if streaming else None
        return self.after_norm(self._run(self.up_encoders, hidden, frames, chunk))

    def _run(self, blocks: nn.ModuleList, hidden: Tensor, lengths: list[int], chunk: int | None) -> Tensor:
        T, D = hidden.shape[1:]
        mask = visible(valid(lengths, T, hidden.device), T, chunk, hidden.device)
        distances = distance_table(T, D, hidden.device).to(hidden.dtype)
        for block in blocks:
            hidden = block(hidden, distances, mask)
        return hidden
