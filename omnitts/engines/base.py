"""The engine protocol: speech requests in, waveforms out as they finish. Knows nothing of books, jobs or files.

Making an engine is cheap; weights load at the first `prepare` or `speak`. So a finished job never loads a model, and a
plan can ask for the revision alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from omnitts.audio import Waveform
from omnitts.types import Voice


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do.

    ``clones``: speaks in the voice of a `Voice`; otherwise it has one narrator and refuses every voice.
    ``languages``: primary tags it speaks; empty means any. ``sample_rate`` in hertz of all its waveforms.
    ``budget_s``: the longest piece of speech, in seconds, that it speaks well in one go. ``max_batch``: how many
    requests it holds at once. ``speed``: whether `SpeechRequest.speed` changes its pace (else assembly does).
    """

    clones: bool
    sample_rate: int
    languages: frozenset[str] = frozenset()
    budget_s: float = 20.0
    max_batch: int = 1
    speed: bool = False


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One utterance to speak. ``key`` comes back with the result; equal requests give equal samples."""

    key: str
    text: str
    voice: Voice | None = None
    language: str = ""
    seed: int = 0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Speech:
    """What came of a request. ``failure`` is empty, or the engine's own reason why the sound is not to be trusted
    (``blank_run``, ``length``, ``row_limit``, ``empty``); ``synthesis_s`` is the compute time it took.
    """

    key: str
    waveform: Waveform
    failure: str = ""
    synthesis_s: float = 0.0


@runtime_checkable
class Engine(Protocol):
    """Speaks many utterances at once.

    ``name`` is what ``--engine`` takes. ``revision`` names everything but the request that decides the sound: package
    or checkpoint digest, sampling settings, precision; it is part of every utterance's id. ``description`` is a line
    for people and for the file's tags.
    """

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def prepare(self, voice: Voice | None) -> None:
        """Loads what is needed to speak in this voice. Raises `VoiceError`, `EngineError` or `ModelError`."""
        ...

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        """Yields one `Speech` per request, in any order, pulling requests as it has room for them."""
        ...

    def close(self) -> None: ...
