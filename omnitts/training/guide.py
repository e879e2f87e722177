"""Guide: what the speech LM is asked in training beside the codes, so that it learns to find its place in the text.

Goes in: hidden states, the rows and the text id each row's sound says. Comes out: one loss of two parts, for the token
that sounds now (it is heard in the codes) and the one that sounds next (it must be found in the text behind):
* half of each backbone state has to tell the token's id;
* one attention head has to look at the row where the token was given (guided attention, arXiv 1710.08969, with the
  place known instead of guessed).
Nothing is added to the model: the heads are its own, and so are the embeddings that ids are told with.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.qwen3 import StepContext, rotate
from omnitts.training.rows import UNKNOWN

_HEAD: Final = 0
_FURTHEST: Final = 64  # rows between a token and its sound; a like token further back is another one


class Guide:
    """Watches two attention layers of a model while it runs; `loss` belongs to its last forward pass."""

    def __init__(self, model: SpeechLM) -> None:
        self._model = model
        layers = model.model.layers
        depth = len(layers)
        self._now, self._next = (_Watched(layers[max(0, place - 1)]) for place in (depth // 3, 2 * depth // 3))

    def loss(self, hidden: Tensor, rows: Tensor, said: Tensor, told: tuple[Tensor, Tensor]) -> Tensor:
        """Of backbone states (B, T, D) over rows (B, T, 1 + K) whose sound says ``said`` (B, T + 1).

        ``told``: `told_places` of ``said``.
        """
        words = self._model.model.embed_tokens.weight[: self._model.config.text_size]
        T, half = rows.shape[1], hidden.shape[-1] // 2
        positions = torch.arange(T, device=rows.device)[None]
        context = StepContext.plan(self._model.config.backbone, positions, T, torch.float32)
        total = hidden.new_zeros(())
        parts = (said[:, :-1], slice(None, half), self._now), (said[:, 1:], slice(half, None), self._next)
        for (ids, part, watched), places in zip(parts, told, strict=True):
            if len(places):
                states = hidden.flatten(0, 1).index_select(0, places)[:, part]
                scores = F.linear(states, words[:, part]).float()
                wanted = ids.flatten().index_select(0, places)
                total = total + F.cross_entropy(scores, wanted) + watched.off(ids, rows[..., 0], context)
        return total / 2


def told_places(said: Tensor) -> tuple[Tensor, Tensor]:
    """Of said (B, T + 1): which of the B * T rows say a known id now, and which in the row behind."""
    now, following = ((part != UNKNOWN).flatten().nonzero().flatten() for part in (said[:, :-1], said[:, 1:]))
    return now, following


class _Watched:
    """Queries and keys of one head of a layer, as they were before their rotation."""

    def __init__(self, layer: nn.Module) -> None:
        attention: Any = layer.self_attn
        self._heads: dict[str, Tensor] = {}
        for name in ("q_norm", "k_norm"):
            getattr(attention, name).register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._heads[name] = output[:, :, _HEAD : _HEAD + 1].float()  # (B, T, 1, head_dim)

        return hook

    def off(self, ids: Tensor, text: Tensor, context: StepContext) -> Tensor:
        """How little the head of each row looks at rows of ``text`` (B, T) that gave its token of ``ids`` (B, T).

        ``context``: of positions (1, T).
        """
        query, key = (rotate(self._heads[name], context).squeeze(2) for name in ("q_norm", "k_norm"))
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5 + context.mask[:, 0]  # (B, T, T)
        distance = context.positions[:, :, None] - context.positions[:, None, :]
        match = (ids[:, :, None] == text[:, None, :]) & (distance >= 0) & (distance < _FURTHEST)
        found = match.any(dim=-1)
        open_to = match | ~found[..., None]  # nothing is asked of rows without a match, yet their numbers stay finite
        log_share = scores.log_softmax(dim=-1).masked_fill(~open_to, float("-inf")).logsumexp(dim=-1)
        return -log_share.where(found, 0.0).sum() / found.sum().clamp(min=1)
