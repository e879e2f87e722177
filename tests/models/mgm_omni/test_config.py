"""The mouth's config.json: what is read, what is refused by name, and the published sizes."""

from __future__ import annotations

from typing import Any

import pytest

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.weights import expected_shapes

# Qwen3-1.7B with MGM-Omni's speech vocabulary (specification 2.1); six adapter layers of the same shape.
PUBLISHED_2B: dict[str, Any] = {
    "model_type": "MGMTTS",
    "vocab_size": 177924,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_theta": 1000000,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 40960,
    "hidden_act": "silu",
    "attention_bias": False,
    "tie_word_embeddings": True,
    "tts_adapter_type": "qwen3",
    "tts_adapter_config": "[6,2048,16_2,6144]",
    "tokenizer_speech_size": 6563,
    "tokenizer_text_size": 151672,
}


def layer_shapes(prefix: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one published layer, spelled out."""
    return {
        f"{prefix}.input_layernorm.weight": (2048,),
        f"{prefix}.post_attention_layernorm.weight": (2048,),
        f"{prefix}.self_attn.q_proj.weight": (2048, 2048),
        f"{prefix}.self_attn.k_proj.weight": (1024, 2048),
        f"{prefix}.self_attn.v_proj.weight": (1024, 2048),
        f"{prefix}.self_attn.o_proj.weight": (2048, 2048),
        f"{prefix}.self_attn.q_norm.weight": (128,),
        f"{prefix}.self_attn.k_norm.weight": (128,),
        f"{prefix}.mlp.gate_proj.weight": (6144, 2048),
        f"{prefix}.mlp.up_proj.weight": (6144, 2048),
        f"{prefix}.mlp.down_proj.weight": (2048, 6144),
    }


@pytest.mark.parametrize("is_tied", [True, False])
def test_the_full_size_has_exactly_the_published_names_and_shapes(is_tied: bool) -> None:
    config = MouthConfig.from_dict(PUBLISHED_2B | {"tie_word_embeddings": is_tied})
    want = {"model.embed_tokens.weight": (177924, 2048), "model.norm.weight": (2048,)}
    for i in range(28):
        want |= layer_shapes(f"model.layers.{i}")
    for i in range(6):
        want |= layer_shapes(f"tts_adapter.layers.{i}")
    if not is_tied:
        want["lm_head.weight"] = (177924, 2048)
    got = expected_shapes(lambda: SpeechLM(config))
    assert got == want
    num_parameters = sum(_product(shape) for shape in got.values())
    assert round(num_parameters / 1e9, 2) == (2.08 if is_tied else 2.44)  # the reference's sizes


def _product(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def test_sizes_are_read() -> None:
    config = MouthConfig.from_dict(PUBLISHED_2B)
    assert config.text_size == 151672
    assert (config.codebook_size, config.codes_per_row) == (6563, 4)
    assert (config.adapter.num_attention_heads, config.adapter.num_key_value_heads) == (16, 8)
    assert config.adapter.head_dim == 128
    assert config.kv_heads_of_layers == [8] * 34


@pytest.mark.parametrize(
    ("text", "heads"), [("[1,2048,8,64]", (8, 8)), ("[1,2048,8_4,64]", (8, 2)), ("[ 1, 2048, 8_8, 64 ]", (8, 1))]
)
def test_adapter_config_with_and_without_groups(text: str, heads: tuple[int, int]) -> None:
    adapter = MouthConfig.from_dict(PUBLISHED_2B | {"tts_adapter_config": text}).adapter
    assert (adapter.num_attention_heads, adapter.num_key_value_heads) == heads
    assert (adapter.num_hidden_layers, adapter.intermediate_size) == (1, 64)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_type": "MGMOmni"}, "model_type is 'MGMOmni'"),
        ({"tts_adapter_type": "linear"}, "tts_adapter_type is 'linear'"),
        ({"tts_adapter_type": None}, "tts_adapter_type is None"),
        ({"tts_adapter_config": "[1,2,3]"}, r"tts_adapter_config '\[1,2,3\]' cannot be read"),
        ({"tts_adapter_config": "[1,64,4,96]"}, "adapter is 64 wide"),
        ({"vocab_size": 26252}, "no room for 4 x 6563"),
    ],
)
def test_what_is_unknown_or_contradicts_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        MouthConfig.from_dict(PUBLISHED_2B | changes, where="x/config.json")
