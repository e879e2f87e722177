"""Layers over devices: how they are shared out, and that activations follow them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.loading import LoadedBrain, build_brain
from omnitts.models.mgm_omni.brain.placement import Placement, carry_activations, on_one_device, plan_placement
from tests.models.mgm_omni.brain.published import BRAIN_32B

FIRST, SECOND, THIRD = (torch.device("cuda", i) for i in range(3))
GB = 10**9


def sizes(num_layers: int, layer: int, home: int = 0, head: int = 0) -> dict[str, int]:
    layers = {f"text_model.layers.{i}.mlp.up_proj.weight": layer for i in range(num_layers)}
    return {"text_model.embed_tokens.weight": home, **layers, "lm_head.weight": head}


def test_equal_devices_share_equally_and_in_order() -> None:
    plan = plan_placement(sizes(8, GB), 8, {FIRST: 10 * GB, SECOND: 10 * GB})
    assert plan.layers == (FIRST,) * 4 + (SECOND,) * 4
    assert (plan.home, plan.head) == (FIRST, SECOND)


def test_what_lies_on_the_first_and_last_device_counts() -> None:
    plan = plan_placement(sizes(8, GB, home=4 * GB), 8, {FIRST: 10 * GB, SECOND: 10 * GB})
    assert plan.layers.count(FIRST) == 2
    assert plan_placement(sizes(8, GB, head=4 * GB), 8, {FIRST: 10 * GB, SECOND: 10 * GB}).layers.count(FIRST) == 6


def test_a_32b_in_half_precision_fits_on_four_of_24_gb_and_not_on_three() -> None:
    state = build_brain(BrainConfig.from_dict(BRAIN_32B)).state_dict()
    bytes_of = {name: 2 * tensor.numel() for name, tensor in state.items()}
    devices = [torch.device("cuda", i) for i in range(4)]
    plan = plan_placement(bytes_of, 64, dict.fromkeys(devices, 24 * GB))
    assert sorted(set(map(str, plan.layers))) == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    used = dict.fromkeys(devices, 0)
    for name, size in bytes_of.items():
        used[plan.device_of(name)] += size
    assert max(used.values()) < 0.9 * 24 * GB
    with pytest.raises(ModelError, match=r"needs 69.5 GB and 64.8 GB are free on 3 device"):
        plan_placement(bytes_of, 64, dict.fromkeys(devices[:3], 24 * GB))


def test_each_tensor_knows_its_device() -> None:
    plan = Placement(FIRST, (FIRST, SECOND), THIRD)
    places = {
        "text_model.embed_tokens.weight": FIRST,
        "vision_tower.blocks.1.norm1.weight": FIRST,
        "audio_towers.speech_tower.layers.1.fc1.weight": FIRST,
        "text_model.layers.1.mlp.up_proj.weight": SECOND,
        "text_model.norm.weight": THIRD,
        "lm_head.weight": THIRD,
    }
    assert {name: plan.device_of(name) for name in places} == places
    assert plan.is_split
    assert not on_one_device("cpu", 3).is_split


def test_layers_fetch_their_inputs_onto_their_own_device() -> None:
    """On the meta device a layer can be elsewhere than its inputs without any GPU."""

    class Layer(nn.Module):
        def forward(self, hidden: torch.Tensor, position_embeddings: Any, past_key_values: Any) -> torch.Tensor:
            assert hidden.device == position_embeddings[0].device == position_embeddings[1].device
            assert past_key_values == "cache"
            return hidden

    layers, norm = [Layer(), Layer()], nn.Identity()
    cpu, meta = torch.device("cpu"), torch.device("meta")
    carry_activations(layers, norm, Placement(cpu, (cpu, meta), meta))
    hidden, rotary = torch.zeros(1, 2), (torch.zeros(1), torch.zeros(1))
    for layer, device in zip(layers, (cpu, meta), strict=True):
        hidden = layer(hidden, position_embeddings=rotary, past_key_values="cache")
        assert hidden.device == device
    assert norm(torch.zeros(1)).device == meta


def test_the_hooks_change_no_number(tiny_brain: LoadedBrain) -> None:
    network = tiny_brain.network
    prompt = network.embed([5, 6, 7])
    plain, _ = network.prefill([prompt])
    layers = [*network.text_model.layers]
    placement = on_one_device("cpu", len(layers))
    carry_activations(layers, network.text_model.norm, placement)
    try:
        hooked, _ = network.prefill([prompt])
    finally:
        for module in (*layers, network.text_model.norm):
            module._forward_pre_hooks.clear()
            module._forward_pre_hooks_with_kwargs.clear()
    assert torch.equal(plain, hooked)
