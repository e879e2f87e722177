"""Draft engine: one fixed American narrator (PyPI ``hibari-tts``, Apache-2.0) that runs on any CPU with no download.

Text in, 24 kHz speech out, at about twenty times real time on one core. English only; it cannot clone and says so. The
package also lists voices that it would fetch from the internet; those are never used here.

The network itself is deterministic: a seed only moves its noise, far below what a listener or a transcriber notices. So
that a retake is really another take, the seed also picks a pace a few percent off the trained one (``PACES``).

It offers no speed of its own: its durations are whole frames of 12.5 ms, so that asking it for 1.25 gives 1.15, and for
1.35 gives 1.48 (measured on eight sentences). Assembly changes the pace exactly, and without speaking anything again.
"""

from __future__ import annotations

import importlib.metadata
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from omnitts.audio import FloatArray, Waveform, silence
from omnitts.engines.base import Capabilities, Speech, SpeechRequest
from omnitts.engines.registry import EngineOptions, cannot_clone, refuse_language
from omnitts.errors import DependencyError, EngineError

if TYPE_CHECKING:
    from hibari import Hibari

    from omnitts.types import Voice

SAMPLE_RATE = 24_000
PACES = (1.0, 0.93, 1.1, 0.9, 1.15, 0.96, 1.05)  # by seed; each within 6 % of the pace as trained, seed 0 the same
BUDGET_S = 20.0
EMPTY_S = 0.1  # silence returned for a text with nothing to say

MAX_RUN_CHARS = 300  # without punctuation the network would take a whole run at once, in memory that grows with it
MAX_WORD_CHARS = 60
MAX_NUMBER_DIGITS = 15  # beyond quadrillions the package has no words
TEXT_RULES = "1"  # of `readable`; part of the revision, since it decides the sound

_SENTENCE_END = re.compile(r"[.!?…]['\"”’)\]]*\s")
_CLAUSE_END = re.compile(r"[;:,—]['\"”’)\]]*\s")
_LONG_NUMBER = re.compile(rf"\d{{{MAX_NUMBER_DIGITS + 1},}}")
_LONG_WORD = re.compile(rf"(\w{{{MAX_WORD_CHARS}}})(?=\w)")


def open_engine(options: EngineOptions) -> DraftEngine:
    """Raises `EngineError` for settings that a fixed narrator does not have."""
    if options.model:
        raise EngineError("the draft narrator takes no model", where="--model", hint="drop --model or --engine draft")
    if options.extra:
        raise EngineError(f"the draft narrator has no setting {min(options.extra)!r}")
    return DraftEngine()


class DraftEngine:
    """An `Engine` around one `hibari.Hibari`, loaded at the first `prepare` or `speak`.

    One thread inside the network, always: so the samples do not depend on how many cores there are.
    """

    name = "draft"

    def __init__(self) -> None:
        self._narrator: Hibari | None = None
        self._capabilities = Capabilities(
            clones=False, sample_rate=SAMPLE_RATE, languages=frozenset({"en"}), budget_s=BUDGET_S
        )

    @property
    def revision(self) -> str:
        return f"hibari-tts-{_version()}+text{TEXT_RULES}"

    @property
    def description(self) -> str:
        return f"draft: hibari-tts {_version()}, voice heart"

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def prepare(self, voice: Voice | None) -> None:
        if voice is not None:
            raise cannot_clone(self.name)
        if self._narrator is None:
            self._narrator = _load()

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        """Raises `VoiceError` for a voice, `EngineError` for another language or pace."""
        for request in requests:
            self.prepare(request.voice)
            assert self._narrator is not None
            yield _speak_one(self._narrator, request)

    def close(self) -> None:
        self._narrator = None


def _speak_one(narrator: Hibari, request: SpeechRequest) -> Speech:
    refuse_language(DraftEngine.name, frozenset({"en"}), request.language)
    if request.speed != 1.0:
        raise EngineError(
            "the draft narrator has one pace", where="--speed", hint="ask assembly for the speed, not the engine"
        )
    started_s = time.perf_counter()
    pace = PACES[request.seed % len(PACES)]
    generator = np.random.default_rng(request.seed)
    parts: list[FloatArray] = []
    for run in runs(readable(request.text)):
        for phonemes in narrator.phonemize(run):
            if any(char.isalpha() for char in phonemes):  # punctuation alone would come out as breath noise
                parts.append(narrator.from_ids(narrator.ids(phonemes), pace, generator))
    if not parts:
        return Speech(request.key, silence(EMPTY_S, SAMPLE_RATE), failure="empty")
    waveform = Waveform(np.clip(np.concatenate(parts), -1.0, 1.0), SAMPLE_RATE)
    return Speech(request.key, waveform, synthesis_s=time.perf_counter() - started_s)


def readable(text: str) -> str:
    """The text in a form that the package reads aloud as it stands.

    Composed Unicode; no control characters; brackets kept from acting as the package's pronunciation markup
    (``[word](/sounds/)``); numbers too long for number words read digit by digit; endless words cut.
    """
    text = unicodedata.normalize("NFC", text.encode("utf-8", "ignore").decode("utf-8"))
    text = "".join(" " if unicodedata.category(char) in ("Cc", "Cf") else char for char in text)
    text = text.replace("](", "] (")
    text = _LONG_NUMBER.sub(lambda match: " ".join(match[0]), text)
    return _LONG_WORD.sub(r"\1 ", text)


def runs(text: str) -> Iterator[str]:
    """Lines of at most ``MAX_RUN_CHARS``, cut after a sentence if one ends there, else a clause, else a word."""
    for line in text.splitlines():
        rest = line.strip()
        while len(rest) > MAX_RUN_CHARS:
            window = rest[:MAX_RUN_CHARS]
            cut = _last(_SENTENCE_END, window) or _last(_CLAUSE_END, window) or window.rfind(" ") + 1 or MAX_RUN_CHARS
            yield rest[:cut].strip()
            rest = rest[cut:].strip()
        if rest:
            yield rest


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last match ends; 0 without one."""
    return max((match.end() for match in pattern.finditer(text)), default=0)


def _load() -> Hibari:
    try:
        from hibari import Hibari
    except ModuleNotFoundError as error:
        raise _missing(error.name or "hibari") from error
    return Hibari(threads=1)


def _version() -> str:
    try:
        return importlib.metadata.version("hibari-tts")
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing("hibari-tts") from error


def _missing(package: str) -> DependencyError:
    return DependencyError(
        f"the draft narrator needs {package}", where="--engine draft", hint="`pip install hibari-tts onnxruntime`"
    )
