"""The brain protocol: text, pictures, sounds and films in, an answer out as it is made: text, perhaps sound with it.

A `Brain` holds conversations, each with its own memory, and answers many single questions at once. Knows nothing of
command lines, subtitles or books. Making a brain is cheap; weights load at `prepare` or at the first answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol, runtime_checkable

from omnitts.audio import Waveform
from omnitts.errors import DependencyError, EngineError, UsageError
from omnitts.types import Voice

DEFAULT_BRAIN: Final = "mgm-omni"
Quantise = Literal["", "8bit", "4bit"]
Ending = Literal["end", "length"]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file."""

    path: Path


@dataclass(frozen=True, slots=True)
class Film:
    """A video file, of which a few frames are looked at; its sound is not heard."""

    path: Path


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file, or the sound of a video file."""

    path: Path


Medium = Picture | Film | Recording | Waveform
Part = str | Medium


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How an answer is chosen; None means the checkpoint's own setting. ``temperature`` 0 always takes the likeliest.

    ``max_new_tokens`` limits the answer's tokens, and a spoken answer's rows (6.25 a second) alike.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int = 4096
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The last thing of every answer. ``ended`` tells whether the brain came to an end or to ``max_new_tokens``.

    ``text`` is the whole answer. ``speech_failure`` is empty, or why the sound is not to be trusted (`Speech.failure`).
    """

    text: str
    num_tokens: int
    ended: Ending
    speech_failure: str = ""


AnswerPiece = str | Waveform | AnswerEnd


class Conversation(Protocol):
    """One dialogue. Everything said and shown stays in it until `reset`."""

    def say(self, parts: Sequence[Part], options: AnswerOptions) -> Iterator[AnswerPiece]:
        """The answer, piece by piece: text, sound where the brain was opened with a voice, and an `AnswerEnd`.

        Media that cannot be read or perceived are refused before anything is remembered: `InputError`, `EngineError`.
        An answer that is not waited for (the iterator is closed) is remembered as far as it came.
        """
        ...

    def reset(self) -> None: ...


@runtime_checkable
class Brain(Protocol):
    """``revision`` names everything but the question that decides the answer; ``sample_rate`` in hertz, 0 when it
    was opened without a voice and only writes."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    def prepare(self) -> None:
        """Loads everything. Raises `ModelError`, `EngineError`, `VoiceError`, `DependencyError`."""
        ...

    def converse(self, system: str = "") -> Conversation:
        """A new dialogue; ``system`` replaces the usual system text."""
        ...

    def answer(self, questions: Sequence[Sequence[Part]], options: AnswerOptions) -> list[AnswerEnd]:
        """Written answers to questions that have nothing to do with each other, worked on together."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BrainOptions:
    """How a brain is opened; names are the command line's flags.

    ``model`` and ``speech`` (the mouth) are folders, hub ids or short names; empty takes what is on this machine.
    ``voice`` makes it speak. ``device`` is ``auto``, one device, or several separated by commas.
    """

    model: str = ""
    speech: str = ""
    voice: Voice | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantise: Quantise = ""


def quantise_by_name(name: str) -> Quantise:
    """``8bit``, ``4bit`` or nothing. Raises `UsageError` for anything else."""
    match name:
        case "" | "8bit" | "4bit":
            return name
    raise UsageError(f"cannot quantise to {name!r}", where="--quantise", hint="say 8bit or 4bit")


BRAINS: Final[Mapping[str, str]] = MappingProxyType(
    {
        DEFAULT_BRAIN: "omnitts.engines.mgm_omni_brain:open_brain",
        "fake": "omnitts.engines.fake_brain:open_brain",
    }
)


def open_brain(name: str, options: BrainOptions) -> Brain:
    """Makes a brain by name; no weights are loaded yet.

    Raises `EngineError` for an unknown name, `ModelError` when its checkpoint is not here or is none, and
    `DependencyError` when a package it needs is missing.
    """
    if name not in BRAINS:
        raise EngineError(f"no brain is called {name!r}", where="--engine", hint=f"choose one of {', '.join(BRAINS)}")
    module_name, _, function_name = BRAINS[name].partition(":")
    try:
        factory: Callable[[BrainOptions], Brain] = getattr(importlib.import_module(module_name), function_name)
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"the brain needs the package {error.name}, which is not installed",
            where=f"--engine {name}",
            hint="install omnitts with all its dependencies (`pip install omnitts`)",
        ) from error
    return factory(options)
