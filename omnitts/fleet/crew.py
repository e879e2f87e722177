"""The crew of a cluster: which workers there are, what each has in hand, who is lost. Knows no engine and no voice.

Workers are Ray actors around `omnitts.fleet.worker.Worker`. There are as many as the cluster has room for at the time:
machines that join later get theirs, those of lost machines are made anew where there is room.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from omnitts.engines.base import SpeechRequest
from omnitts.engines.registry import ENGINES, EngineOptions
from omnitts.errors import EngineError
from omnitts.fleet.cluster import FLAG
from omnitts.fleet.worker import Worker

logger = logging.getLogger(__name__)

GROW_EVERY_S = 3.0
START_TIMEOUT_S = 180.0
MOST_CORES_PER_WORKER = 8  # of a model on CPUs: decoding is bound by memory, more threads hardly help
MAX_FAILED_STARTS = 3


@dataclass(frozen=True, slots=True)
class WorkerNeeds:
    """What one worker takes: whole GPUs (none or one) and processor cores (None: chosen by the size of the nodes)."""

    num_gpus: int
    cores: int | None


@dataclass(eq=False, slots=True)
class Post:
    """A worker, the call it is in, and the requests it has in hand. ``heard`` is the voice it is listening to."""

    actor: Any
    call: Any = None
    host: str = ""
    pid: int = 0
    room: int = 0
    in_hand: list[SpeechRequest] = field(default_factory=list)
    voices: set[str] = field(default_factory=set)
    heard: str | None = None

    @property
    def is_ready(self) -> bool:
        return bool(self.host)


def needs_of(
    engine: str, options: EngineOptions, cores_per_worker: int | None, nodes: list[dict[str, Any]]
) -> WorkerNeeds:
    """One GPU each where the engine and the cluster have use for them, else processor cores.

    An engine of one thread takes one core; a model all cores of the smallest machine, at most
    `MOST_CORES_PER_WORKER`.
    """
    runs_on_gpu = ENGINES[engine].gpu
    wants_gpu = runs_on_gpu and (options.device.startswith("cuda") or options.device == "auto")
    if wants_gpu and any(node.get("GPU", 0) >= 1 for node in nodes):
        return WorkerNeeds(1, cores_per_worker or 1)
    if options.device.startswith("cuda") and runs_on_gpu:
        raise EngineError(
            "no machine of the cluster has a GPU", where=f"--device {options.device}", hint="--device cpu"
        )
    sizes = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    cores = min([MOST_CORES_PER_WORKER, *sizes]) if runs_on_gpu else 1
    return WorkerNeeds(0, cores_per_worker or cores)


class Crew:
    """All workers of one engine on one cluster."""

    def __init__(self, ray: ModuleType, engine: str, options: EngineOptions, cores_per_worker: int | None) -> None:
        self._ray = ray
        self._engine = engine
        self._options = options
        self._cores_per_worker = cores_per_worker
        self._grown_s = -math.inf
        self._alone_since_s = time.monotonic()  # without a worker that is ready
        self._num_failed_starts = 0
        self._has_hired = False  # from then on, a cluster without machines is waited for
        self.posts: list[Post] = []

    @property
    def ready(self) -> list[Post]:
        return [post for post in self.posts if post.is_ready]

    def grow(self) -> None:
        """Adds workers where the cluster has room for more. Raises `EngineError` when there is none for any."""
        now_s = time.monotonic()
        if now_s - self._grown_s < GROW_EVERY_S:
            return
        self._grown_s = now_s
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        needs = needs_of(self._engine, self._options, self._cores_per_worker, nodes)
        for _ in range(_num_workers(needs, nodes) - len(self.posts)):
            self._hire(needs)
        if not self.posts and not self._has_hired:
            most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
            raise EngineError(
                f"no machine of the cluster has room for a worker (needs {needs.cores} cores, the largest has {most})",
                where=FLAG,
                hint="add machines with `ray start`, or let those there are offer more (its --num-cpus)",
            )
        if self.ready:
            self._alone_since_s = now_s
        elif now_s - self._alone_since_s > START_TIMEOUT_S:
            raise EngineError(
                f"no worker has started within {START_TIMEOUT_S:.0f} s",
                where=FLAG,
                hint="`ray status` shows what the cluster is busy with",
            )

    def _hire(self, needs: WorkerNeeds) -> None:
        actor = self._ray.remote(Worker).options(
            num_cpus=needs.cores,
            num_gpus=needs.num_gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        post = Post(actor.remote())
        post.call = post.actor.greet.remote(self._engine, self._options)
        self.posts.append(post)
        self._has_hired = True

    def wait(self, timeout_s: float = 1.0) -> list[Post]:
        """Posts whose call has ended, at least one if that happens in time."""
        by_call = {post.call: post for post in self.posts if post.call is not None}
        if not by_call:
            time.sleep(0.05)
            return []
        self._ray.wait(list(by_call), num_returns=1, timeout=timeout_s)
        done, _ = self._ray.wait(list(by_call), num_returns=len(by_call), timeout=0)
        return [by_call[call] for call in done]

    def lose(self, post: Post, reason: BaseException) -> None:
        """Gives a worker up. Raises `EngineError` when workers keep dying before they have ever worked."""
        self._num_failed_starts = 0 if post.is_ready else self._num_failed_starts + 1
        self._release(post)
        self._grown_s, self._alone_since_s = -math.inf, time.monotonic()
        if self._num_failed_starts >= MAX_FAILED_STARTS:
            raise cannot_start(reason) from reason

    def dismiss(self) -> None:
        """Ends every worker at once, whatever it is doing."""
        for post in list(self.posts):
            self._release(post)
        self._grown_s, self._alone_since_s = -math.inf, time.monotonic()

    def _release(self, post: Post) -> None:
        self.posts.remove(post)
        try:
            self._ray.kill(post.actor)
        except (self._ray.exceptions.RayError, ConnectionError, ValueError) as error:
            logger.debug("worker on %s: %s", post.host, error)


def cannot_start(reason: BaseException) -> EngineError:
    return EngineError(
        f"a worker cannot start: {_last_line(reason)}",
        where=FLAG,
        hint="every machine needs the same omnitts, Python and Ray, and enough memory; see docs/cluster.md",
    )


def _num_workers(needs: WorkerNeeds, nodes: list[dict[str, Any]]) -> int:
    cores = needs.cores or 1
    fits = (
        min([int(node.get("CPU", 0)) // cores, *([int(node.get("GPU", 0))] if needs.num_gpus else [])])
        for node in nodes
    )
    return sum(fits)


def _last_line(error: BaseException) -> str:
    """Ray puts whole traces into a message; the last line that says something is what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "Error:" in line or "cause" in line]
    return (causes or lines or [type(error).__name__])[-1].rstrip(".")
