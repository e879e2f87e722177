"""The mouth: rows of one text id and K speech codes in, logits of the next K codes out.

Many sequences at once over one cache; knows nothing of prompts, of the text feed, or of sampling.
Source: specification 2.3, 2.4.

Letters: B rows of the batch, T steps, D width, K codes per step, V ids per codebook.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.kv_cache import KVCache
from omnitts.models.linear_layout import Layout, laid_out, lay_out
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.tts_adapter import TTSAdapter
from omnitts.models.qwen3 import Qwen3Model, StepContext

TIED_HEAD = frozenset({"lm_head.weight"})  # some exports store the tied head a second time
_SPAN_STEP = 64


class Hidden(NamedTuple):
    """Hidden states of one forward pass, each (B, T, D)."""

    backbone: Tensor  # after the final norm
    adapter: Tensor


class SpeechLM(nn.Module):
    """Qwen3 backbone, TTS adapter, and the speech slice of the language-model head."""

    def __init__(self, config: MouthConfig) -> None:
        super().__init__()
        self.config = config
        backbone = config.backbone
        self.model = Qwen3Model(backbone)
        self.tts_adapter = TTSAdapter(config.adapter, first_layer=backbone.num_hidden_layers)
        self.lm_head = (
            None if backbone.tie_word_embeddings else nn.Linear(backbone.hidden_size, backbone.vocab_size, bias=False)
        )
        self.laid_out_head: nn.Module | None = None

    def new_cache(self, num_rows: int, max_length: int) -> KVCache:
        """An empty cache for backbone and adapter, in the weights' dtype and on their device."""
        weight = self.model.embed_tokens.weight
        return KVCache.allocate(
            self.config.kv_heads_of_layers,
            num_rows=num_rows,
            max_length=max_length,
            head_dim=self.config.backbone.head_dim,
            dtype=weight.dtype,
            device=weight.device,
        )

    @property
    def bytes_per_position(self) -> int:
        """Memory of one cache position of one sequence: keys and values of all layers."""
        width = sum(self.config.kv_heads_of_layers) * self.config.backbone.head_dim
        return 2 * width * self.model.embed_tokens.weight.element_size()

    def embed_rows(self, rows: Tensor) -> Tensor:
        """Rows (B, T, 1 + K), codes local to their codebook -> embeddings (B, T, D): the mean of the 1 + K vectors."""
        K, V = self.config.codes_per_row, self.config.codebook_size
        offsets = self.config.text_size + V * torch.arange(K, device=rows.device)
        ids = torch.cat([rows[..., :1], rows[..., 1:] + offsets], dim=-1)  # (B, T, 1 + K)
        return self.model.embed_tokens(ids).mean(dim=-2)

    def hidden_states(self, inputs_embeds: Tensor, cache: KVCache, positions: Tensor, span: int) -> Hidden:
        """Backbone and adapter over embeddings (B, T, D) at `positions` (B, T), seeing cache positions below `span`."""
        context = StepContext.plan(self.config.backbone, positions, span, inputs_embeds.dtype)
        hidden = self.model(inputs_embeds, cache, context)
        return Hidden(hidden, self.tts_adapter(hidden, cache, context))

    def lay_out(self, layout: Layout) -> None:
        """Lays all weights out for this processor, for good."""
        lay_out(self.model, layout)
        lay_out(self.tts_adapter, layout)
        if layout is not Layout.PLAIN:
            self.laid_out_head = laid_out(self._speech_head(), None, layout)

    def speech_logits(self, adapted: Tensor) -> Tensor:
        """Adapter output (B, D) -> fp32 logits (B, K, V); the text rows of the head are never multiplied."""
        head = self.laid_out_head
        logits = F.linear(adapted, self._speech_head()) if head is None else head(adapted)
        return logits.float().view(-1, self.config.codes_per_row, self.config.codebook_size)

    def _speech_head(self) -> Tensor:
        """The head's rows (K * V, D) of the speech ids."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        return head.weight[self.config.text_size :]

    def forward(self, rows: Tensor, cache: KVCache, counts: Tensor | None = None, span: int | None = None) -> Tensor:
        """Logits (B, K, V) after the last of the rows (B, T, 1 + K), which continue what `cache` holds.

        `counts` (B,): how many of the T rows are real, the rest is padding at the right (0: the batch row idles and its
        logits mean nothing). `span`: how far attention looks, at least the longest row with this step; None reads it
        from the cache, which waits for the device. Cache lengths stay as they are until `cache.advance`.
        """
        B, T, _ = rows.shape
        positions = cache.next_positions(T, counts)
        if span is None:
            span = padded_span(int(cache.lengths.max()) + T, cache.max_length)
        adapted = self.hidden_states(self.embed_rows(rows), cache, positions, span).adapter
        if counts is None:
            return self.speech_logits(adapted[:, -1])
        last = (counts - 1).clamp(min=0)
        return self.speech_logits(adapted[torch.arange(B, device=rows.device), last])


def padded_span(length: int, max_length: int) -> int:
    """`length` rounded up, so that shapes change rarely while rows grow; never beyond the cache."""
    return min(-(-length // _SPAN_STEP) * _SPAN_STEP, max_length)
