"""The voices there are: a user's own library, then the presets, then any recording. A name or path in, a `Voice` out.

A voice that is unknown or cannot be used is a `VoiceError`: never another voice. Knows nothing of engines, and of the
sound only that it can be read and is long enough; `omnitts.pipeline.voices.inspection` looks closer.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnitts import audio, paths
from omnitts.audio import Waveform
from omnitts.errors import AudioError, VoiceError
from omnitts.pipeline.voices.card import CARD_FILE, VoiceCard, load_voice, read_card, voice_digest
from omnitts.presets import preset_dir
from omnitts.types import Voice

if TYPE_CHECKING:
    from omnitts.pipeline.check.transcribe import Listener

SHORTEST_S = 3.0  # below this a clone is a guess
LONGEST_S = 20.0  # a longer recording is cut to an excerpt
EXCERPT_S = 15.0
LONGEST_READ_S = 1800.0  # half an hour: more is a book, not a reference
AUDIBLE_DBFS = -60.0
_COUNTING_RATE = 8000
_PROMPT_HINT = "record 5 to 15 s of clean speech by one person"
_LIST_HINT = "`omnitts voices list` shows all voices"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VoiceEntry:
    """A line of `list_voices`.

    ``is_preset`` voices ship with omnitts and cannot be removed; ``error`` is empty, or says why the folder cannot be
    read as a voice (its card is then None).
    """

    name: str
    folder: Path
    is_preset: bool
    card: VoiceCard | None
    error: str = ""


def list_voices() -> list[VoiceEntry]:
    """The user's own voices, then the presets that no own voice of the same name hides; each part by name."""
    entries: list[VoiceEntry] = []
    taken: set[str] = set()
    for root, is_preset in ((paths.voices_dir(), False), (preset_dir("voices"), True)):
        for folder in _voice_folders(root):
            if folder.name.casefold() in taken:
                continue
            taken.add(folder.name.casefold())
            try:
                entries.append(VoiceEntry(folder.name, folder, is_preset, read_card(folder)))
            except VoiceError as error:
                entries.append(VoiceEntry(folder.name, folder, is_preset, None, error.what))
    return entries


def find_entry(name: str) -> VoiceEntry | None:
    """The own voice or preset of that name (upper and lower case are the same), or None."""
    return next((entry for entry in list_voices() if entry.name.casefold() == name.casefold()), None)


def resolve_voice(name_or_path: str, transcript: str | None = None, language: str | None = None) -> Voice:
    """The voice a person means by ``--voice``: a library name, a preset name, or the path of a recording.

    ``transcript`` and ``language`` overrule what is stored. A recording takes its transcript from a text file of the
    same name (``ref.txt`` beside ``ref.wav``); without one it stays empty (`with_transcript`). A recording longer than
    ``LONGEST_S`` becomes an excerpt of at most ``EXCERPT_S``, cut at a pause and kept in the cache.
    Raises `VoiceError` when nothing has that name, or what has it is no usable recording.
    """
    entry = None if _names_a_file(name_or_path) else find_entry(name_or_path)
    if entry is not None:
        return _overruled(load_voice(entry.folder), transcript, language)
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise unknown_voice(name_or_path)
    return _voice_of_file(path, transcript, language)


def describe_clip(name_or_path: str, transcript: str | None = None, language: str = "") -> tuple[Path, str, str]:
    """Clip, transcript and language of a voice or a recording, however unfit it is (`resolve_voice` refuses those).

    The language is guessed from the transcript (English or Chinese) when nothing says it. Raises `VoiceError` when
    nothing has that name.
    """
    entry = None if _names_a_file(name_or_path) else find_entry(name_or_path)
    if entry is not None:
        voice = _overruled(load_voice(entry.folder), transcript, language)
        return voice.audio, voice.transcript, voice.language or guess_language(voice.transcript)
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise unknown_voice(name_or_path)
    text = read_sidecar(path) if transcript is None else " ".join(transcript.split())
    return path, text, language.lower() or guess_language(text)


def with_transcript(voice: Voice, transcriber: Listener, language: str = "en") -> Voice:
    """The voice with what it says written down by ``transcriber``; unchanged when that is known already.

    ``language`` is what to listen for when the voice's own is not known. Raises `VoiceError` when no word is heard.
    """
    if voice.transcript:
        return voice
    heard = transcriber.transcribe(load_clip(voice.audio), voice.language or language, careful=True).text.strip()
    if not heard:
        raise VoiceError("no words are heard in the reference", where=str(voice.audio), hint=_PROMPT_HINT)
    return _overruled(voice, heard, None)


def remove_voice(name: str) -> Path:
    """Deletes an own voice with all that was derived from it; returns its former folder. Presets are refused."""
    entry = find_entry(name)
    if entry is None:
        raise unknown_voice(name)
    if entry.is_preset:
        raise VoiceError("presets cannot be removed", where=name, hint="only voices you added can")
    shutil.rmtree(entry.folder)
    return entry.folder


