"""Speech projectors: audio frames become embeddings of the language model; the dual ones mine two towers (spec 6.3).

Goes in: frames of the main tower (B, F, D) and, for the dual kinds, of the auxiliary tower (B, 2F, D'). Comes out:
(B, F // ds_rate, hidden). Knows nothing of audio, towers or checkpoints. Parameter names are the checkpoint's.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnitts.models.mgm_omni.brain.config import ProjectorConfig

AUX_FRAMES: Final = 2  # the auxiliary tower runs at twice the main tower's frame rate


class SpeechProjector(nn.Module):
    """What every projector does: main frames, and for the dual kinds auxiliary frames, to embeddings."""

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        raise NotImplementedError


def build_projector(config: ProjectorConfig) -> SpeechProjector:
    """The module for ``mm_speech_projector_type``; the kind has been checked by `ProjectorConfig`."""
    return _KINDS[config.kind](config)


class _Identity(SpeechProjector):
    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        return main


class _Linear(SpeechProjector):
    """One layer, frame by frame; its parameters carry no inner name in the checkpoint."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.hidden_size, config.linear_in_features))
        self.bias = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        return F.linear(main, self.weight, self.bias)


class _StackedMlp(SpeechProjector):
    """Stacks ``ds_rate`` frames, then Linear, ReLU, Linear. A remainder of frames is dropped."""

    def __init__(self, config: ProjectorConfig, frame_size: int) -> None:
        super().__init__()
        self.ds_rate = config.ds_rate
        self.linear1 = nn.Linear(frame_size * config.ds_rate, config.mlp_width)
        self.linear2 = nn.Linear(config.mlp_width, config.hidden_size)

    def project(self, frames: Tensor) -> Tensor:
        B, num_frames, D = frames.shape
        kept = num_frames // self.ds_rate
        stacked = frames[:, : kept * self.ds_rate].reshape(B, kept, self.ds_rate * D)
        return self.linear2(F.relu(self.linear1(stacked)))  # (B, F // ds_rate, hidden)


class _SimpleMlp(_StackedMlp):
    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__(config, config.encoder_hidden_size)

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        return self.project(main)


class _DualMlp(_StackedMlp):
    """Information mining: each main frame attends to its two auxiliary frames and adds what it finds."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__(config, config.main_dim)
        aux_dim = config.encoder_hidden_size - config.main_dim
        self.dual_query = _norm_linear(config.main_dim, config.main_dim)
        self.dual_aux = _norm_linear(aux_dim, config.main_dim)
        self.dual_val = _norm_linear(aux_dim, config.main_dim)

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        pairs = _pair_frames(main, aux)  # (B, F, 2, D')
        query, key, value = self.dual_query(main), self.dual_aux(pairs), self.dual_val(pairs)
        scores = torch.einsum("bfd,bfjd->bfj", query, key) / query.shape[-1] ** 0.5
        scores = torch.where(scores.isnan(), torch.zeros_like(scores), scores)
        mined = torch.einsum("bfj,bfjd->bfd", scores.softmax(dim=-1), value)
        return self.project(main + mined)


class _DualMlpType2(_StackedMlp):
    """Puts the main frame and its two auxiliary frames side by side; both towers have one width."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__(config, config.encoder_hidden_size * (1 + AUX_FRAMES))

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        return self.project(torch.cat((main, _pair_frames(main, aux).flatten(2)), dim=-1))


class _DualMlpType2Norm(_StackedMlp):
    """The same with a LayerNorm over the main frame and one over the pair."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__(config, config.encoder_hidden_size)
        self.norm1 = nn.LayerNorm(config.main_dim)
        self.norm2 = nn.LayerNorm(config.encoder_hidden_size - config.main_dim)

    def forward(self, main: Tensor, aux: Tensor | None = None) -> Tensor:
        pair = self.norm2(_pair_frames(main, aux).flatten(2))
        return self.project(torch.cat((self.norm1(main), pair), dim=-1))


def _norm_linear(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(in_features), nn.Linear(in_features, out_features))


def _pair_frames(main: Tensor, aux: Tensor | None) -> Tensor:
    """(B, 2F, D') -> (B, F, 2, D'): the auxiliary frames heard during each main frame."""
    if aux is None:
        raise ValueError("a dual projector needs the frames of the auxiliary tower")
    B, num_frames, _ = main.shape
    return aux[:, : num_frames * AUX_FRAMES].reshape(B, num_frames, AUX_FRAMES, -1)


_KINDS: Final = {
    "identity": _Identity,
    "linear": _Linear,
    "simple_mlp": _SimpleMlp,
    "dual_mlp": _DualMlp,
    "dual_mlp_attn": _DualMlp,
    "dual_mlp_type2": _DualMlpType2,
    "dual_mlp_type2_norm": _DualMlpType2Norm,
}
