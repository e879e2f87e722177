"""Examples through the mouth's own module in one pass, with gradients: rows in, states and logits of every row out.

Letters: B rows of the batch, T steps, D width, K codes per step, V ids per codebook, N steps that are learnt.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

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
    B, T, width = len(examples), max(len(item.rows) for item in examples) - 1, examples[0].rows.shape[1]
    inputs = np.zeros((B, T, width), np.int64)
    targets = np.full((B, T, width - 1), IGNORED, np.int64)
    said = np.full((B, T + 1), UNKNOWN, np.int64)
    for row, item in enumerate(examples):
        rows, following = item.rows.numpy(), targets[row, : len(item.rows) - 1]
        inputs[row, : len(rows) - 1] = rows[:-1]
        following[:] = rows[1:, 1:]
        prompt = following[: item.num_prompt - 1]
        prompt[(prompt == speech_pad).all(axis=-1) if speech_pad is not None else slice(None)] = IGNORED
        said[row, : len(rows)] = item.said.numpy()
    return torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(said)


def row_logits(model: SpeechLM, rows: Tensor, wanted: Tensor) -> Tensor:
    """Logits (N, K, V) behind the ``wanted`` (B, T) positions of rows (B, T, 1 + K), with gradients."""
    return model.speech_logits(row_states(model, rows).adapter[wanted])


def row_states(model: SpeechLM, rows: Tensor) -> Hidden:
    """Backbone and adapter states (B, T, D) of rows (B, T, 1 + K), with gradients."""
    T = rows.shape[1]
    positions = torch.arange(T, device=rows.device)[None]  # (1, T): one mask and one rotation serve all rows
    cache = WholeSequence(len(model.config.kv_heads_of_layers))
    return model.hidden_states(model.embed_rows(rows), cache, positions, T)
