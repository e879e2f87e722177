"""Workers: a function called in forked processes, which have all that it holds by being forked. Knows no tensors' use.

Values go in and results come out by pickle. Workers must never touch a GPU, leave interrupts to their parent, and end
when it is gone, however it ended.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, Final, TypeVar

import torch

from omnitts.errors import EngineError

T = TypeVar("T")
V = TypeVar("V")

_PORTION: Final = 32  # numbers that a process takes at a time
_AHEAD: Final = 4  # results for each worker that may wait to be asked for
_INHERITED: list[Callable[[Any], Any]] = []  # of a worker


def mapped(function: Callable[[int], T], count: int, workers: int) -> list[T]:
    """``function`` of 0 to ``count`` - 1, in order; ``workers`` 0: here. Raises what it raises, or as `forked` does."""
    if not workers:
        return [function(number) for number in range(count)]
    portions = [range(first, min(first + _PORTION, count)) for first in range(0, count, _PORTION)]
    with forked(lambda portion: [function(number) for number in portion], workers) as submit:
        return [result for future in [submit(portion) for portion in portions] for result in future.result()]


def in_order(function: Callable[[int], T], count: int, workers: int) -> Iterator[T]:
    """As `mapped`, one after the other as they are asked for, with a few for each worker made ahead."""
    if not workers:
        yield from map(function, range(count))
        return
    with forked(function, workers) as submit:
        yield from (result for _, result in made_ahead(submit, range(count), workers))


def made_ahead(submit: Callable[[V], Future[T]], values: Iterable[V], workers: int) -> Iterator[tuple[V, T]]:
    """Each value with its result, in order; a few for each worker are under way before they are asked for."""
    waiting: deque[tuple[V, Future[T]]] = deque()
    for value in values:
        waiting.append((value, submit(value)))
        if len(waiting) >= workers * _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for value, future in waiting:
        yield value, future.result()


@contextmanager
def forked(function: Callable[[Any], T], workers: int) -> Iterator[Callable[[Any], Future[T]]]:
    """Within: a call of what is given calls ``function`` in one of so many processes. Raises `EngineError` when one of
    them is gone (for want of memory, mostly).
    """
    pool = ProcessPoolExecutor(workers, get_context("fork"), _begin, (function,))
    try:
        yield lambda value: pool.submit(_call, value)
    except BrokenProcessPool as error:
        hint = "give fewer --workers if memory is short; the same command goes on from the last checkpoint"
        raise EngineError("a worker process ended unexpectedly", where="--workers", hint=hint) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    gc.freeze()  # what is the parent's is not collected here, and stays shared
    _INHERITED.append(function)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _call(value: Any) -> Any:
    return _INHERITED[-1](value)
