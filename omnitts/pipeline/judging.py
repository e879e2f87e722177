"""Listening beside speaking: takes are measured by the checks in a thread of their own, and come back in order.

A take and its utterance go in; the same with measures (a `Verdict` not yet decided) come out. At most ``QUEUE`` takes
wait, then whoever brings the next one waits too. Stores nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from omnitts import audio
from omnitts.errors import AudioError, JobError
from omnitts.pipeline.check.judge import Checker
from omnitts.pipeline.job import JobFolder, Take
from omnitts.types import Utterance, Verdict, Voice

QUEUE = 8

Heard = tuple[Utterance, Take, Verdict]


class Judges:
    """One listener thread. `ready` and `all` raise here what a check raised there.

    The thread ends when nothing waits any more, so an exception elsewhere leaves no thread behind.
    """

    def __init__(self, checker: Checker, folder: JobFolder, casting: Mapping[str, Voice | None]) -> None:
        self.busy_s = 0.0
        self._checkers = {checker.language: checker}
        self._main = checker
        self._folder = folder
        self._casting = casting
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="check")
        self._waiting: deque[tuple[Utterance, Take, Future[Verdict]]] = deque()

    def listen(self, piece: Utterance, take: Take) -> None:
        """Hands over one take."""
        self._waiting.append((piece, take, self._pool.submit(self._measure, piece, take)))

    def ready(self) -> Iterator[Heard]:
        """What has been heard by now; waits only while too much is waiting."""
        while self._waiting and (self._waiting[0][2].done() or len(self._waiting) > QUEUE):
            yield self._next()

    def all(self) -> Iterator[Heard]:
        """Everything handed over; waits for it."""
        while self._waiting:
            yield self._next()

    def close(self) -> None:
        """Drops what still waits; what is being heard is heard to its end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next(self) -> Heard:
        piece, take, future = self._waiting.popleft()
        return piece, take, future.result()

    def _measure(self, piece: Utterance, take: Take) -> Verdict:
        started_s = time.perf_counter()
        path = self._folder.clip(take.clip.file)
        try:
            sound = audio.load(path)  # as stored, so that a take is judged alike now and after a restart
        except AudioError as error:
            hint = "delete the file and run the same command again"
            raise JobError("a clip of the job cannot be read", where=str(path), hint=hint) from error
        checker = self._checker_for(piece.language)
        verdict = checker.measure(piece.text, sound, self._casting[piece.speaker], take.failure)
        self.busy_s += time.perf_counter() - started_s
        return verdict

    def _checker_for(self, language: str) -> Checker:
        """Most books have one language; a piece in another is heard as that."""
        language = language or self._main.language
        if language not in self._checkers:
            self._checkers[language] = Checker(self._main.options, language)
        return self._checkers[language]
