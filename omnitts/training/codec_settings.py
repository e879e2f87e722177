"""The settings file of a codec, cosyvoice2.yaml, from a recipe: one dict both the networks and the file are made of."""

from __future__ import annotations

from typing import Any

import yaml

from omnitts.models.codec.config import FlowConfig, HiftConfig, flow_config, hift_config
from omnitts.training.recipe import FlowRecipe, VocoderRecipe
from omnitts.training.store import WAVE_RATE

_MELS = 80
_WHERE = "recipe"


def flow_settings(recipe: FlowRecipe, num_codes: int, speaker_size: int) -> dict[str, Any]:
    """The ``flow`` entry."""
    return {
        "input_size": recipe.input_size,
        "output_size": _MELS,
        "spk_embed_dim": speaker_size,
        "output_type": "mel",
        "vocab_size": num_codes,
        "token_mel_ratio": 2,
        "pre_lookahead_len": 3,
        **({"adaptation_frames": recipe.adaptation_frames} if recipe.adaptation_frames else {}),
        "encoder": {
            "input_size": recipe.input_size,
            "output_size": recipe.output_size,
            "attention_heads": recipe.attention_heads,
            "linear_units": recipe.linear_units,
            "num_blocks": recipe.num_blocks,
            "num_up_blocks": recipe.num_up_blocks,
            "input_layer": "linear",
            "pos_enc_layer_type": "rel_pos_espnet",
            "selfattention_layer_type": "rel_selfattn",
            "use_cnn_module": False,
            "macaron_style": False,
            "normalize_before": True,
            "static_chunk_size": 25,
        },
        "decoder": {
            "cfm_params": {
                "solver": "euler",
                "t_scheduler": "cosine",
                "training_cfg_rate": recipe.drop_condition,
                "inference_cfg_rate": recipe.guidance,
                "n_timesteps": recipe.num_steps,
                **({"temperature": recipe.temperature} if recipe.temperature != 1 else {}),
            },
            "estimator": {
                "in_channels": 4 * _MELS,
                "out_channels": _MELS,
                "channels": [recipe.channels],
                "attention_head_dim": recipe.head_dim,
                "n_blocks": recipe.n_blocks,
                "num_mid_blocks": recipe.num_mid_blocks,
                "num_heads": recipe.num_heads,
                "act_fn": "gelu",
                "static_chunk_size": 50,
            },
        },
    }


def vocoder_settings(recipe: VocoderRecipe) -> dict[str, Any]:
    """The ``hift`` entry; what the recipe does not say is as published."""
    stages = len(recipe.upsample_rates)
    return {
        "in_channels": _MELS,
        "base_channels": recipe.base_channels,
        "nb_harmonics": recipe.num_harmonics,
        "sampling_rate": WAVE_RATE,
        "nsf_alpha": 0.1,
        "nsf_sigma": 0.003,
        "nsf_voiced_threshold": 10,
        "upsample_rates": list(recipe.upsample_rates),
        "upsample_kernel_sizes": list(recipe.upsample_kernels),
        "istft_params": {"n_fft": 16, "hop_len": 4},
        "resblock_kernel_sizes": list(recipe.block_kernels),
        "resblock_dilation_sizes": [[1, 3, 5] for _ in recipe.block_kernels],
        "source_resblock_kernel_sizes": [7, 7, 11][:stages],
        "source_resblock_dilation_sizes": [[1, 3, 5] for _ in range(stages)],
        "lrelu_slope": 0.1,
        "audio_limit": 0.99,
        "f0_predictor": {"num_class": 1, "in_channels": _MELS, "cond_channels": recipe.f0_channels},
    }


def flow_config_of(recipe: FlowRecipe, num_codes: int, speaker_size: int) -> FlowConfig:
    return flow_config(flow_settings(recipe, num_codes, speaker_size), _WHERE)


def hift_config_of(recipe: VocoderRecipe) -> HiftConfig:
    return hift_config(vocoder_settings(recipe), _WHERE)


def settings_text(flow: dict[str, Any], hift: dict[str, Any]) -> str:
    """cosyvoice2.yaml, without python tags."""
    head = {"sample_rate": WAVE_RATE, "spk_embed_dim": flow["spk_embed_dim"], "token_frame_rate": 25}
    return str(yaml.safe_dump({**head, "token_mel_ratio": 2, "flow": flow, "hift": hift}, sort_keys=False))
