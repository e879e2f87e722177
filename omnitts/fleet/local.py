"""Local fleet: one engine in a thread of this process, beside its caller. Knows nothing of what is spoken, or why."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType

from omnitts.engines.base import Capabilities, Engine, Speech, SpeechRequest
from omnitts.errors import EngineError
from omnitts.fleet.base import FleetOptions
from omnitts.types import Voice

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0  # an engine answers a stop between two results; one in a long step is left to finish alone


def open_fleet(engine: Engine, options: FleetOptions) -> LocalFleet:
    """Everything it needs is the engine; ``options`` are for fleets of more than one process."""
    return LocalFleet(engine)


class LocalFleet:
    """A `Fleet` of one engine. At most ``ahead`` requests wait for the engine and ``ahead`` results for the caller."""

    def __init__(self, engine: Engine, ahead: int | None = None) -> None:
        self._engine = engine
        self._ahead = ahead or 2 * engine.capabilities.max_batch + 2
        self._thread: threading.Thread | None = None
        self._desk: _Desk | None = None

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def revision(self) -> str:
        return self._engine.revision

    @property
    def description(self) -> str:
        return self._engine.description

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def prepare(self, voices: Iterable[Voice | None]) -> None:
        for voice in voices:
            self._engine.prepare(voice)

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        if self._thread is not None and self._thread.is_alive():
            raise EngineError(f"the engine {self.name} is still busy with earlier work", hint="wait, or start again")
        desk = _Desk(iter(requests), self._ahead)
        self._desk = desk
        desk.feed()  # an error in the caller's own requests is the caller's, before any thread runs
        self._thread = threading.Thread(
            target=_work, args=(self._engine, desk), name=f"engine {self.name}", daemon=True
        )
        self._thread.start()
        try:
            yield from desk.results()
        finally:
            desk.stop()
            self._join()

    def close(self) -> None:
        """Stops the engine and frees what it holds; an engine that does not stop in time is left alone."""
        if self._desk is not None:
            self._desk.stop()  # an iterator dropped in an exception is not closed before its traceback is
        if self._join():
            self._engine.close()

    def _join(self) -> bool:
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)
            if self._thread.is_alive():
                log.warning("the engine %s did not stop within %.0f s", self.name, STOP_TIMEOUT_S)
                return False
        self._thread = None
        return True

    def __enter__(self) -> LocalFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _StoppedError(Exception):
    """Unwinds an engine that pulls a request after its caller has gone."""


class _Desk:
    """Where caller and engine meet: two bounded rows, of requests and of results, under one condition.

    The caller feeds requests whenever it waits for a result, so an engine may ask for as many as it has room for.
    """

    def __init__(self, source: Iterator[SpeechRequest], ahead: int) -> None:
        self._source: Iterator[SpeechRequest] | None = source
        self._ahead = ahead
        self._requests: deque[SpeechRequest] = deque()
        self._results: deque[Speech] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._finished = False
        self._error: BaseException | None = None

    # ---- the caller's side

    def feed(self) -> None:
        """Pulls requests while there is room; called from the caller's thread only."""
        while self._source is not None and len(self._requests) < self._ahead:
            request = next(self._source, None)
            with self._changed:
                if request is None:
                    self._source = None
                else:
                    self._requests.append(request)
                self._changed.notify_all()

    def results(self) -> Iterator[Speech]:
        """Results as they come; at the end raises what the engine raised."""
        while True:
            self.feed()
            with self._changed:
                self._changed.wait_for(lambda: self._results or self._finished or self._wants_feeding())
                if self._results:
                    speech = self._results.popleft()
                    self._changed.notify_all()
                elif self._finished:
                    break
                else:
                    continue
            yield speech
        if self._error is not None:
            raise self._error

    def _wants_feeding(self) -> bool:
        return self._source is not None and len(self._requests) < self._ahead

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # ---- the engine's side

    def requests(self) -> Iterator[SpeechRequest]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._source is None or self._stopped)
                if self._stopped:
                    raise _StoppedError
                if not self._requests:
                    return
                request = self._requests.popleft()
                self._changed.notify_all()
            yield request

    def deliver(self, speech: Speech) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._results) < self._ahead or self._stopped)
            if self._stopped:
                raise _StoppedError
            self._results.append(speech)
            self._changed.notify_all()

    def finish(self, error: BaseException | None) -> None:
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()


def _work(engine: Engine, desk: _Desk) -> None:
    """The engine's thread. Whatever goes wrong in it is raised in the caller's thread instead."""
    try:
        for speech in engine.speak(desk.requests()):
            desk.deliver(speech)
    except _StoppedError:
        desk.finish(None)
    except BaseException as error:  # noqa: BLE001 - nothing is swallowed: `results` raises it
        desk.finish(error)
    else:
        desk.finish(None)
