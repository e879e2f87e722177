"""Listening for transcripts: windows of sound in, segments out, by faster-whisper or by a brain.

A window is at most 30 s long and cut where it is quiet. Knows no files and no formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from omnitts.audio import Waveform, rms_dbfs
from omnitts.engines.brain import AnswerOptions, Brain, BrainOptions, Quantise, open_brain
from omnitts.errors import EngineError, UsageError
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.pipeline.transcripts import Segment
from omnitts.types import Timing

ENGINES: Final = ("whisper", "mgm-omni", "fake")
SILENT_DBFS: Final = -65.0  # a window so quiet is not asked about: a brain would answer anyway
BRAIN_BATCH: Final = 4
BRAIN_TOKENS: Final = 448  # as many as whisper may write of a window
INSTRUCTION: Final = "Transcribe the speech in this recording word for word. Answer with the transcript only."
INSTRUCTIONS: Final = {"zh": "请逐字转写这段录音中的语音，只回答转写的文字。"}


@dataclass(frozen=True, slots=True)
class Window:
    start_s: float
    waveform: Waveform

    @property
    def end_s(self) -> float:
        return self.start_s + self.waveform.duration_s

    @property
    def is_silent(self) -> bool:
        return rms_dbfs(self.waveform.samples) < SILENT_DBFS


class Ear(Protocol):
    """A recogniser. ``batch``: how many windows it hears at once."""

    @property
    def description(self) -> str: ...

    @property
    def batch(self) -> int: ...

    def language_of(self, window: Window) -> str:
        """Primary tag of what is spoken; empty when the recogniser does not need to know."""
        ...

    def hear(self, windows: Sequence[Window], language: str) -> list[Segment]:
        """A segment for each window."""
        ...

    def close(self) -> None: ...


def open_ear(
    engine: str,
    model: str = "",
    *,
    language: str = "",
    device: str = "auto",
    dtype: str = "auto",
    quantise: Quantise = "",
    prompt: str = "",
) -> Ear:
    """A recogniser by name; ``prompt`` replaces a brain's instruction. Raises `EngineError`, `ModelError`."""
    if engine not in ENGINES:
        raise EngineError(f"nobody called {engine!r} can listen", where="--engine", hint="choose whisper or mgm-omni")
    if engine == "whisper":
        return WhisperEar(model, language, device)
    options = BrainOptions(model=model, device=device, dtype=dtype, quantise=quantise)
    return BrainEar(open_brain(engine, options), prompt)


class WhisperEar:
    """faster-whisper, with a time for each word."""

    batch = 1

    def __init__(self, model: str, language: str = "", device: str = "auto") -> None:
        device = whisper_device(device)
        known = language or ("en" if model.endswith(".en") else "")
        self._transcriber = Transcriber(find_asr_model(model, language=known, device=device), device)
        self.description = f"whisper {self._transcriber.model.name}"

    def language_of(self, window: Window) -> str:
        return self._transcriber.detect_language(window.waveform)

    def hear(self, windows: Sequence[Window], language: str) -> list[Segment]:
        segments = []
        for window in windows:
            heard = self._transcriber.transcribe(window.waveform, language)
            words = tuple(
                Timing(word.text, window.start_s + word.start_s, window.start_s + word.end_s) for word in heard.words
            )
            segments.append(Segment(window.start_s, window.end_s, heard.text, words))
        return segments

    def close(self) -> None:
        return


class BrainEar:
    """A brain that is asked to write down each window. It gives no times of words, and takes the likeliest words."""

    batch = BRAIN_BATCH

    def __init__(self, brain: Brain, prompt: str = "") -> None:
        self._brain = brain
        self._prompt = prompt
        self.description = brain.description

    def language_of(self, window: Window) -> str:
        return ""

    def hear(self, windows: Sequence[Window], language: str) -> list[Segment]:
        prompt = self._prompt or INSTRUCTIONS.get(language, INSTRUCTION)
        audible = [window for window in windows if not window.is_silent]
        options = AnswerOptions(temperature=0.0, max_new_tokens=BRAIN_TOKENS)
        answers = iter(
            self._brain.answer([[window.waveform, prompt] for window in audible], options) if audible else ()
        )
        segments = []
        for window in windows:
            if window.is_silent:
                segments.append(Segment(window.start_s, window.end_s, ""))
                continue
            end = next(answers)
            segments.append(Segment(window.start_s, window.end_s, end.text.strip(), is_cut=end.ended == "length"))
        return segments

    def close(self) -> None:
        self._brain.close()


def whisper_device(device: str) -> str:
    """``cpu`` or ``cuda`` for ``auto`` and those two. Raises `UsageError` for anything else."""
    if device == "auto":
        import ctranslate2  # type: ignore[import-untyped]

        return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if device not in ("cpu", "cuda"):
        raise UsageError(f"whisper cannot listen on {device!r}", where="--device", hint="say auto, cpu or cuda")
    return device
