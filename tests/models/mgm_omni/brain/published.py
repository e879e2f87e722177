"""config.json as the published MGM-Omni-7B and -32B would have it: the sizes of their public parts.

Text model and vision tower are Qwen2.5-VL's, the audio towers have whisper-large-v3's sizes.
"""

from __future__ import annotations

from typing import Any

VISION: dict[str, Any] = {
    "depth": 32,
    "hidden_act": "silu",
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "in_chans": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "spatial_patch_size": 14,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
    "temporal_patch_size": 2,
}
AUDIO: dict[str, Any] = {
    "num_mel_bins": 128,
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "max_source_positions": 1500,
}
COMMON: dict[str, Any] = {
    "model_type": "MGMOmni",
    "vocab_size": 152064,
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "eos_token_id": 151645,
    "mm_vision_tower": "Qwen2.5-VL-7B-Instruct",
    "mm_projector_type": "identity",
    "unfreeze_mm_vision_tower": True,
    "unfreeze_mm_speech_tower": True,
    "mm_speech_tower": "Dual-Qwen2a-encoder",
    "speech_tower_aux": "Belle-whisper-large-v3-zh",
    "mm_speech_projector_type": "dual_mlp",
    "speech_encoder_ds_rate": 5,
    "speech_encoder_hidden_size": 2560,
    "speech_norm": False,
    "audio_encoder": AUDIO,
    "whisper_aux": AUDIO,
}
BRAIN_7B: dict[str, Any] = {
    **COMMON,
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vision_config": {**VISION, "out_hidden_size": 3584},
}
BRAIN_32B: dict[str, Any] = {
    **COMMON,
    "hidden_size": 5120,
    "num_hidden_layers": 64,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "intermediate_size": 27648,
    "vision_config": {**VISION, "out_hidden_size": 5120, "intermediate_size": 3456},
}
