"""Preparing ahead: the same numbers with any number of workers, over epochs and a restart; failures are told."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import EngineError, InputError
from omnitts.training.batching import batches_of
from omnitts.training.lm_batch import LmBatch
from omnitts.training.loop import Losses, train
from omnitts.training.losses_file import LOSSES, read_losses
from omnitts.training.preparing import Batch
from omnitts.training.spelling_loss import Stretch, Stretches
from omnitts.training.workers import mapped
from tests.training.test_loop import PLAN, Line, weights

TRAINER = os.getpid()


class PreparedLine(Line):
    """As `Line`, with the points made in advance; both halves draw by chance."""

    fails_at: int | None = None
    dies_at: int | None = None

    def batches(self, epoch: int) -> list[Batch]:
        return list(batches_of(range(23), lambda index: 1.0, 3.0, 0, epoch))

    def prepare(self, batch: Batch, step: int) -> torch.Tensor:
        if step == self.fails_at:
            raise InputError("no point can be made", where="here")
        if step == self.dies_at and os.getpid() != TRAINER:
            os._exit(9)
        return torch.tensor(batch).float()[:, None] / 23 + 0.1 * torch.randn(len(batch), 1)

    def losses(self, x: torch.Tensor, step: int) -> Losses:
        off = (self.networks["line"](x) - 3 * x + 0.1 * torch.randn_like(x)).square().mean()  # type: ignore[index]
        return {"loss": off, "half": off / 2}


def test_workers_change_no_number(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=40)  # five epochs, more than are prepared ahead
    here, ahead, first, second = (PreparedLine() for _ in range(4))
    train(here, plan, tmp_path / "here", 0)
    train(ahead, plan, tmp_path / "ahead", 0, workers=2)
    train(first, plan, tmp_path / "parts", 0, steps=13, workers=1)
    train(second, plan, tmp_path / "parts", 0, workers=2)
    losses = [entry for entry in read_losses(tmp_path / "here" / LOSSES) if "loss" in entry]
    assert [entry["step"] for entry in losses] == list(range(1, 41))
    for name in ("ahead", "parts"):
        assert [entry for entry in read_losses(tmp_path / name / LOSSES) if "loss" in entry] == losses
    assert torch.equal(weights(here), weights(ahead))
    assert torch.equal(weights(here), weights(second))


def test_what_is_prepared_is_drawn_apart_from_the_losses(tmp_path: Path) -> None:
    stage = PreparedLine()
    drawn: list[float] = []
    stage.prepare = lambda batch, step: torch.rand(1)  # type: ignore[assignment, misc]

    def losses(x: torch.Tensor, step: int) -> Losses:
        drawn.extend([float(x), float(torch.rand(1))])
        return {"loss": sum(p.sum() for p in stage.networks.parameters()) * 0.0}  # type: ignore[dict-item]

    stage.losses = losses  # type: ignore[method-assign]
    train(stage, PLAN, tmp_path, 0)
    held_back = 2 * 2  # at steps 10 and 20
    assert len(drawn) == 2 * 20 + held_back
    assert len(set(drawn)) == 2 * 20 + 2  # what is held back is drawn alike each time


def test_a_failure_in_a_worker_is_the_projects_own(tmp_path: Path) -> None:
    stage = PreparedLine()
    stage.fails_at = 7
    with pytest.raises(InputError, match="here: no point can be made"):
        train(stage, PLAN, tmp_path, 0, workers=2)
    assert [entry["step"] for entry in read_losses(tmp_path / LOSSES)][-1] <= 7


def test_a_worker_that_is_gone_is_told(tmp_path: Path) -> None:
    stage = PreparedLine()
    stage.dies_at = 7
    with pytest.raises(EngineError, match="a worker process ended unexpectedly"):
        train(stage, PLAN, tmp_path, 0, workers=1)


def test_no_checkpoint_is_kept_of_a_loss_that_is_none(tmp_path: Path) -> None:
    stage = PreparedLine()
    learn = stage.losses
    stage.losses = lambda x, step: {"loss": learn(x, step)["loss"] * (float("nan") if step == 9 else 1.0)}  # type: ignore[method-assign]
    with pytest.raises(InputError, match="became nan at step 9"):
        train(stage, PLAN, tmp_path, 0)
    kept = PreparedLine()
    train(kept, replace(PLAN, average=0.0), tmp_path, 0, steps=5)
    assert torch.isfinite(weights(kept)).all()


def test_a_batch_of_the_speech_lm_comes_out_as_it_went_in() -> None:
    found = Stretches.of([Stretch(torch.tensor([3, 4]), (7,)), Stretch(torch.tensor([5]), (8, 9))])
    parts = {name: torch.arange(4) + place for place, name in enumerate(("learnt", "own", "told_now", "told_next"))}
    shaped = {"inputs": torch.arange(30).view(2, 3, 5), "wanted": torch.ones(4, 4).long(), "said": -torch.ones(2, 4)}
    batch = pickle.loads(pickle.dumps(LmBatch.of(found, **parts, **shaped)))
    given = batch.on("cpu")
    for name, tensor in {**parts, **shaped}.items():
        assert torch.equal(getattr(given, name), tensor.long())
    spoken = batch.spoken(given)
    assert spoken.rows.tolist() == [[3, 4], [5, 0]]
    assert spoken.labels.tolist() == [7, 8, 9]
    assert (spoken.num_rows, spoken.num_labels) == ((2, 1), (1, 2))


def test_what_workers_find_is_in_order() -> None:
    table = np.arange(100) ** 2
    assert mapped(lambda place: int(table[place]), 100, 2) == table.tolist() == mapped(lambda p: int(table[p]), 100, 0)

    def fails(place: int) -> int:
        raise InputError("cannot be read", where=str(place))

    with pytest.raises(InputError, match="cannot be read"):
        mapped(fails, 100, 2)
    with pytest.raises(EngineError, match="a worker process ended unexpectedly"):
        mapped(lambda place: os._exit(9), 100, 2)
