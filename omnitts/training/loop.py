"""The training loop every stage runs in: restartable, seeded, with losses written down as they come.

A `Stage` (networks and a loss per batch) goes in; its trained weights come out. All chance of a step is drawn after
seeding with (seed, step), so a run that was stopped and started again makes the very steps of one that was not, and so
does one whose batches are prepared ahead (`preparing`). A checkpoint is written aside and renamed; a kill at any moment
costs at most ``save_every`` steps. A GPU is never waited for within a step: losses are read one step late.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from omnitts.errors import InputError
from omnitts.models.linear_layout import multiplies_fast
from omnitts.training.checkpoint import CHECKPOINT, START, load_checkpoint, load_state, save_checkpoint
from omnitts.training.curves import CURVES, draw_curves
from omnitts.training.losses_file import LOSSES, append_losses, forget_after
from omnitts.training.preparing import Batch as Batch
from omnitts.training.preparing import Prepared, Preparing, jobs_from, prepare_here, prepared_ahead, seed_of
from omnitts.training.recipe import Plan

logger = logging.getLogger(__name__)

_SAY_EVERY_S: Final = 30.0

Losses = dict[str, Tensor]


class Stage(Protocol):
    """What a stage gives the loop.

    ``networks`` hold everything that learns; each of their children is clipped by itself. ``batches(epoch)`` lists the
    batches of one pass (of indices only the stage understands), the same list whenever asked. ``losses`` of a batch (or
    of what `preparing.Preparing` made of it) has one entry called ``loss`` that is minimised; the others are written
    down. ``facts`` describe the stage's sizes: a checkpoint of other facts is refused.
    """

    name: str
    networks: nn.Module
    facts: dict[str, Any]

    def batches(self, epoch: int) -> list[Batch]: ...

    def validation(self) -> list[Batch]: ...

    def losses(self, batch: Any, step: int) -> Losses: ...


def train(
    stage: Stage,
    plan: Plan,
    folder: Path,
    seed: int,
    *,
    device: str = "cpu",
    steps: int | None = None,
    workers: int = 0,
) -> None:
    """Trains to ``plan.steps``, from the folder's checkpoint if there is one. ``steps``: stop this run at that step.

    ``workers``: processes that prepare batches ahead, where the stage is `Preparing`; the numbers are the same. On
    return ``stage.networks`` holds the averaged weights, in eval mode. Raises `InputError` for a checkpoint of another
    recipe.
    """
    stop = min(plan.steps, steps if steps is not None else plan.steps)
    on_gpu = device.startswith("cuda")
    with torch.random.fork_rng(devices=[device] if on_gpu else []), _short_products(plan.bf16 and on_gpu):
        trainer = _Trainer(stage, plan, folder, seed, device)
        trainer.run(stop, workers)
    stage.networks.load_state_dict(trainer.exported())
    stage.networks.eval()


@contextmanager
def _short_products(wanted: bool) -> Iterator[None]:
    """Within: float32 products that autocast leaves alone may be made of TF32."""
    before = torch.get_float32_matmul_precision()
    if wanted:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class _Late:
    """Losses of the step after which ``step`` are done, on their way from the device."""

    step: int
    names: tuple[str, ...]
    values: Tensor
    ready: torch.cuda.Event | None

    @classmethod
    def of(cls, losses: Losses, step: int, device: str) -> _Late:
        values = torch.stack([value.detach().reshape(()).to(device, torch.float32) for value in losses.values()])
        if values.device.type != "cuda":
            return cls(step, tuple(losses), values, None)
        copy = torch.empty(values.shape, pin_memory=True)
        copy.copy_(values, non_blocking=True)
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()
        return cls(step, tuple(losses), copy, ready)

    def read(self) -> dict[str, float]:
        if self.ready is not None:
            self.ready.synchronize()
        return dict(zip(self.names, self.values.tolist(), strict=True))


class _Trainer:
    def __init__(self, stage: Stage, plan: Plan, folder: Path, seed: int, device: str) -> None:
        self.stage, self.plan, self.folder, self.seed, self.device = stage, plan, folder, seed, device
        folder.mkdir(parents=True, exist_ok=True)
        stage.networks.to(device)
        self.parameters = [p for p in stage.networks.parameters() if p.requires_grad]
        decayed = [p for p in self.parameters if p.dim() > 1]
        plain = [p for p in self.parameters if p.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=plan.learning_rate, betas=(0.9, 0.98), fused=True
        )
        weights = stage.networks.state_dict() if plan.average else {}
        self.average = {name: value.detach().clone() for name, value in weights.items()}
        self.step = 0
        self.epoch, self.epoch_start = 0, 0  # which pass over the data, and the step it began at
        self._restore()
        self._late: _Late | None = None
        self._held_back: list[Any] | None = None  # prepared when they are first wanted
        now = stage.networks.state_dict() if plan.average else {}
        pairs = [(self.average[name], value) for name, value in now.items()]
        self._learnt = [(mean, value) for mean, value in pairs if value.is_floating_point()]
        self._counted = [(mean, value) for mean, value in pairs if not value.is_floating_point()]

    def run(self, stop: int, workers: int) -> None:
        if self.step >= stop:
            logger.info("%s: all %d steps are done", self.stage.name, self.step)
            return
        self.stage.networks.train()
        with closing(self._prepared(stop, workers)) as remaining:
            self._steps(remaining, stop)

    def _steps(self, remaining: Iterator[Prepared], stop: int) -> None:
        started_s = said_s = time.monotonic()
        first_step = self.step
        losses: dict[str, float] = {}
        for prepared in remaining:
            self.epoch, self.epoch_start = prepared.job.epoch, prepared.job.epoch_start
            torch.manual_seed(seed_of(self.seed, self.step))
            before, self._late = self._late, self._learn(prepared.batch)
            losses = self._settle(before) or losses
            self.step += 1
            is_last = self.step == stop
            validates, saves = (self.step % every == 0 for every in (self.plan.validate_every, self.plan.save_every))
            if validates or saves or is_last:  # not before what was learnt last is known to be sound
                losses = self._settle(self._late) or losses
                self._late = None
            now_s = time.monotonic()
            if now_s - said_s > _SAY_EVERY_S or is_last:
                said_s = now_s
                done = self.step - first_step
                left_s = (now_s - started_s) / done * (stop - self.step)
                shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
                rate = (now_s - started_s) / done
                text = "%s: step %d of %d, epoch %d: %s; %.2f s a step, %.0f min left"
                logger.info(text, self.stage.name, self.step, stop, self.epoch, shown, rate, left_s / 60)
            if validates or is_last:
                self._validate()
            if saves or is_last:
                self._save()

    def exported(self) -> dict[str, Tensor]:
        return self.average if self.plan.average else dict(self.stage.networks.state_dict())

    def _prepared(self, stop: int, workers: int) -> Generator[Prepared, None, None]:
        """What is learnt from in the steps that remain."""
        ask = self._batches_of
        if workers and isinstance(self.stage, Preparing):
            at = self.epoch, self.epoch_start, self.step
            return prepared_ahead(self.stage, ask, at, stop, self.seed, workers, pin=self.device.startswith("cuda"))
        jobs = jobs_from(ask, self.epoch, self.epoch_start, self.step, stop)
        return (Prepared(job, prepare_here(self.stage, job.batch, job.step, self.seed)) for job in jobs)

    def _batches_of(self, epoch: int) -> list[Batch]:
        batches = self.stage.batches(epoch)
        if not batches:
            raise InputError(f"there is nothing to train the {self.stage.name} on", where=str(self.folder))
        return batches

    def _learn(self, batch: Any) -> _Late:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * rate_at(self.step, self.plan)
        self.optimiser.zero_grad(set_to_none=True)
        with self._precision():
            losses = self.stage.losses(batch, self.step)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        late = _Late.of(losses, self.step + 1, self.device)
        for part in self.stage.networks.children():
            nn.utils.clip_grad_norm_(part.parameters(), self.plan.clip_norm)
        self.optimiser.step()
        self._update_average()
        return late

    def _settle(self, late: _Late | None) -> dict[str, float]:
        """Writes down the losses of a step; raises `InputError` if they are none. Empty when there is no such step."""
        if late is None:
            return {}
        losses = late.read()
        if not math.isfinite(losses["loss"]):
            raise InputError(
                f"the loss became {losses['loss']} at step {late.step - 1}",
                where=str(self.folder),
                hint="lower plan.learning_rate in the recipe and start the stage again",
            )
        rounded = {name: round(value, 6) for name, value in losses.items()}
        append_losses(self.folder / LOSSES, {"step": late.step, **rounded})
        return losses

    def _precision(self) -> torch.autocast:
        enabled = self.plan.bf16 and multiplies_fast(torch.bfloat16, self.device)
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=enabled)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Running average, with a shorter memory at the beginning."""
        if self._learnt:
            decay = min(self.plan.average, (1 + self.step) / (10 + self.step))
            means, values = ([pair[side] for pair in self._learnt] for side in (0, 1))
            torch._foreach_lerp_(means, values, 1 - decay)
        for mean, value in self._counted:
            mean.copy_(value)

    @torch.no_grad()
    def _validate(self) -> None:
        """Losses of what is held back, if anything is; then all curves anew."""
        self.stage.networks.eval()
        if self._held_back is None:
            held_back = enumerate(self.stage.validation())
            self._held_back = [prepare_here(self.stage, batch, -1 - i, self.seed) for i, batch in held_back]
        batches = self._held_back
        sums: dict[str, float] = {}
        for number, batch in enumerate(batches):
            torch.manual_seed(seed_of(self.seed, -1 - number))
            with self._precision():
                losses = self.stage.losses(batch, self.step)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(batches)
        self.stage.networks.train()
        if sums:
            values = {f"valid {name}": value for name, value in sums.items()}
            append_losses(self.folder / LOSSES, {"step": self.step, **values})
            shown = ", ".join(f"{name} {value:.4f}" for name, value in sums.items())
            logger.info("%s: step %d, held back: %s", self.stage.name, self.step, shown)
        draw_curves(self.folder / LOSSES, self.folder / CURVES, self.stage.name)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "epoch": self.epoch,
            "epoch_start": self.epoch_start,
            "seed": self.seed,
            "facts": json.dumps(self.stage.facts, sort_keys=True),
            "networks": self.stage.networks.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        save_checkpoint(state, self.folder)

    def _begin(self) -> None:
        """Takes the weights of START where there is one; what it does not have (discriminators) stays fresh."""
        path = self.folder / START
        if not path.is_file():
            return
        fresh = self.stage.networks.state_dict()
        try:
            self.stage.networks.load_state_dict({**fresh, **load_state(path)})
        except RuntimeError as error:
            hint = "use the recipe.json of that model: `omnitts train corpus --recipe MODEL/training/recipe.json`"
            raise InputError("the weights to begin with are of other sizes", where=str(path), hint=hint) from error
        for name, value in self.stage.networks.state_dict().items():
            if name in self.average:
                self.average[name].copy_(value)
        logger.info("%s: begins with the weights of a model", self.stage.name)

    def _restore(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            (self.folder / LOSSES).unlink(missing_ok=True)
            self._begin()
            return
        state = load_checkpoint(path)
        if state["facts"] != json.dumps(self.stage.facts, sort_keys=True) or state["seed"] != self.seed:
            hint = f"delete {self.folder} to start this stage again"
            raise InputError("the checkpoint was made with another recipe, corpus or seed", where=str(path), hint=hint)
        self.stage.networks.load_state_dict(state["networks"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.epoch, self.epoch_start = (int(state[name]) for name in ("step", "epoch", "epoch_start"))
        forget_after(self.folder / LOSSES, self.step)
        logger.info("%s: goes on at step %d", self.stage.name, self.step)


def rate_at(step: int, plan: Plan) -> float:
    """Share of the learning rate at a step: linear warm-up, then half a cosine down to 2 %."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