def load_clip(path: Path) -> Waveform:
    """Reads a recording as mono at its own rate; every fault of the file is a `VoiceError`."""
    try:
        duration_s = 0.0  # counted block by block first: a whole audiobook given by mistake must not fill the memory
        for block in audio.stream(path, _COUNTING_RATE, block_s=30.0):
            duration_s += block.duration_s
            if duration_s > LONGEST_READ_S:
                raise VoiceError(
                    f"the recording is longer than {LONGEST_READ_S / 60:.0f} minutes",
                    where=str(path),
                    hint="cut out " + _PROMPT_HINT.removeprefix("record "),
                )
        return audio.load(path)
    except AudioError as error:
        raise VoiceError(error.what, where=error.where or str(path), hint=_PROMPT_HINT) from error


def guess_language(text: str) -> str:
    """``zh`` for a text with Chinese characters, else ``en``: the two languages the cloning model speaks."""
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"


def _voice_folders(root: Path) -> Iterator[Path]:
    """Folders that hold a card, by name. The card is written last: a folder without one is an unfinished voice."""
    if root.is_dir():
        yield from sorted(
            path for path in root.iterdir() if not path.name.startswith(".") and (path / CARD_FILE).exists()
        )


def _names_a_file(text: str) -> bool:
    """Names have no dots or slashes (`card.check_name`), so ``./anna`` and ``anna.wav`` can only be files."""
    return any(sign in text for sign in "./\\")


def _voice_of_file(path: Path, transcript: str | None, language: str | None) -> Voice:
    waveform = load_clip(path)
    if waveform.duration_s < SHORTEST_S:
        raise VoiceError(f"the reference voice is {waveform.duration_s:.1f} s long", where=str(path), hint=_PROMPT_HINT)
    if audio.peak_dbfs(waveform.samples) < AUDIBLE_DBFS:
        raise VoiceError("the reference voice is silent", where=str(path), hint=_PROMPT_HINT)
    beside = read_sidecar(path)
    if waveform.duration_s > LONGEST_S:
        if transcript is not None:
            raise VoiceError(
                f"the recording is {waveform.duration_s:.0f} s long and will be cut, so its transcript no longer fits",
                where=str(path),
                hint=f"give at most {LONGEST_S:.0f} s of it, or leave the transcript out",
            )
        path, beside = _cached_excerpt(path, waveform), ""
    text = beside if transcript is None else " ".join(transcript.split())
    return Voice(
        name=path.stem,
        audio=path,
        digest=voice_digest(path, text),
        transcript=text,
        language=(language or "").lower(),
    )


def _cached_excerpt(path: Path, waveform: Waveform) -> Path:
    """An excerpt of a long recording, named by its content so that the same recording always gives the same voice."""
    from omnitts.pipeline.voices.trim import speech_spans, trim

    spans = speech_spans(waveform)
    if not spans:
        raise VoiceError("nobody speaks in the recording", where=str(path), hint=_PROMPT_HINT)
    kept = trim(waveform, spans, longest_s=EXCERPT_S, excerpt_s=EXCERPT_S)
    data = audio.encode(kept.waveform, "FLAC")
    excerpt = paths.cache_dir() / "voices" / hashlib.sha256(data).hexdigest()[:16] / f"{path.stem}.flac"
    if not excerpt.is_file():
        audio.write_atomically(excerpt, data)
    _log.info(
        "%s is %.0f s long: its %.1f s from %.1f s on are the reference",
        *(path, waveform.duration_s, kept.end_s - kept.start_s, kept.start_s),
    )
    return excerpt


def read_sidecar(path: Path) -> str:
    """The transcript in ``ref.txt`` beside ``ref.wav``, on one line; empty without such a file."""
    beside = path.with_suffix(".txt")
    if not beside.is_file():
        return ""
    try:
        return " ".join(beside.read_text(encoding="utf-8-sig").split())
    except ValueError as error:
        raise VoiceError(
            "the transcript beside the recording is not UTF-8 text", where=str(beside), hint="save it as UTF-8"
        ) from error


def _overruled(voice: Voice, transcript: str | None, language: str | None) -> Voice:
    text = voice.transcript if transcript is None else " ".join(transcript.split())
    return dataclasses.replace(
        voice,
        transcript=text,
        digest=voice_digest(voice.audio, text),
        language=language.lower() if language else voice.language,
    )


def unknown_voice(name: str) -> VoiceError:
    """The error for a name that no voice has, with those that look like it."""
    if _names_a_file(name):
        return VoiceError("no such recording", where=name, hint="check the path, or name a voice: " + _LIST_HINT)
    known = {entry.name.casefold(): entry.name for entry in list_voices()}
    close = [known[key] for key in difflib.get_close_matches(name.casefold(), known, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(close)}? {_LIST_HINT}" if close else _LIST_HINT
    return VoiceError("no voice or recording of this name", where=name, hint=hint)
