"""The fleet protocol: where utterances are spoken. Same face for this process and for a cluster; sees no book or job.

A fleet speaks beside its caller: while the caller looks at one result, a bounded number of further ones are being
made. The caller's thread alone pulls requests and receives results, so both may touch things that belong to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, runtime_checkable

from omnitts.engines.base import Capabilities, Engine, Speech, SpeechRequest
from omnitts.engines.registry import EngineOptions
from omnitts.errors import UsageError
from omnitts.types import Voice

LOCAL: Final = "local"
RAY: Final = "ray"
FLEETS: Final[Mapping[str, str]] = MappingProxyType(
    {LOCAL: "omnitts.fleet.local:open_fleet", RAY: "omnitts.fleet.ray:open_fleet"}
)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """How a fleet is opened; the local one needs none of it.

    ``engine``: how each worker opens its engine, as this process opened its own. ``address`` of the cluster:
    ``HOST:PORT``, ``auto`` (the one that runs on this machine, else one of its own) or ``local`` (one of its own).
    ``cores_per_worker``: processor cores that a worker without a GPU takes; None lets the fleet choose.
    """

    engine: EngineOptions = field(default_factory=EngineOptions)
    address: str = "auto"
    cores_per_worker: int | None = None


@runtime_checkable
class Fleet(Protocol):
    """Speaks many utterances at once, in one place or many. A context manager: leaving it stops all work.

    ``name``, ``revision``, ``description`` and ``capabilities`` are those of its engine.
    """

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def prepare(self, voices: Iterable[Voice | None]) -> None:
        """Loads what is needed to speak in these voices. Raises `VoiceError`, `EngineError` or `ModelError`."""
        ...

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        """Yields one `Speech` per request, in any order, while further ones are being spoken.

        Requests must not wait for results: they are pulled ahead. An error in an engine is raised here, after the
        results that came before it. Closing the iterator early, or leaving it by an exception, stops the work.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Fleet: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_fleet(engine: Engine, kind: str = LOCAL, options: FleetOptions | None = None) -> Fleet:
    """A fleet of the given kind around an engine. Raises `UsageError` for an unknown kind."""
    if kind not in FLEETS:
        raise UsageError(f"no fleet is called {kind!r}", where="--fleet", hint=f"choose one of {', '.join(FLEETS)}")
    module_name, _, function_name = FLEETS[kind].partition(":")
    factory: Callable[[Engine, FleetOptions], Fleet] = getattr(importlib.import_module(module_name), function_name)
    return factory(engine, options or FleetOptions())
