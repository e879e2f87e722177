"""TTS adapter: a few more decoder layers between the backbone's hidden states and the speech logits.

Goes in: the backbone's *normed* hidden states (B, T, D). Comes out: hidden states of the same shape, not normed. Its
layers follow the backbone's in the same cache. Source: specification 2.4.3, trap 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from omnitts.models.kv_cache import KVCache
from omnitts.models.qwen3 import DecoderLayer, Qwen3Config, StepContext


class TTSAdapter(nn.Module):
    """The checkpoint's `tts_adapter.*`: no embeddings and no final norm; `first_layer` is its first cache layer."""

    def __init__(self, config: Qwen3Config, first_layer: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config, first_layer + i) for i in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor, cache: KVCache, context: StepContext) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden, cache, context)
        return hidden
