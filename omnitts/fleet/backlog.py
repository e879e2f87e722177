"""What is still to be spoken by a crew: requests, voices nobody has heard yet, and who died of what. Pure Python.

Requests are pulled from the caller as there is room for them, handed out in their order, and come back when the worker
that had them is lost. A request that costs several workers their lives is found out and named.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Sequence

from omnitts.engines.base import SpeechRequest
from omnitts.errors import EngineError
from omnitts.types import Voice

MAX_DEATHS = 3  # of workers that had a request in hand, the last time alone: then it is the request's fault
ALONE_FROM = 2  # after so many deaths a request is spoken with no other, so that no other is suspected
SHOWN_CHARS = 60


class Backlog:
    """``heard``: digests of voices that need not be heard any more; ``unheard`` are those that do."""

    def __init__(self, requests: Iterable[SpeechRequest], heard: Container[str] = ()) -> None:
        self._source: Iterator[SpeechRequest] | None = iter(requests)
        self._pool: deque[SpeechRequest] = deque()
        self._under_way: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._heard = heard
        self.unheard: dict[str, Voice | None] = {}

    @property
    def is_empty(self) -> bool:
        """Nothing is left to hand out; `fill` makes sure of it."""
        return not self._pool and not self.unheard and self._source is None

    @property
    def has_suspects(self) -> bool:
        return any(self._is_suspect(request) for request in self._pool)

    def fill(self, count: int) -> None:
        """Pulls requests from the caller until ``count`` of them wait (at least one, unless there are no more).

        Raises `ValueError` for a key that is under way already: its results could not be told apart.
        """
        while self._source is not None and len(self._pool) < max(count, 1):
            request = next(self._source, None)
            if request is None:
                self._source = None
                return
            if request.key in self._under_way:
                raise ValueError(f"two requests under way at once have the key {request.key!r}")
            self._under_way.add(request.key)
            self._pool.append(request)
            if request.voice is not None and request.voice.digest not in self._heard:
                self.unheard.setdefault(request.voice.digest, request.voice)

    def share(self, num_in_hand: int, num_workers: int) -> int | float:
        """How much one worker may have in hand: at the end of the work no more than its part of what is left."""
        if self._source is not None or not num_workers:
            return math.inf
        return math.ceil((len(self._pool) + num_in_hand) / num_workers)

    def take(self, count: int | float, *, is_idle: bool) -> list[SpeechRequest]:
        """At most ``count`` requests for a worker, the oldest first, none in a voice that is yet to be heard.

        A suspect goes to an idle worker only, and alone.
        """
        taken: list[SpeechRequest] = []
        left: deque[SpeechRequest] = deque()
        while self._pool and len(taken) < count:
            request = self._pool.popleft()
            if request.voice is not None and request.voice.digest in self.unheard:
                left.append(request)
            elif not self._is_suspect(request):
                taken.append(request)
            elif is_idle and not taken:
                taken.append(request)
                break
            else:
                left.append(request)
        self._pool.extendleft(reversed(left))
        return taken

    def finish(self, request: SpeechRequest) -> None:
        self._under_way.discard(request.key)
        self._deaths.pop(request.key, None)

    def give_back(self, requests: Sequence[SpeechRequest], cause: BaseException) -> None:
        """What a lost worker had in hand waits again, before all else.

        Raises `EngineError` for a request that has killed `MAX_DEATHS` workers.
        """
        self._deaths.update(request.key for request in requests)
        if len(requests) == 1 and self._deaths[requests[0].key] >= MAX_DEATHS:
            raise _deadly(f"the piece {_shown(requests[0].text)}", cause)
        self._pool.extendleft(reversed(requests))

    def not_heard(self, digest: str, cause: BaseException) -> None:
        """A worker was lost while it prepared for a voice. Raises `EngineError` when that happens again and again."""
        self._deaths[digest] += 1
        if self._deaths[digest] >= MAX_DEATHS:
            voice = self.unheard[digest]
            raise _deadly(f"preparing for the voice {voice.name}" if voice else "loading the engine", cause)

    def _is_suspect(self, request: SpeechRequest) -> bool:
        return self._deaths[request.key] >= ALONE_FROM


def _deadly(what: str, cause: BaseException) -> EngineError:
    error = EngineError(
        f"{what} has ended {MAX_DEATHS} workers one after the other ({type(cause).__name__})",
        where="--cluster",
        hint="the workers may lack memory: see their logs with `ray logs`; everything spoken before is kept",
    )
    error.__cause__ = cause
    return error


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…")
