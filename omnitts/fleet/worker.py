"""A cluster's worker: one engine behind four calls, each of which returns soon. Pure Python; does not know Ray.

The engine speaks in a thread of its own and pulls requests from a row that the driver fills call by call, so it may
batch across calls. Voices arrive as parcels and live in this machine's cache.
"""

from __future__ import annotations

import os
import platform
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import omnitts
from omnitts.engines.base import Engine, Speech, SpeechRequest
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import OmnittsError
from omnitts.fleet.parcel import VoiceParcel, repack, unpack
from omnitts.types import Voice

WAIT_S = 1.0  # an exchange with nothing to report returns after this


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who a worker is and what it speaks with, or the ``error`` that keeps it from speaking."""

    host: str
    pid: int
    version: str
    revision: str = ""
    max_batch: int = 1
    error: OmnittsError | None = None


class Worker:
    """One engine on one machine of the cluster. Its calls come one after another, from one driver."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._parcels: dict[str, VoiceParcel] = {}
        self._voices: dict[str, Voice] = {}
        self._requests: deque[SpeechRequest] = deque()
        self._results: list[Speech] = []
        self._changed = threading.Condition()
        self._is_last = True
        self._is_speaking = False
        self._error: BaseException | None = None

    # The driver's calls ---------------------------------------------------------------------------------------------

    def greet(self, name: str, options: EngineOptions) -> Greeting:
        """Opens the engine; no weights are loaded yet. Errors come inside the greeting, which names the machine."""
        greeting = Greeting(platform.node(), os.getpid(), omnitts.__version__)
        try:
            self._engine = open_engine(name, options)
            return replace(greeting, revision=self._engine.revision, max_batch=self._engine.capabilities.max_batch)
        except OmnittsError as error:
            return replace(greeting, error=error)

    def hear(self, parcel: VoiceParcel | None) -> VoiceParcel | None:
        """Prepares the engine for a voice (None: for its own); gives the parcel back with what was heard in it.

        Raises what the engine's `prepare` raises. Waits until the engine has nothing else to do.
        """
        assert self._engine is not None, "greet first"
        with self._changed:
            self._changed.wait_for(lambda: not self._is_speaking)
        if parcel is None:
            self._engine.prepare(None)
            return None
        self.know(parcel)
        self._engine.prepare(self._voice(parcel.voice))
        return repack(parcel)

    def know(self, parcel: VoiceParcel) -> None:
        """Keeps a voice for requests to come."""
        self._parcels[parcel.voice.digest] = parcel
        self._voices.pop(parcel.voice.digest, None)

    def exchange(self, requests: Sequence[SpeechRequest], *, is_last: bool) -> list[Speech]:
        """Takes further requests, gives what is finished: as soon as there is something, or nothing after `WAIT_S`.

        ``is_last``: nothing more is to be waited for at present. Raises what the engine raised, once every result
        from before has been given.
        """
        with self._changed:
            self._requests.extend(requests)
            self._is_last = is_last
            if self._requests and not self._is_speaking and self._error is None:
                self._is_speaking = True
                threading.Thread(target=self._work, name="engine", daemon=True).start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._results or not self._is_speaking, WAIT_S)
            results, self._results = self._results, []
            if not results and self._error is not None:
                raise self._error
            return results

    # The engine's thread --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Speaks until the row is empty. Whatever goes wrong is raised by the driver's next exchange instead."""
        assert self._engine is not None, "greet first"
        while True:
            error: BaseException | None = None
            try:
                for speech in self._engine.speak(self._pull()):
                    with self._changed:
                        self._results.append(speech)
                        self._changed.notify_all()
            except BaseException as raised:  # noqa: BLE001 - nothing is swallowed: `exchange` raises it
                error = raised
            with self._changed:
                if error is None and self._requests:
                    continue  # they came while the engine was ending its last round
                self._is_speaking, self._error = False, error
                self._changed.notify_all()
                return

    def _pull(self) -> Iterator[SpeechRequest]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._is_last)
                if not self._requests:
                    return
                request = self._requests.popleft()
            yield replace(request, voice=request.voice and self._voice(request.voice))

    def _voice(self, voice: Voice) -> Voice:
        if voice.digest not in self._voices:
            self._voices[voice.digest] = unpack(self._parcels[voice.digest])
        return self._voices[voice.digest]
