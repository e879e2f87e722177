"""Ray fleet: the engine in many workers, on this machine or many. Same face as the local fleet; sees no book or job.

Utterances go out a few at a time to whoever has room, sound comes back as it is finished. What a lost worker had in
hand is spoken again by another. Only this process, the driver, knows what all of it is for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import omnitts
from omnitts.audio import Waveform
from omnitts.engines.base import Capabilities, Engine, Speech, SpeechRequest
from omnitts.engines.registry import EngineOptions
from omnitts.errors import EngineError
from omnitts.fleet.backlog import Backlog
from omnitts.fleet.base import FleetOptions
from omnitts.fleet.cluster import FLAG, Cluster, check_address, join
from omnitts.fleet.crew import Crew, Post, cannot_start
from omnitts.fleet.parcel import VoiceParcel, keep_prompts, pack
from omnitts.fleet.worker import Greeting
from omnitts.types import Voice

logger = logging.getLogger(__name__)


def open_fleet(engine: Engine, options: FleetOptions) -> RayFleet:
    """Raises `DependencyError` without Ray, `UsageError` and `EngineError` for an address that leads nowhere."""
    check_address(options.address)
    return RayFleet(engine, options)


class RayFleet:
    """A `Fleet` of one engine in many workers. The cluster is joined when there is something to speak.

    ``engine`` is the driver's own: it says what the workers' engines must be, and never speaks.
    """

    def __init__(self, engine: Engine, options: FleetOptions) -> None:
        self._engine = engine
        self._options = options
        self._cluster: Cluster | None = None
        self._crew: Crew | None = None
        self._parcels: dict[str, Any] = {}  # references in the object store, by digest of the voice
        self._is_busy = False

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

    @property
    def workers(self) -> tuple[tuple[str, int], ...]:
        """Machine and process id of every worker that is ready to speak."""
        return tuple((post.host, post.pid) for post in self._crew.ready) if self._crew is not None else ()

    def prepare(self, voices: Iterable[Voice | None]) -> None:
        backlog = Backlog(())
        wanted = {voice.digest if voice else "": voice for voice in voices}
        backlog.unheard.update({digest: voice for digest, voice in wanted.items() if digest not in self._parcels})
        for _ in self._run(backlog):
            pass

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        """As in `Fleet`. Requests that are under way at the same time need keys of their own, else `ValueError`.

        A request that ends one worker after the other raises `EngineError`.
        """
        return self._run(Backlog(requests, self._parcels))

    def close(self) -> None:
        """Stops all workers; the cluster too, if this fleet started it."""
        if self._crew is not None:
            self._crew.dismiss()
        if self._cluster is not None:
            self._cluster.leave()
        self._crew = self._cluster = None
        self._parcels.clear()
        self._engine.close()

    def __enter__(self) -> RayFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The driver's round ---------------------------------------------------------------------------------------------

    def _run(self, backlog: Backlog) -> Iterator[Speech]:
        """Hands out and collects until nothing is left. When it ends early, every worker ends with it."""
        if self._is_busy:
            raise EngineError(f"the engine {self.name} is still busy with earlier work", hint="wait, or start again")
        backlog.fill(1)  # an error in the caller's own requests is the caller's, before any worker starts
        if backlog.is_empty:
            return
        crew = self._gather()
        self._is_busy, is_over = True, False
        try:
            while True:
                crew.grow()
                backlog.fill(sum(post.room for post in crew.ready))
                self._hand_out(crew, backlog)
                if backlog.is_empty and not any(post.in_hand for post in crew.posts):
                    break
                for post in crew.wait():
                    yield from self._collect(crew, post, backlog)
            is_over = True
        finally:
            self._is_busy = False
            if not is_over:
                crew.dismiss()

    def _gather(self) -> Crew:
        if self._cluster is None or self._crew is None:
            self._cluster = join(self._options.address)
            options = workers_options(self._options.engine)
            self._crew = Crew(self._cluster.ray, self.name, options, self._options.cores_per_worker)
        return self._crew

    def _hand_out(self, crew: Crew, backlog: Backlog) -> None:
        ready = crew.ready
        for post in ready:
            if post.call is None and not post.in_hand:
                self._listen(crew, post, backlog)
        share = backlog.share(sum(len(post.in_hand) for post in ready), len(ready))
        emptiest = min(ready, key=lambda post: len(post.in_hand), default=None)
        for post in ready:
            if post.call is not None:
                continue
            room = min(post.room, share) - len(post.in_hand)
            if post is emptiest and post.in_hand and backlog.has_suspects:
                room = 0  # it will soon be idle, and take what must be spoken alone
            given = backlog.take(room, is_idle=not post.in_hand)
            self._send_voices(given, post)
            post.in_hand += given
            if post.in_hand:
                post.call = post.actor.exchange.remote(given, is_last=len(post.in_hand) < post.room)

    def _send_voices(self, requests: list[SpeechRequest], post: Post) -> None:
        """The voices of these requests go ahead of them: a worker's calls run in the order in which they are made."""
        for digest in {request.voice.digest for request in requests if request.voice is not None} - post.voices:
            post.actor.know.remote(self._parcels[digest])
            post.voices.add(digest)

    def _listen(self, crew: Crew, post: Post, backlog: Backlog) -> None:
        """Lets an idle worker hear a voice that none has heard; what it finds goes to all others with the voice."""
        under_way = {other.heard for other in crew.posts}
        digest = next((digest for digest in backlog.unheard if digest not in under_way), None)
        if digest is not None:
            voice = backlog.unheard[digest]
            post.heard = digest
            post.call = post.actor.hear.remote(pack(voice) if voice is not None else None)

    def _collect(self, crew: Crew, post: Post, backlog: Backlog) -> Iterator[Speech]:
        assert self._cluster is not None
        exceptions = self._cluster.ray.exceptions
        try:
            reply = self._cluster.ray.get(post.call)
        except exceptions.RayTaskError as error:  # raised by the engine, and raised here as it was there
            if not post.is_ready:  # a greeting holds the engine's own errors: this one is Ray's, or Python's
                raise cannot_start(error) from error
            if not isinstance(error.cause, Exception):
                raise
            raise error.cause from error
        except exceptions.RayError as error:
            self._lose(crew, post, backlog, error)
            return
        post.call = None
        if isinstance(reply, Greeting):
            self._admit(post, reply)
        elif post.heard is not None:
            self._learn(post, reply, backlog)
        else:
            for speech in reply:
                request = next(request for request in post.in_hand if request.key == speech.key)
                post.in_hand.remove(request)
                backlog.finish(request)
            for speech in reply:
                yield replace(speech, waveform=_own(speech.waveform))

    def _admit(self, post: Post, greeting: Greeting) -> None:
        """Refuses a worker whose sound would not be this engine's."""
        if greeting.error is not None:
            error = greeting.error
            where = f"{greeting.host}: {error.where}" if error.where else greeting.host
            raise type(error)(error.what, where=where, hint=error.hint)
        for what, theirs, ours in (
            ("omnitts", greeting.version, omnitts.__version__),
            (f"engine {self.name}", greeting.revision, self.revision),
        ):
            if theirs != ours:
                raise EngineError(
                    f"its {what} is {theirs}, here it is {ours}: both would not speak alike",
                    where=f"{FLAG}, machine {greeting.host}",
                    hint="give every machine the same version of omnitts and the same checkpoint",
                )
        post.host, post.pid = greeting.host, greeting.pid
        post.room = 2 * greeting.max_batch + 1  # a batch, the next one waiting, one on its way

    def _learn(self, post: Post, parcel: VoiceParcel | None, backlog: Backlog) -> None:
        assert self._cluster is not None
        assert post.heard is not None
        digest, post.heard = post.heard, None
        del backlog.unheard[digest]
        self._parcels[digest] = None
        if parcel is not None:
            keep_prompts(parcel)
            self._parcels[digest] = self._cluster.ray.put(parcel)
            post.voices.add(digest)

    def _lose(self, crew: Crew, post: Post, backlog: Backlog, cause: BaseException) -> None:
        logger.warning(
            "worker %d on %s is lost (%s); others take over what it had in hand: %d",
            post.pid, post.host or "the cluster", type(cause).__name__, len(post.in_hand),
        )  # fmt: skip
        crew.lose(post, cause)
        if post.heard is not None:
            backlog.not_heard(post.heard, cause)
        backlog.give_back(post.in_hand, cause)


def workers_options(options: EngineOptions) -> EngineOptions:
    """The same for a worker: it sees one GPU, and has another working folder."""
    device = "cuda" if options.device.startswith("cuda") else options.device
    model = str(Path(options.model).absolute()) if options.model and Path(options.model).exists() else options.model
    return replace(options, device=device, model=model)


def _own(waveform: Waveform) -> Waveform:
    """With samples of its own: those of Ray are read-only and keep the object store full."""
    return Waveform(waveform.samples.copy(), waveform.sample_rate)
