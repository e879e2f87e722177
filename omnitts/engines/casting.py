"""Casting: a voice becomes what an engine needs to speak in it, once, and is kept for as long as the engine is open.

A `Voice` (recording and transcript) in; the mouth's prompt rows, the codec's prompt and the accent out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch

from omnitts.engines.registry import primary_tag
from omnitts.engines.voice_prompt import stored_prompt
from omnitts.errors import VoiceError
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.reading.text_reader import TextReader
from omnitts.types import Voice

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CastVoice:
    """Rows as of `PromptBuilder.voice_rows`. ``accent``: how the voice pronounces, empty where nobody knows."""

    rows: torch.Tensor
    prompt: VoicePrompt
    accent: str


class Casting:
    """The voices of one checkpoint. ``reader`` tells the accent of a recording whose card does not."""

    def __init__(
        self,
        prompts: PromptBuilder,
        reader: TextReader | None,
        codec_digest: str,
        listen: Callable[[torch.Tensor], VoicePrompt],
    ) -> None:
        """``codec_digest`` and ``listen`` as `stored_prompt` wants them."""
        self._prompts, self._reader, self._codec_digest, self._listen = prompts, reader, codec_digest, listen
        self._voices: dict[str, CastVoice] = {}

    def cast(self, voice: Voice | None) -> CastVoice:
        """Raises `VoiceError` when there is no voice, or its recording or transcript cannot be used."""
        if voice is None:
            hint = "add --voice: a recording of 5 to 15 s, or a name from `omnitts voices list`"
            raise VoiceError("mgm-omni speaks only in a cloned voice, and none is given", hint=hint)
        name = voice_key(voice)
        if name not in self._voices:
            self._voices[name] = self._new(voice)
        return self._voices[name]

    def _new(self, voice: Voice) -> CastVoice:
        if not voice.transcript.strip():
            raise VoiceError(
                "it is not known what the reference recording says",
                where=str(voice.audio),
                hint='give its words with --voice-text "..." or in a text file of the same name beside it',
            )
        prompt = stored_prompt(voice, self._codec_digest, self._listen)
        codes = prompt.tokens.tolist()
        accent = voice.accent or self._heard_accent(voice, codes)
        return CastVoice(self._prompts.voice_rows(voice.transcript, codes, accent), prompt, accent)

    def _heard_accent(self, voice: Voice, codes: list[int]) -> str:
        if self._reader is None:
            return ""
        accent = self._reader.accent(codes, voice.transcript, primary_tag(voice.language))
        logger.debug("%s: heard as %s", voice.name, accent or "of no accent")
        return accent


def voice_key(voice: Voice | None) -> str:
    """Names the prompt of a voice: recording, what it says and how."""
    return "" if voice is None else f"{voice.digest} {voice.accent} {voice.transcript}"
