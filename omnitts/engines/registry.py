"""Registry: which engines there are, which one a command gets, how to open it. Imports an engine only to open it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from omnitts.engines.base import Engine
from omnitts.errors import DependencyError, EngineError, ModelError, VoiceError

AUTO: Final = "auto"
NARRATOR: Final = "draft"  # what `auto` takes without a voice
CLONER: Final = "mgm-omni"  # what `auto` takes with one


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is opened; names are the command line's flags. None means the checkpoint's own setting.

    ``model`` is a folder, a hub id or the name of a pulled model; ``device`` and ``dtype`` are torch's names or
    ``auto``; ``batch`` is how many utterances are spoken at once. ``extra`` holds settings of one engine alone; an
    engine refuses those it does not know.
    """

    model: str = ""
    device: str = "auto"
    dtype: str = "auto"
    batch: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    extra: Mapping[str, str | float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """What is known of an engine without importing it. ``factory`` is ``module:function(EngineOptions) -> Engine``.

    ``gpu``: it runs on a GPU where there is one.
    """

    factory: str
    clones: bool
    languages: frozenset[str] = frozenset()
    gpu: bool = False


ENGINES: Final[Mapping[str, EngineEntry]] = MappingProxyType(
    {
        "mgm-omni": EngineEntry(
            "omnitts.engines.mgm_omni:open_engine", clones=True, languages=frozenset({"en", "zh"}), gpu=True
        ),
        "draft": EngineEntry("omnitts.engines.draft:open_engine", clones=False, languages=frozenset({"en"})),
        "fake": EngineEntry("omnitts.engines.fake:open_engine", clones=True),
    }
)


def engine_names() -> tuple[str, ...]:
    """What ``--engine`` takes besides ``auto``."""
    return tuple(ENGINES)


def open_engine(name: str, options: EngineOptions | None = None) -> Engine:
    """Makes an engine by name; no weights are loaded yet.

    Raises `EngineError` for an unknown name and `DependencyError` when a package that the engine needs is missing.
    """
    module_name, _, function_name = _entry(name).factory.partition(":")
    try:
        factory: Callable[[EngineOptions], Engine] = getattr(importlib.import_module(module_name), function_name)
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"the engine needs the package {error.name}, which is not installed",
            where=f"--engine {name}",
            hint="install omnitts with all its dependencies (`pip install omnitts`), or choose another engine",
        ) from error
    return factory(options or EngineOptions())


def choose_engine(name: str, *, has_voice: bool, models_present: Sequence[str] = (), language: str = "") -> str:
    """The engine a command speaks with: ``name`` itself, or for ``auto`` the one that fits.

    ``auto`` with a voice is the cloning model, if one of ``models_present`` (checkpoints on this machine, or given by
    ``--model``) exists; without a voice it is the draft narrator. Nothing is downloaded. Raises `VoiceError` when a
    voice is given to an engine that cannot clone, `ModelError` when there is no model to clone with, and
    `EngineError` for an unknown engine or one that does not speak ``language`` (a BCP 47 tag, empty when unknown).
    """
    if name == AUTO:
        if has_voice and not models_present:
            raise ModelError(
                "no speech model that can clone a voice is on this machine",
                where="--voice",
                hint="get one with `omnitts models pull 2b` (5.5 GB), or drop --voice to hear the draft narrator",
            )
        name = CLONER if has_voice else NARRATOR
    entry = _entry(name)
    if has_voice and not entry.clones:
        raise cannot_clone(name)
    refuse_language(name, entry.languages, language)
    return name


def cannot_clone(name: str) -> VoiceError:
    """The error for a voice given to an engine that has only its own."""
    return VoiceError(
        f"the engine {name} has one fixed narrator and cannot clone a voice",
        where="--voice",
        hint=f"engines that clone: {CLONER} (--engine {CLONER}); or drop --voice",
    )


def refuse_language(name: str, languages: frozenset[str], language: str) -> None:
    """Raises `EngineError` when an engine that speaks only ``languages`` is to speak another; unknown ("") passes."""
    tag = primary_tag(language)
    if tag and languages and tag not in languages:
        raise EngineError(
            f"the engine {name} does not speak {tag!r}, only {', '.join(sorted(languages))}",
            where="--language",
            hint=f"use --engine {CLONER} with a --voice, or set --language if the language was guessed wrongly",
        )


def primary_tag(language: str) -> str:
    """``en`` of ``en-GB`` or ``EN_us``; empty for unknown or undetermined."""
    tag = language.strip().replace("_", "-").split("-")[0].lower()
    return "" if tag == "und" else tag


def _entry(name: str) -> EngineEntry:
    try:
        return ENGINES[name]
    except KeyError:
        raise EngineError(
            f"no engine is called {name!r}", where="--engine", hint=f"choose one of {AUTO}, {', '.join(ENGINES)}"
        ) from None
