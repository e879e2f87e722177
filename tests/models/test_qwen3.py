"""Our Qwen3 decoder against transformers' Qwen3Model on the same weights, and its config against surprises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Qwen3Config as TheirConfig
from transformers import Qwen3Model as TheirModel

from omnitts.errors import ModelError
from omnitts.models.kv_cache import KVCache
from omnitts.models.qwen3 import Qwen3Config, Qwen3Model, StepContext

FIELDS: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 512,
}


def cache_for(config: Qwen3Config, num_rows: int, max_length: int) -> KVCache:
    return KVCache.allocate(
        [config.num_key_value_heads] * config.num_hidden_layers,
        num_rows=num_rows,
        max_length=max_length,
        head_dim=config.head_dim,
        dtype=torch.float32,
        device="cpu",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 6},
        {"num_key_value_heads": 1, "head_dim": 32, "rope_theta": 10000.0},
        {"attention_bias": True, "rms_norm_eps": 1e-3},
    ],
)
@torch.inference_mode()
def test_hidden_states_are_those_of_transformers(changes: dict[str, Any]) -> None:
    """Right-padded rows of several lengths, prefilled together and continued by one step."""
    fields = FIELDS | changes
    torch.manual_seed(0)
    theirs = TheirModel(TheirConfig(**fields, attn_implementation="eager")).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    config = Qwen3Config.from_dict(fields)
    ours = Qwen3Model(config).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)

    lengths = torch.tensor([9, 3, 14])
    tokens = torch.randint(0, 200, (3, 15))
    cache = cache_for(config, 3, 20)
    plan = StepContext.plan(config, cache.next_positions(14, lengths), 14, torch.float32)
    first = ours(ours.embed_tokens(tokens[:, :14]), cache, plan)
    cache.advance(lengths)
    next_tokens = tokens[torch.arange(3), lengths]
    plan = StepContext.plan(config, cache.next_positions(1), 20, torch.float32)
    second = ours(ours.embed_tokens(next_tokens[:, None]), cache, plan)
    for i, length in enumerate(lengths.tolist()):
        want = theirs(tokens[i : i + 1, : length + 1]).last_hidden_state[0]
        assert torch.allclose(first[i, :length], want[:length], atol=2e-5)
        assert torch.allclose(second[i, 0], want[length], atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling is 'yarn'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}}, "rope_parameters is 'llama3'"),
        ({"num_key_value_heads": 4}, "not a multiple"),
    ],
)
def test_an_unknown_or_missing_value_is_answered_by_name(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        Qwen3Config.from_dict(FIELDS | changes, where="folder/config.json")


def test_both_spellings_of_rope_are_read() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "rope_theta"}
    newer = fields | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    assert Qwen3Config.from_dict(newer).rope_theta == 5e5
    assert Qwen3Config.from_dict(FIELDS | {"rope_scaling": {"rope_type": "default"}}).rope_theta == 1e6
