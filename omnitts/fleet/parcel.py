"""Voice parcels: a voice as bytes, for workers that share no disk with the driver. Knows nothing of Ray or engines.

`pack` reads the recording and every stored prompt of the voice; `unpack` puts them into this machine's cache and gives
a `Voice` that lives there; `keep_prompts` stores at home what a worker heard in the recording.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from omnitts import paths
from omnitts.audio import write_atomically
from omnitts.errors import OutputError, VoiceError
from omnitts.types import Voice

logger = logging.getLogger(__name__)

PROMPT_PATTERN = "prompt-*-{digest}.safetensors"  # as `omnitts.engines.voice_prompt` names them
PROMPT_FOLDER = "voice_prompts"  # in the cache: where it keeps those of voices that are not in the library
CLIP_FOLDER = "cluster_voices"


@dataclass(frozen=True, slots=True)
class VoiceParcel:
    """A voice, the bytes of its recording, and its stored prompts by file name."""

    voice: Voice
    recording: bytes
    prompts: Mapping[str, bytes]


def pack(voice: Voice) -> VoiceParcel:
    """Raises `VoiceError` when the recording cannot be read."""
    try:
        recording = voice.audio.read_bytes()
    except OSError as error:
        raise VoiceError(
            f"the recording cannot be read ({error.strerror})", where=str(voice.audio), hint="check the path"
        ) from error
    return VoiceParcel(voice, recording, _prompts(voice))


def unpack(parcel: VoiceParcel) -> Voice:
    """The voice with its files on this machine. Raises `OutputError` when the cache cannot be written."""
    clip = paths.cache_dir() / CLIP_FOLDER / parcel.voice.digest / parcel.voice.audio.name
    prompts = paths.cache_dir() / PROMPT_FOLDER
    for path, data in [(clip, parcel.recording), *((prompts / name, data) for name, data in parcel.prompts.items())]:
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
    return replace(parcel.voice, audio=clip, folder=None)


def repack(parcel: VoiceParcel) -> VoiceParcel:
    """The same parcel with the prompts that lie on this machine now. Called where `unpack` was."""
    return replace(parcel, prompts=_prompts(replace(parcel.voice, folder=None)))


def keep_prompts(parcel: VoiceParcel) -> None:
    """Stores a parcel's prompts with a voice of the library, or in the cache, unless they are there already.

    A prompt that cannot be stored is only made again the next time.
    """
    folders = _homes(parcel.voice)
    if parcel.voice.folder is not None and not parcel.voice.folder.is_relative_to(paths.voices_dir()):
        folders = folders[1:]  # a preset's folder belongs to the package
    for name in parcel.prompts.keys() - _prompts(parcel.voice).keys():
        for folder in folders:
            try:
                write_atomically(folder / name, parcel.prompts[name])
            except OutputError as error:
                logger.debug("voice prompt not stored: %s", error)
                continue
            break


def _prompts(voice: Voice) -> dict[str, bytes]:
    pattern = PROMPT_PATTERN.format(digest=voice.digest[:12])
    found = (path for folder in reversed(_homes(voice)) if folder.is_dir() for path in sorted(folder.glob(pattern)))
    return {path.name: path.read_bytes() for path in found}


def _homes(voice: Voice) -> list[Path]:
    """Where prompts of a voice may lie, the first choice first."""
    return [folder for folder in (voice.folder, paths.cache_dir() / PROMPT_FOLDER) if folder is not None]
