"""Full size on the meta device: names, shapes and counts of the published brains, and what memory they take."""

from __future__ import annotations

import math
import re
from collections import Counter

import torch

from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.footprint import expected_tensors, footprint
from tests.models.mgm_omni.brain.published import BRAIN_7B, BRAIN_32B

# published totals: Qwen2.5-VL-7B-Instruct holds 8 292 166 656 parameters, of which Qwen2.5-7B has 7 615 616 512
TEXT_7B = 7_615_616_512
VISION_7B = 676_550_144
WHISPER_LARGE_ENCODER = 636_968_960  # openai/whisper-large-v3's encoder, positions included


def test_every_name_of_the_7b_is_one_of_the_published_patterns() -> None:
    names = expected_tensors(BrainConfig.from_dict(BRAIN_7B))
    counts = Counter(re.sub(r"\.\d+\.", ".N.", name, count=1) for name in names)
    text = {name: count for name, count in counts.items() if name.startswith("model.layers.N.")}
    assert text == {
        f"model.layers.N.{name}": 28
        for name in (
            "input_layernorm.weight", "post_attention_layernorm.weight",
            "self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.weight", "self_attn.k_proj.bias",
            "self_attn.v_proj.weight", "self_attn.v_proj.bias", "self_attn.o_proj.weight",
            "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight",
        )
    }  # fmt: skip
    assert {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"} <= names.keys()
    vision = [name for name in names if name.startswith("model.vision_tower.vision_tower.")]
    main = [name for name in names if name.startswith("model.speech_tower.speech_tower.")]
    aux = [name for name in names if name.startswith("model.speech_tower.speech_tower_aux.")]
    projector = sorted(name for name in names if name.startswith("model.mm_speech_projector."))
    assert (len(vision), len(main), len(aux)) == (32 * 12 + 6, 32 * 15 + 7, 32 * 15 + 7)
    assert len(projector) == 3 * 4 + 4
    assert len(names) == 28 * 12 + 3 + len(vision) + len(main) + len(aux) + len(projector)


def test_shapes_and_parameter_totals_of_the_7b() -> None:
    shapes = expected_tensors(BrainConfig.from_dict(BRAIN_7B))
    assert shapes["model.layers.27.self_attn.k_proj.weight"] == (512, 3584)
    assert shapes["model.layers.0.mlp.down_proj.weight"] == (3584, 18944)
    assert shapes["lm_head.weight"] == (152064, 3584)
    assert shapes["model.vision_tower.vision_tower.patch_embed.proj.weight"] == (1280, 3, 2, 14, 14)
    assert shapes["model.vision_tower.vision_tower.merger.mlp.2.weight"] == (3584, 5120)
    assert shapes["model.speech_tower.speech_tower_aux.layers.31.fc1.weight"] == (5120, 1280)
    assert shapes["model.mm_speech_projector.linear1.weight"] == (2048, 1280 * 5)
    assert shapes["model.mm_speech_projector.linear2.weight"] == (3584, 2048)

    def total(start: str) -> int:
        return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(start))

    towers = total("model.vision_tower.") + total("model.speech_tower.") + total("model.mm_speech_projector.")
    assert total("") - towers == TEXT_7B
    assert total("model.vision_tower.") == VISION_7B
    assert total("model.speech_tower.speech_tower_aux.") == WHISPER_LARGE_ENCODER
    assert total("model.speech_tower.speech_tower.") == WHISPER_LARGE_ENCODER


def test_memory_of_the_7b_in_each_precision() -> None:
    config = BrainConfig.from_dict(BRAIN_7B)
    half, full = footprint(config), footprint(config, dtype=torch.float32)
    assert full.total() == 2 * half.total()
    assert 19.1e9 < half.total() < 19.2e9
    assert half.cache_per_token == 2 * 28 * 4 * 128 * 2
    eight, four = footprint(config, quantisation="8bit"), footprint(config, quantisation="4bit")
    assert half.total() > eight.total() > four.total()
    assert four.towers == half.towers
    assert 12.5e9 < eight.total() < 12.7e9
    assert half.total(num_tokens=10_000) - half.total() == 10_000 * half.cache_per_token


def test_memory_of_the_32b() -> None:
    config = BrainConfig.from_dict(BRAIN_32B)
    assert 69e9 < footprint(config).total() < 70e9
    assert footprint(config, quantisation="4bit").total() < 24e9
