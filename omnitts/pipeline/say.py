"""Saying something now: text in, sound out piece by piece, without a book, a job or checks.

The same reading of text as for books (numbers, abbreviations, sentences), the same engines and voices. Serves the
Python API and `omnitts speak`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.engines.base import Engine, Speech, SpeechRequest
from omnitts.engines.checkpoints import mouths_present
from omnitts.engines.registry import EngineOptions, choose_engine, open_engine
from omnitts.errors import BookError, EngineError, UsageError
from omnitts.pipeline.cast import Cast, ready_voice
from omnitts.pipeline.plan import Plan, PlanOptions, SoundSettings, plan
from omnitts.pipeline.text.options import TextOptions
from omnitts.types import Block, BlockKind, Book, Chapter, Utterance, Voice


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that gives the sound of a request while it is still being made."""

    def stream(self, request: SpeechRequest) -> Iterator[Waveform]: ...


class Speaker:
    """An engine and a voice, ready to say things.

        speaker = omnitts.load_engine("mgm-omni", model="path/to/checkpoint", voice="ref.wav")
        speaker.say("Good evening.").save("evening.wav")

    ``voice``: a name of the library or a recording; engines that cannot clone take None.
    """

    def __init__(self, engine: Engine, voice: Voice | None, lexicon: tuple[Path, ...] = ()) -> None:
        self.engine = engine
        self._cast = Cast(voice)
        self._lexicon = lexicon

    def say(self, text: str, *, language: str = "", seed: int = 0, takes: int = 3) -> Waveform:
        """The whole of ``text`` as one waveform, pauses included.

        A take that the engine itself reports as failed is spoken again, up to ``takes`` times, with the next seed.
        Raises `EngineError` when a piece fails every time, `BookError` when there is nothing to say.
        """
        planned = self._plan(text, language, seed)
        sounds = {speech.key: speech for speech in self._speak(planned, seed, takes)}
        parts = []
        for utterance in planned.utterances:
            sound = sounds[utterance.id].waveform
            parts += [sound, audio.silence(utterance.pause_s, sound.sample_rate)]
        return audio.join(parts[:-1])

    def stream(self, text: str, *, language: str = "", seed: int = 0) -> Iterator[Waveform]:
        """The sound of ``text`` as it is made: pieces of a waveform that belong end to end."""
        planned = self._plan(text, language, seed)
        rate = self.engine.capabilities.sample_rate
        for place, utterance in enumerate(planned.utterances):
            if place:
                yield audio.silence(planned.utterances[place - 1].pause_s, rate)
            request = self._request(utterance, seed)
            if isinstance(self.engine, StreamingEngine):
                yield from self.engine.stream(request)
            else:
                yield from (_unless_failed(speech).waveform for speech in self.engine.speak([request]))

    def close(self) -> None:
        self.engine.close()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _plan(self, text: str, language: str, seed: int) -> Plan:
        capabilities = self.engine.capabilities
        sound = SoundSettings(self.engine.name, self.engine.revision, seed, languages=capabilities.languages)
        reading = TextOptions(language=language, lexicon=self._lexicon, budget_s=capabilities.budget_s)
        planned = plan(_book_of(text), self._cast, PlanOptions(sound, reading))
        if not planned.utterances:
            raise BookError("there is nothing to say in this text", hint="give a text with words in it")
        planned.raise_if_fatal()
        return planned

    def _speak(self, planned: Plan, seed: int, takes: int) -> Iterator[Speech]:
        left = {utterance.id: utterance for utterance in planned.utterances}
        for take in range(takes):
            requests = [self._request(utterance, seed + take) for utterance in left.values()]
            for speech in self.engine.speak(requests):
                if not speech.failure:
                    del left[speech.key]
                    yield speech
                elif take == takes - 1:
                    raise _failed(speech)
            if not left:
                return

    def _request(self, utterance: Utterance, seed: int) -> SpeechRequest:
        return SpeechRequest(utterance.id, utterance.text, self._cast[utterance.speaker], utterance.language, seed)


def open_speaker(
    engine: str = "auto",
    *,
    model: str = "",
    device: str = "auto",
    voice: str | None = None,
    voice_text: str | None = None,
    language: str | None = None,
    lexicon: tuple[Path, ...] = (),
    asr: str = "",
) -> Speaker:
    """Opens an engine by name and, where one is given, a voice; the arguments are the command line's options.

    Raises `UsageError`, `VoiceError`, `EngineError` or `ModelError`: never another voice, engine or model than the one
    asked for.
    """
    if voice is None and voice_text is not None:
        raise UsageError("a transcript without its recording", where="--voice-text", hint="add --voice ref.wav")
    speaker = ready_voice(voice, voice_text, None, asr, language or "en") if voice is not None else None
    name = choose_engine(
        engine,
        has_voice=voice is not None,
        models_present=(model,) if model else mouths_present(),
        language=language or "",
    )
    return Speaker(open_engine(name, EngineOptions(model=model, device=device)), speaker, lexicon)


def _book_of(text: str) -> Book:
    """Paragraphs (between empty lines) of a text as a book of one chapter without title."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    blocks = tuple(Block(BlockKind.PARAGRAPH, paragraph) for paragraph in paragraphs if paragraph)
    return Book("", (Chapter("", blocks),))


def _unless_failed(speech: Speech) -> Speech:
    if speech.failure:
        raise _failed(speech)
    return speech


def _failed(speech: Speech) -> EngineError:
    return EngineError(f"the speech failed ({speech.failure})", hint="try another --seed, or shorter sentences")
