"""Audio towers: log-mel blocks become frames of one or two encoders (spec 6.3).

Goes in: (B, 128, 3000). Comes out: frames of the main tower (B, 750 or 1500, D) and of the auxiliary one
(B, 1500, D'). No padding mask: silence is heard too. The encoders are transformers' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import Qwen2AudioEncoder, Qwen2AudioEncoderConfig, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from omnitts.models.mgm_omni.brain.config import SpeechTowerKind

HEAD_DIM = 64  # of every Whisper-shaped encoder; used when a tower's config is derived from its weights


class AudioTowers(nn.Module):
    """``speech_tower`` is a Qwen2-Audio encoder (pools, then norms) or a Whisper encoder; ``speech_tower_aux`` is the
    Whisper encoder of the dual kind, else None. The attribute names are the checkpoint's.
    """

    def __init__(self, kind: SpeechTowerKind, main: Mapping[str, Any], aux: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.speech_tower: Any = _whisper(main) if kind == "whisper" else _qwen2_audio(main)
        self.speech_tower_aux: Any = _whisper(aux) if kind == "dual" and aux is not None else None

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor | None]:
        weight = self.speech_tower.conv1.weight
        mel = mel.to(device=weight.device, dtype=weight.dtype)
        main = self.speech_tower(mel).last_hidden_state
        aux = self.speech_tower_aux(mel).last_hidden_state if self.speech_tower_aux is not None else None
        return main, aux


def _qwen2_audio(fields: Mapping[str, Any]) -> nn.Module:
    config = Qwen2AudioEncoderConfig(**_known(fields, Qwen2AudioEncoderConfig))
    return from_config(Qwen2AudioEncoder, config)


def _whisper(fields: Mapping[str, Any]) -> nn.Module:
    config = WhisperConfig(**_known(fields, WhisperConfig))
    return from_config(WhisperEncoder, config)


def from_config(model_class: Any, config: Any) -> Any:
    """An empty transformers model that attends through torch's scaled_dot_product_attention."""
    return model_class._from_config(config, attn_implementation="sdpa")


def _known(fields: Mapping[str, Any], config_class: type[Any]) -> dict[str, Any]:
    """The fields the config class has (a tower's config.json holds task settings beside them)."""
    names = set(config_class.__dataclass_fields__)
    return {name: value for name, value in fields.items() if name in names}
