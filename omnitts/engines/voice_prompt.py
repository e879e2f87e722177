"""Voice prompts: what a model hears in a reference clip, computed once per voice and stored as one safetensors file.

A voice and an opened codec go in; a `VoicePrompt` comes out. The file lies in the voice's own folder (a voice of the
user's library) or in the cache (a loose recording, a preset), and is named by edition, codec and recording, so that
another checkpoint or an edited clip never meets an old prompt.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from omnitts import audio, paths
from omnitts.errors import OutputError, VoiceError
from omnitts.models.codec.adaptation import Adaptation
from omnitts.models.codec.features import FRONT_END_RATE
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.types import Voice

logger = logging.getLogger(__name__)

_LONGEST_CLIP_S = 30.0
_EDITION = 2  # counted up whenever the same codec hears more, or something else, in the same clip
_FIELDS = ("tokens", "mel", "speaker")
_ADAPTATION = tuple(field.name for field in fields(Adaptation))  # where the codec adapts to its speakers


def stored_prompt(voice: Voice, codec_digest: str, listen: Callable[[torch.Tensor], VoicePrompt]) -> VoicePrompt:
    """The voice's prompt for the codec of this digest: from its file, else heard by ``listen`` and stored.

    ``listen`` takes (N,) samples at 16 kHz. Raises `VoiceError` when the clip cannot be used.
    """
    name = f"prompt-{_EDITION}-{codec_digest[:12]}-{voice.digest[:12]}.safetensors"
    folders = [paths.cache_dir() / "voice_prompts"]
    if voice.folder is not None and voice.folder.is_relative_to(paths.voices_dir()):
        folders.insert(0, voice.folder)  # a preset's folder belongs to the package
    for folder in folders:
        prompt = _read(folder / name)
        if prompt is not None:
            return prompt
    prompt = listen(_samples(voice))
    _store(prompt, folders, name)
    return prompt


def _samples(voice: Voice) -> torch.Tensor:
    waveform = audio.load(voice.audio, FRONT_END_RATE)
    if waveform.duration_s > _LONGEST_CLIP_S:
        raise VoiceError(
            f"the reference is {waveform.duration_s:.0f} s long",
            where=str(voice.audio),
            hint=f"give 5 to 15 s of clean speech, at most {_LONGEST_CLIP_S:.0f} s",
        )
    return torch.from_numpy(waveform.samples)


def _read(path: Path) -> VoicePrompt | None:
    """None when there is no such file, or it is damaged: then it is made again."""
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        adaptation = Adaptation(*(tensors[field] for field in _ADAPTATION)) if _ADAPTATION[0] in tensors else None
        return VoicePrompt(tensors["tokens"], tensors["mel"], tensors["speaker"], adaptation)
    except (SafetensorError, KeyError, OSError) as error:
        logger.warning("%s: the stored voice prompt is damaged (%s) and will be made again", path, error)
        return None


def _store(prompt: VoicePrompt, folders: list[Path], name: str) -> None:
    """In the first folder that can be written; a prompt that cannot be stored is only slower next time."""
    tensors = {field: getattr(prompt, field) for field in _FIELDS}
    if prompt.adaptation is not None:
        tensors |= {field: getattr(prompt.adaptation, field) for field in _ADAPTATION}
    data = save({field: tensor.contiguous() for field, tensor in tensors.items()})
    for folder in folders:
        if folder.is_dir() and not os.access(folder, os.W_OK):
            continue
        try:
            audio.write_atomically(folder / name, data)
        except OutputError as error:
            logger.debug("voice prompt not stored: %s", error)
            continue
        return
