"""A voice's card: the small JSON file beside its clip. A folder in, a `VoiceCard` out, and back.

Knows where the two files of a voice are called what; knows nothing of libraries, presets or what the sound is like.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from omnitts.audio import write_atomically
from omnitts.errors import VoiceError
from omnitts.types import Voice

CLIP_FILE = "clip.flac"
CARD_FILE = "voice.json"
_NAME = re.compile(r"[^\W_][\w-]{0,63}")  # no dots and no slashes: a name is never mistaken for a file
_REMAKE = "remove the voice (omnitts voices remove) and add it again"


@dataclass(frozen=True, slots=True)
class VoiceCard:
    """What is known of a voice beside its sound. ``clip_sha256`` is the digest of the clip file's bytes.

    ``licence`` says what may be done with the voice and by whose leave; ``source`` where the clip comes from;
    ``created_by`` what made the card (program and version).
    """

    name: str
    transcript: str
    language: str
    clip_sha256: str
    licence: str = ""
    source: str = ""
    created_by: str = ""
    gender: str = ""
    accent: str = ""
    note: str = ""


def check_name(name: str) -> str:
    """The name itself when it may name a voice, else `VoiceError`."""
    if not _NAME.fullmatch(name):
        raise VoiceError(
            "this cannot be the name of a voice", where=repr(name), hint="use letters, digits, '-' and '_', at most 64"
        )
    return name


def read_card(folder: Path) -> VoiceCard:
    """Reads ``voice.json``. Raises `VoiceError` naming the field that is missing or not text."""
    path = folder / CARD_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VoiceError(f"the voice's card cannot be read ({error})", where=str(path), hint=_REMAKE) from error
    if not isinstance(data, dict):
        raise VoiceError("the voice's card is not a JSON object", where=str(path), hint=_REMAKE)
    values: dict[str, str] = {}
    for field in dataclasses.fields(VoiceCard):
        value = data.get(field.name, None if field.default is dataclasses.MISSING else "")
        if not isinstance(value, str):
            raise VoiceError(f"the voice's card has no text for {field.name!r}", where=str(path), hint=_REMAKE)
        values[field.name] = value
    return VoiceCard(**values)


def write_card(folder: Path, card: VoiceCard) -> None:
    """Writes ``voice.json``, aside first."""
    text = json.dumps(dataclasses.asdict(card), ensure_ascii=False, indent=2) + "\n"
    write_atomically(folder / CARD_FILE, text.encode())


def load_voice(folder: Path) -> Voice:
    """The voice in a folder. Raises `VoiceError` when the clip is gone or is no longer the one that was added."""
    card = read_card(folder)
    clip = folder / CLIP_FILE
    if not clip.is_file():
        raise VoiceError("the voice's clip is missing", where=str(clip), hint=_REMAKE)
    if file_sha256(clip) != card.clip_sha256:
        raise VoiceError(
            "the voice's clip is not the one that was added (sha256 differs)", where=str(clip), hint=_REMAKE
        )
    return Voice(
        name=card.name,
        audio=clip,
        digest=voice_digest(clip, card.transcript),
        transcript=card.transcript,
        language=card.language,
        licence=card.licence,
        folder=folder,
        note=card.note,
        accent=card.accent,
    )


def voice_digest(clip: Path, transcript: str) -> str:
    """sha256 (hex) of the clip's bytes, a zero byte, and the transcript in UTF-8: what decides how a clone sounds."""
    return file_sha256(clip, suffix=b"\0" + transcript.encode())


def file_sha256(path: Path, suffix: bytes = b"") -> str:
    """sha256 (hex) of a file's bytes followed by ``suffix``, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    digest.update(suffix)
    return digest.hexdigest()
