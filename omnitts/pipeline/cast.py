"""Who speaks: the narrator's voice from the options, every other speaker's from the library by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.pipeline.voices.library import find_entry, resolve_voice, with_transcript
from omnitts.types import Voice

NARRATOR = ""


class Cast(Mapping[str, Voice | None]):
    """Speaker name to voice, looked up when a text first asks for it.

    The narrator (``""``) is the voice given, or None for an engine's own narrator. Any other speaker is the voice of
    that name in the library; a name that is no voice is no key, which the plan reports.
    """

    def __init__(self, narrator: Voice | None, voices: Mapping[str, Voice] | None = None) -> None:
        self._voices: dict[str, Voice | None] = {**(voices or {}), NARRATOR: narrator}

    def __getitem__(self, speaker: str) -> Voice | None:
        if speaker not in self._voices:
            if find_entry(speaker) is None:
                raise KeyError(speaker)
            self._voices[speaker] = resolve_voice(speaker)
        return self._voices[speaker]

    def __contains__(self, speaker: object) -> bool:
        return speaker in self._voices or (isinstance(speaker, str) and find_entry(speaker) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._voices)

    def __len__(self) -> int:
        return len(self._voices)

    @property
    def voices(self) -> tuple[Voice | None, ...]:
        """Every voice asked for so far, the narrator's first, each once."""
        distinct = {voice.digest if voice else "": voice for voice in (self._voices[NARRATOR], *self._voices.values())}
        return tuple(distinct.values())


def ready_voice(
    name_or_path: str, transcript: str | None = None, language: str | None = None, asr: str = "", listen_for: str = "en"
) -> Voice:
    """A voice with its transcript: its own, the one given, or what the recogniser ``asr`` hears in the recording.

    ``language`` is the recording's if it is known; ``listen_for`` what is listened for if not. What was heard is put
    into the form the cloning model was trained on. Raises `VoiceError`: never another voice.
    """
    voice = resolve_voice(name_or_path, transcript, language)
    if voice.transcript:
        return voice
    from omnitts.models.mgm_omni.prompt import tidy_transcript

    spoken = voice.language or listen_for
    heard = with_transcript(voice, Transcriber(find_asr_model(asr, language=spoken)), spoken)
    return resolve_voice(name_or_path, tidy_transcript(heard.transcript, to_simplified), spoken)


def to_simplified(text: str) -> str:
    """Traditional Chinese characters as simplified ones."""
    from opencc import OpenCC

    return str(OpenCC("t2s").convert(text))
