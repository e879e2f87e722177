"""Examples through the mouth's own module in one pass, with gradients: rows in, states and logits of every row out.

Letters: B rows of the batch, T steps, D width, K codes per step, V ids per codebook, N steps that are learnt.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from omnitts.models.kv_cache import KVCache
from omnitts.models.mgm_omni.speech_lm import Hidden, SpeechLM
from omnitts.training.rows import UNKNOWN, Example

IGNORED: Final = -100


class WholeSequence(KVCache):
    """A cache for learning: every layer sees the keys and values of the pass itself, with their gradients."""

    def __init__(self, num_layers: int) -> None:
        empty = [torch.zeros(0) for _ in range(num_layers)]
        super().__init__(empty, list(empty), torch.zeros(0, dtype=torch.int64))

    def write(self, layer_idx: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        self.keys[layer_idx], self.values[layer_idx] = keys.transpose(1, 2), values.transpose(1, 2)


def collate(examples: list[Example], speech_pad: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, T, 1 + K), padded at the right with zeros, targets (B, T, K): the next row's codes, or ignored, and
    (B, T + 1) the text id that each row says, or UNKNOWN.

    ``speech_pad``: learn the rows of the prompt too that hold anything else.
    """
    inputs = nn.utils.rnn.pad_sequence([item.rows[:-1] for item in examples], batch_first=True)
    targets = torch.full((*inputs.shape[:2], inputs.shape[2] - 1), IGNORED)
    for row, item in enumerate(examples):
        following = item.rows[1:, 1:].clone()
        prompt = following[: item.num_prompt - 1]
        prompt[(prompt == speech_pad).all(dim=-1) if speech_pad is not None else slice(None)] = IGNORED
        targets[row, : len(following)] = following
    said = nn.utils.rnn.pad_sequence([item.said for item in examples], batch_first=True, padding_value=UNKNOWN)
    return inputs, targets, said


def row_logits(model: SpeechLM, rows: Tensor, wanted: Tensor) -> Tensor:
    """Logits (N, K, V) behind the ``wanted`` (B, T) positions of rows (B, T, 1 + K), with gradients."""
    return model.speech_logits(row_states(model, rows).adapter[wanted])


def row_states(model: SpeechLM, rows: Tensor) -> Hidden:
    """Backbone and adapter states (B, T, D) of rows (B, T, 1 + K), with gradients."""
    B, T, _ = rows.shape
    positions = torch.arange(T, device=rows.device).expand(B, T)
    cache = WholeSequence(len(model.config.kv_heads_of_layers))
    return model.hidden_states(model.embed_rows(rows), cache, positions, T)
