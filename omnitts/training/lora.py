"""Low-rank adapters (arXiv 2106.09685) on the linear layers of the speech LM: put in, learnt alone, merged away.

A model in; its linear layers are wrapped, the wrappers' few weights are what learns; after `merge` it is a plain model
again. Knows no data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from omnitts.models.mgm_omni.speech_lm import SpeechLM


class LoraLinear(nn.Module):
    """``base`` (frozen) plus a product of two thin matrices; at first that product is zero."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base(inputs) + self.scale * ((inputs @ self.down.T) @ self.up.T)

    def merged(self) -> nn.Linear:
        """The layer with the product added to its weight."""
        with torch.no_grad():
            self.base.weight += self.scale * (self.up @ self.down)
        return self.base


def add_lora(model: SpeechLM, rank: int, alpha: float, seed: int) -> nn.ParameterDict:
    """Freezes the model, wraps every linear layer of backbone and adapter, and returns what learns, by name."""
    model.requires_grad_(False)
    learnt: dict[str, nn.Parameter] = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parent, child_name, child in list(_linears(model)):
            wrapped = LoraLinear(child, rank, alpha)
            setattr(parent, child_name, wrapped)
            # A ParameterDict's keys may hold no dots.
            learnt |= {f"{name}.{part}".replace(".", "/"): getattr(wrapped, part) for part in ("down", "up")}
    return nn.ParameterDict(learnt)


def merge_lora(model: SpeechLM) -> None:
    """Puts plain layers back, what was learnt added to them."""
    for part in (model.model, model.tts_adapter):
        for parent in list(part.modules()):
            for child_name, child in list(parent.named_children()):
                if isinstance(child, LoraLinear):
                    setattr(parent, child_name, child.merged())


def _linears(model: SpeechLM) -> list[tuple[str, nn.Module, str, nn.Linear]]:
    return [
        (f"{part_name}.{parent_name}.{child_name}", parent, child_name, child)
        for part_name, part in (("model", model.model), ("tts_adapter", model.tts_adapter))
        for parent_name, parent in part.named_modules()
        for child_name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
