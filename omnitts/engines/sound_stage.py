"""Sound stage: turns finished sequences into sound in a thread of its own, while decoding goes on.

Items go in, results come out; both rows are bounded. The stage takes all that waits, so that batches grow by themselves
when it is behind. Knows neither codes nor waveforms: what to do is handed in.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class SoundStage(Generic[Item, Result]):
    """A context manager: leaving it stops the thread after the batch it is at. Errors of the thread are raised here.

    The owner puts while `has_room`, else it takes results first: so neither side can wait for the other for ever.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        bound: int,
        at_once: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """``bound``: items that may wait, and results too. ``at_once``: the largest batch given to ``work``."""
        self._work = work
        self._bound = bound
        self._at_once = at_once
        self._device = torch.device(device)
        self._items: deque[Item] = deque()
        self._results: deque[Result] = deque()
        self._num_inside = 0  # put and not yet among the results
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)

    def __enter__(self) -> SoundStage[Item, Result]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join()

    @property
    def has_room(self) -> bool:
        with self._changed:
            return self._num_inside < self._bound

    @property
    def is_idle(self) -> bool:
        """Nothing waits, nothing is being made, nothing is left to take."""
        with self._changed:
            return not self._num_inside and not self._results

    def put(self, item: Item) -> None:
        with self._changed:
            self._items.append(item)
            self._num_inside += 1
            self._changed.notify_all()

    def take(self, *, wait: bool = False) -> list[Result]:
        """Results that are there; with ``wait`` at least one, unless the stage is idle."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._results or self._error or not self._num_inside)
            results = list(self._results)
            self._results.clear()
            self._changed.notify_all()
            if not results and self._error is not None:
                raise self._error
            return results

    def _run(self) -> None:
        try:
            if self._device.type == "cuda":
                stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
                with torch.cuda.device(self._device), torch.cuda.stream(stream):
                    self._serve()
            else:
                self._serve()
        except BaseException as error:  # noqa: BLE001 - nothing is swallowed: `take` raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._items and len(self._results) < self._bound))
                if self._closed:
                    return
                items = [self._items.popleft() for _ in range(min(self._at_once, len(self._items)))]
            results = self._work(items)
            with self._changed:
                self._results.extend(results)
                self._num_inside -= len(items)
                self._changed.notify_all()
