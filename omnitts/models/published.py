"""Published configurations by name, with random weights: what speed is measured on where no checkpoint is at hand.

In: a name. Out: the mouth's config, a network of that size, a vocabulary without a tokenizer, and a codec. The sizes of
the mouths are presumed, since the checkpoints could not be read: those of the Qwen3 they are built on, with six
adapter layers of the same shape (the 2B so has 2.08 B parameters, as published). Source: specification 2.1, 3, 4, 10.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeVar

import torch
from torch import nn

from omnitts.errors import UsageError
from omnitts.models.codec.config import EncoderConfig, EstimatorConfig, FlowConfig, HiftConfig
from omnitts.models.codec.detokenizer import Detokenizer
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.packed_flow import pack_flow
from omnitts.models.linear_layout import Layout, usual_layout
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.vocabulary import PUBLISHED_BLANK_CODES, PUBLISHED_SILENCE_CODE, SpeechVocabulary
from omnitts.models.qwen3 import Qwen3Config

PUBLISHED_FLOW: Final = FlowConfig(
    vocab_size=6561,
    speaker_size=192,
    mel_bins=80,
    encoder=EncoderConfig(512, 512, attention_heads=8, linear_units=2048, num_blocks=6),
    estimator=EstimatorConfig(320, 80, 256, head_dim=64, num_heads=8, num_blocks=4, num_mid_blocks=12),
)
PUBLISHED_HIFT: Final = HiftConfig(
    mel_bins=80,
    channels=512,
    f0_channels=512,
    num_harmonics=8,
    rate_hz=24_000,
    sine_amplitude=0.1,
    noise_std=0.003,
    voiced_hz=10.0,
    upsample_rates=(8, 5, 3),
    upsample_kernels=(16, 11, 7),
    n_fft=16,
    hop=4,
    block_kernels=(3, 7, 11),
    block_dilations=((1, 3, 5),) * 3,
    source_kernels=(7, 7, 11),
    source_dilations=((1, 3, 5),) * 3,
)
_TINY_FLOW: Final = FlowConfig(
    vocab_size=6561,
    speaker_size=192,
    mel_bins=80,
    encoder=EncoderConfig(32, 32, attention_heads=2, linear_units=64, num_blocks=1, num_up_blocks=1),
    estimator=EstimatorConfig(320, 80, 32, head_dim=16, num_heads=2, num_blocks=1, num_mid_blocks=1),
)
_TINY_HIFT: Final = replace(
    PUBLISHED_HIFT, channels=32, f0_channels=16, block_kernels=(3,), block_dilations=((1,),), source_kernels=(3, 3, 3),
    source_dilations=((1,),) * 3,
)  # fmt: skip
_TEXT_IDS: Final = 151_672
_CODES_PER_ROW, _CODEBOOK_SIZE = 4, 6563
_ADAPTER_LAYERS: Final = 6
_TILE: Final = 1 << 20
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Published:
    """One configuration. ``base``: the model whose sizes are presumed; ``head_dim`` 128 but for the tiny one."""

    base: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    head_dim: int = 128
    text_ids: int = _TEXT_IDS
    adapter_layers: int = _ADAPTER_LAYERS

    def mouth(self, num_layers: int | None = None) -> MouthConfig:
        """The mouth's config; ``num_layers`` keeps only so many layers of the backbone, for a quick look."""
        vocab_size = self.text_ids + _CODES_PER_ROW * _CODEBOOK_SIZE

        def part(layers: int) -> Qwen3Config:
            return Qwen3Config(
                vocab_size=vocab_size,
                hidden_size=self.width,
                intermediate_size=self.intermediate,
                num_hidden_layers=layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.kv_heads,
                head_dim=self.head_dim,
                rope_theta=1e6,
                rms_norm_eps=1e-6,
                max_position_embeddings=32_768,
                tie_word_embeddings=True,
            )

        return MouthConfig(backbone=part(num_layers or self.layers), adapter=part(self.adapter_layers))

    def vocabulary(self) -> SpeechVocabulary:
        """Ids of such a mouth. No text id ends a sentence or is blank: texts are only numbers here."""
        return SpeechVocabulary(
            text_size=self.text_ids,
            codebook_size=_CODEBOOK_SIZE,
            codes_per_row=_CODES_PER_ROW,
            text_pad=0,
            text_eos=1,
            refer_pad=0,
            silence_code=PUBLISHED_SILENCE_CODE,
            blank_codes=PUBLISHED_BLANK_CODES,
            ends_sentence=bytes(self.text_ids),
            is_blank_text=bytes(self.text_ids),
        )


CONFIGS: Final = {
    "2b": Published("Qwen3-1.7B", 2048, 28, 16, 8, 6144),
    "0.6b": Published("Qwen3-0.6B", 1024, 28, 16, 8, 3072),
    "4b": Published("Qwen3-4B", 2560, 36, 32, 8, 9728),
    "tiny": Published("nothing published", 64, 2, 4, 2, 128, head_dim=16, text_ids=1000, adapter_layers=1),
}


def published(name: str) -> Published:
    """Raises `UsageError` for a name that is none of ``CONFIGS``."""
    if name not in CONFIGS:
        raise UsageError(f"no configuration is called {name!r}", hint=f"choose one of {', '.join(CONFIGS)}")
    return CONFIGS[name]


def random_mouth(
    config: MouthConfig, *, dtype: torch.dtype, device: torch.device | str = "cpu", layout: Layout | None = None
) -> SpeechLM:
    """A network of this size with small random weights, laid out as a loaded one would be."""
    with torch.device("meta"):
        model = SpeechLM(config).to(dtype)
    model = _filled(model, device)
    model.lay_out(layout or usual_layout(dtype, device))
    return model


def random_codec(
    *, is_tiny: bool = False, flow_dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Detokenizer:
    """Flow and vocoder of published size (or tiny ones) with torch's usual random weights, laid out as loaded ones."""
    flow = Flow(_TINY_FLOW if is_tiny else PUBLISHED_FLOW).to(device, flow_dtype).eval().requires_grad_(False)
    hift = Hift(_TINY_HIFT if is_tiny else PUBLISHED_HIFT).to(device).eval().requires_grad_(False)
    pack_flow(flow)
    return Detokenizer(flow, hift)


def _filled(network: _Network, device: torch.device | str) -> _Network:
    """Memory for a network on the meta device, filled from one block of noise: gigabytes in a second."""
    network = network.to_empty(device=device)
    noise = torch.randn(_TILE, generator=torch.Generator().manual_seed(0)).mul_(0.02).to(device)
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
                continue
            for piece in torch.split(parameter.view(-1), _TILE):
                piece.copy_(noise[: len(piece)])
    return network.eval().requires_grad_(False)
