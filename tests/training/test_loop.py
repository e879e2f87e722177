"""The loop: a stopped run makes the same steps as one that was not, and refuses what it was not made for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from omnitts.errors import InputError
from omnitts.training.batching import balanced, batches_of
from omnitts.training.checkpoint import CHECKPOINT
from omnitts.training.curves import CURVES
from omnitts.training.loop import Batch, Losses, rate_at, train
from omnitts.training.losses_file import LOSSES, read_losses
from omnitts.training.recipe import Plan

PLAN = Plan(20, 4.0, 1e-2, warmup_steps=3, save_every=5, validate_every=10, average=0.9)


class Line:
    """Learns y = 3 x from noisy points, with dropout: as much chance as a real stage."""

    name = "line"

    def __init__(self, size: int = 1) -> None:
        torch.manual_seed(1)
        self.networks: nn.Module = nn.ModuleDict({"line": nn.Sequential(nn.Linear(1, size), nn.Dropout(0.1))})
        self.facts: dict[str, Any] = {"size": size}

    def batches(self, epoch: int) -> list[Batch]:
        return list(batches_of(range(7), lambda index: 1.0, 3.0, 0, epoch))

    def validation(self) -> list[Batch]:
        return [[0, 1]]

    def losses(self, batch: Batch, step: int) -> Losses:
        x = torch.tensor(batch).float()[:, None] / 7 + 0.1 * torch.randn(len(batch), 1)
        off = (self.networks["line"](x) - 3 * x).square().mean()  # type: ignore[index]
        return {"loss": off, "half": off / 2}


def weights(stage: Line) -> torch.Tensor:
    return torch.cat([value.flatten() for value in stage.networks.state_dict().values()])


def test_a_restarted_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    whole, first, second = Line(), Line(), Line()
    train(whole, PLAN, tmp_path / "whole", 0)
    train(first, PLAN, tmp_path / "parts", 0, steps=9)
    train(second, PLAN, tmp_path / "parts", 0)
    assert read_losses(tmp_path / "whole" / LOSSES)[-1]["step"] == 20
    losses = [entry for entry in read_losses(tmp_path / "whole" / LOSSES) if "loss" in entry]
    assert [entry for entry in read_losses(tmp_path / "parts" / LOSSES) if "loss" in entry] == losses
    assert torch.equal(weights(whole), weights(second))


def test_steps_after_the_last_checkpoint_are_made_again(tmp_path: Path) -> None:
    train(Line(), PLAN, tmp_path, 0, steps=5)
    with (tmp_path / LOSSES).open("a") as file:
        file.write('{"step": 6, "loss": 99.0}\n{"step": 7, "lo')  # a kill before the next save
    stage, whole = Line(), Line()
    train(stage, PLAN, tmp_path, 0)
    train(whole, PLAN, tmp_path / "whole", 0)
    assert torch.equal(weights(stage), weights(whole))
    assert all(entry.get("loss", 0) != 99.0 for entry in read_losses(tmp_path / LOSSES))


def test_losses_fall_and_are_drawn(tmp_path: Path) -> None:
    train(Line(), replace(PLAN, steps=200, validate_every=100), tmp_path, 0)
    losses = [entry["loss"] for entry in read_losses(tmp_path / LOSSES) if "loss" in entry]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")


def test_the_global_random_state_is_left_alone(tmp_path: Path) -> None:
    stage = Line()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(stage, PLAN, tmp_path, 0)
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_or_size_is_refused(tmp_path: Path) -> None:
    train(Line(), PLAN, tmp_path, 0, steps=5)
    with pytest.raises(InputError, match="another recipe"):
        train(Line(), PLAN, tmp_path, 1)
    with pytest.raises(InputError, match="another recipe"):
        train(Line(2), PLAN, tmp_path, 0)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        train(Line(), PLAN, tmp_path, 0)


def test_a_checkpoint_of_another_form_is_named(tmp_path: Path) -> None:
    torch.save({"step": 3}, tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="another version"):
        train(Line(), PLAN, tmp_path, 0)


def test_the_rate_rises_and_falls() -> None:
    plan = Plan(100, 1.0, 1.0, warmup_steps=10)
    rates = [rate_at(step, plan) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.03


def test_batches_hold_every_index_once_and_keep_their_size() -> None:
    lengths = [0.5 + (index * 37 % 100) / 20 for index in range(200)]
    batches = batches_of(range(200), lengths.__getitem__, 20.0, 3, 1)
    assert sorted(index for batch in batches for index in batch) == list(range(200))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 20.0 for batch in batches)
    assert batches == batches_of(range(200), lengths.__getitem__, 20.0, 3, 1)
    assert batches != batches_of(range(200), lengths.__getitem__, 20.0, 3, 2)


def test_no_speaker_has_too_large_a_share() -> None:
    speakers = ["many"] * 80 + ["few"] * 10 + ["others"] * 10
    chosen = balanced(range(100), lambda index: 2.0, speakers.__getitem__, 0.5, 0, 0)
    assert [index for index in chosen if index >= 80] == list(range(80, 100))  # nobody else loses anything
    assert 4 <= len([index for index in chosen if index < 80]) <= 18  # ten, give or take
    assert chosen == sorted(chosen) == balanced(range(100), lambda index: 2.0, speakers.__getitem__, 0.5, 0, 0)
    other = balanced(range(100), lambda index: 2.0, speakers.__getitem__, 0.5, 0, 1)
    assert other != chosen
    assert balanced(range(100), lambda index: 2.0, speakers.__getitem__, 0.0, 0, 0) == list(range(100))
    assert balanced(range(80), lambda index: 2.0, speakers.__getitem__, 0.5, 0, 0) == list(range(80))
