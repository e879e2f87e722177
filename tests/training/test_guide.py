"""The guide: it measures where a head looks, teaches the model's own weights, and adds nothing to the model."""

from __future__ import annotations

import math

import pytest
import torch

from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.qwen3 import StepContext
from omnitts.training.guide import Guide, told_places
from omnitts.training.lm_pass import row_states
from omnitts.training.rows import UNKNOWN
from omnitts.training.run_folder import RunFolder
from omnitts.training.speech_lm import new_model, open_language


@pytest.fixture
def model(toy_run: RunFolder) -> SpeechLM:
    _, config, *_ = open_language(toy_run)
    return new_model(config, 0).train()


def rows_of(text: list[int], codes: int = 5) -> torch.Tensor:
    return torch.tensor([[[token, codes, codes, codes, codes] for token in text]])


def test_an_even_look_is_worth_its_share(model: SpeechLM) -> None:
    """With zero queries each row looks evenly at all before it: one match among five rows is a fifth."""
    guide = Guide(model)
    rows = rows_of([40, 41, 42, 40, 43])
    torch.nn.init.zeros_(model.model.layers[0].self_attn.q_proj.weight)
    row_states(model, rows)
    context = StepContext.plan(model.config.backbone, torch.arange(5)[None], 5, torch.float32)
    last = torch.tensor([[UNKNOWN] * 4 + [42]])
    assert float(guide._now.off(last, rows[..., 0], context)) == pytest.approx(math.log(5), abs=1e-4)
    twice = torch.tensor([[UNKNOWN] * 4 + [40]])  # given twice: either will do
    assert float(guide._now.off(twice, rows[..., 0], context)) == pytest.approx(math.log(5 / 2), abs=1e-4)
    never = torch.tensor([[UNKNOWN] * 4 + [99]])
    assert float(guide._now.off(never, rows[..., 0], context)) == 0


def test_no_row_looks_ahead(model: SpeechLM) -> None:
    guide = Guide(model)
    rows = rows_of([40, 41, 42])
    row_states(model, rows)
    context = StepContext.plan(model.config.backbone, torch.arange(3)[None], 3, torch.float32)
    assert float(guide._now.off(torch.tensor([[42, UNKNOWN, UNKNOWN]]), rows[..., 0], context)) == 0


def test_what_it_teaches_are_the_models_own_weights(model: SpeechLM) -> None:
    names = set(model.state_dict())
    guide = Guide(model)
    assert set(model.state_dict()) == names
    rows = rows_of([40, 41, 42, 43, 44, 45])
    said = torch.tensor([[UNKNOWN, UNKNOWN, 40, 40, 41, 42, 43]])
    states = row_states(model, rows)
    first = guide.loss(states.backbone, rows, said, told_places(said))
    first.backward()
    attention = model.model.layers[0].self_attn
    for weight in (attention.q_proj.weight, attention.k_proj.weight, model.model.embed_tokens.weight):
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        loss = guide.loss(row_states(model, rows).backbone, rows, said, told_places(said))
        loss.backward()
        optimiser.step()
    assert float(loss) < 0.5 * float(first)
