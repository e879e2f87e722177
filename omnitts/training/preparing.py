"""Preparing: what a step learns from, made of its batch by the processor alone, here or ahead in worker processes.

Lists of batches per epoch go in; for step after step what the stage made of its batch comes out. All chance is drawn
after seeding with (seed, step), so it does not matter which process prepares a batch, nor when. Knows no networks and
no device: workers are forked and must never touch a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import torch

from omnitts.training.workers import forked, made_ahead

Batch = Sequence[int]
BatchesOf = Callable[[int], list[Batch]]  # of an epoch; never an empty list

_PREPARES: Final = 1_640_531_527  # far from the seed of any step: what is drawn here is not drawn in `losses` again


@runtime_checkable
class Preparing(Protocol):
    """A stage that wants its batches prepared: its ``losses`` are given what ``prepare`` returns.

    It runs in other processes, in the mode (training or not) that the networks had when those began. What it returns is
    pickled; where it has a method ``pin_memory``, that is called before it goes to a GPU.
    """

    def prepare(self, batch: Batch, step: int) -> Any: ...


@dataclass(frozen=True)
class Job:
    """A step, and the batch of which pass over the data, which began at ``epoch_start``, it learns from."""

    epoch: int
    epoch_start: int
    step: int
    batch: Batch


@dataclass(frozen=True)
class Prepared:
    job: Job
    batch: Any


def seed_of(seed: int, step: int) -> int:
    """Of what is drawn in a step; held-back batches have steps below 0."""
    return (seed * 1_000_003 + step * 7919 + 12345) % (1 << 62)


def jobs_from(batches_of: BatchesOf, epoch: int, epoch_start: int, step: int, stop: int) -> Iterator[Job]:
    """The jobs of all steps from ``step`` to before ``stop``, in the epoch that began at ``epoch_start`` and later."""
    while step < stop:
        batches = batches_of(epoch)
        for batch in batches[step - epoch_start : stop - epoch_start]:
            yield Job(epoch, epoch_start, step, batch)
            step += 1
        epoch, epoch_start = epoch + 1, step


def prepare_here(stage: object, batch: Batch, step: int, seed: int) -> Any:
    """The batch as ``stage`` prepares it, or as it is."""
    if not isinstance(stage, Preparing):
        return batch
    torch.manual_seed(seed_of(seed, step) + _PREPARES)
    return stage.prepare(batch, step)


def prepared_ahead(
    stage: Preparing,
    batches_of: BatchesOf,
    at: tuple[int, int, int],
    stop: int,
    seed: int,
    workers: int,
    *,
    pin: bool = False,
) -> Generator[Prepared, None, None]:
    """For each of the steps up to ``stop`` what ``workers`` processes prepared. ``at``: epoch, its first step, step.

    Raises what failed in a worker, and as `workers.forked` does.
    """

    def made(order: Job | int) -> Any:
        """Of a job what is learnt from; of an epoch its batches, a second's work for a large corpus."""
        return batches_of(order) if isinstance(order, int) else prepare_here(stage, order.batch, order.step, seed)

    with forked(made, workers) as submit:
        lists: dict[int, Future[list[Batch]]] = {}

        def list_of(epoch: int) -> list[Batch]:
            found = lists.pop(epoch).result() if epoch in lists else batches_of(epoch)
            lists[epoch + 1] = submit(epoch + 1)
            return found

        for job, batch in made_ahead(submit, jobs_from(list_of, *at, stop), workers):
            yield Prepared(job, batch.pin_memory() if pin and hasattr(batch, "pin_memory") else batch)
