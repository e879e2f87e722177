"""Adds a voice to the user's library: a recording in, a folder with clip, transcript, licence note and language out.

The clip keeps its own rate and level, unless it is so quiet that a listener would turn it up. Everything lies in a
hidden folder first and is renamed when whole: a voice that is listed is complete. Does not know which ASR listens.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnitts import __version__, audio, paths
from omnitts.audio import Waveform
from omnitts.errors import OutputError, UsageError, VoiceError
from omnitts.pipeline.voices.card import CLIP_FILE, VoiceCard, check_name, file_sha256, load_voice, write_card
from omnitts.pipeline.voices.inspection import QUIET_DBFS, Inspection, Severity, inspect
from omnitts.pipeline.voices.library import EXCERPT_S, LONGEST_S, find_entry, guess_language, load_clip, read_sidecar
from omnitts.pipeline.voices.trim import Trimmed, speech_spans, trim
from omnitts.types import Voice

if TYPE_CHECKING:
    from omnitts.pipeline.check.transcribe import Listener

QUIET_TARGET_DBFS = -23.0
CEILING_DBFS = -1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AddOptions:
    """What `add_voice` is told; the names are those of the command's options.

    ``text`` overrules what is heard. ``language`` is what to listen for; empty means English, or Chinese when the text
    is. ``force`` accepts faults, though not what cannot be cloned at all, and replaces (or hides, if it is a preset) a
    voice of the same name.
    """

    name: str
    clip: Path
    text: str | None = None
    language: str = ""
    licence: str = ""
    source: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """A voice that was added, what was kept of the recording, and what was found in it."""

    voice: Voice
    kept: Trimmed
    inspection: Inspection


def add_voice(options: AddOptions, transcriber: Listener | None) -> Added:
    """Trims, transcribes, inspects and stores a recording.

    Without ``text`` (or a text file beside the recording) a ``transcriber`` is needed; with it, the transcriber checks.
    Raises `VoiceError` when the recording is unfit or its name is taken, `UsageError` when there is nothing to take a
    transcript from.
    """
    name = check_name(options.name)
    _refuse_taken(name, options.force)
    waveform = load_clip(options.clip)
    kept = trim(waveform, speech_spans(waveform), longest_s=LONGEST_S, excerpt_s=EXCERPT_S)
    text = options.text if options.text is not None else read_sidecar(options.clip)
    _refuse_text_of_more(text, kept, options.clip)
    language = options.language.lower() or guess_language(text)
    heard = transcriber.transcribe(kept.waveform, language, careful=True).text.strip() if transcriber else ""
    transcript = " ".join((text or heard).split())
    inspection = inspect(kept.waveform, transcript, wer=error_rate(transcript, heard, language) if text else None)
    _refuse_unfit(inspection, options)
    if not transcript and transcriber is None:
        hint = "give it with --text, or see `omnitts doctor` for how to get speech recognition"
        raise UsageError("a transcript of the clip is needed", where=str(options.clip), hint=hint)
    if not transcript:
        raise VoiceError("no words are heard in the clip", where=str(options.clip), hint="give them with --text")
    card = VoiceCard(
        name=name,
        transcript=transcript,
        language=language,
        clip_sha256="",
        licence=options.licence,
        source=options.source or options.clip.name,
        created_by=f"omnitts {__version__}",
    )
    return Added(_store(card, _audible(kept.waveform, inspection)), kept, inspection)


def error_rate(transcript: str, heard: str, language: str) -> float | None:
    """Word (Chinese: character) error rate of what was heard against the transcript; None when nobody listened."""
    if not transcript or not heard:
        return None
    from omnitts.pipeline.check.wer import compare

    return compare(transcript, heard, language).wer


def _refuse_taken(name: str, force: bool) -> None:
    entry = find_entry(name)
    if entry is None or force:
        return
    if entry.is_preset:
        raise VoiceError("a preset has this name", where=name, hint="choose another name, or hide the preset: --force")
    raise VoiceError("a voice of this name exists", where=name, hint="choose another name, or replace it: --force")


def _refuse_text_of_more(text: str, kept: Trimmed, clip: Path) -> None:
    if text and kept.is_excerpt:
        raise VoiceError(
            f"the recording is longer than {LONGEST_S:.0f} s and is cut, so its transcript no longer fits",
            where=str(clip),
            hint=f"give at most {LONGEST_S:.0f} s, or let it be transcribed (no --text, no .txt file beside it)",
        )


def _refuse_unfit(inspection: Inspection, options: AddOptions) -> None:
    """One error for all faults: they are mended together, by recording again."""
    faults = inspection.faults
    fatal = [fault for fault in faults if fault.severity is Severity.FATAL]
    if not fatal and (options.force or not faults):
        return
    what = "; ".join(fault.what for fault in fatal or faults)
    hint = (fatal or faults)[0].hint + ("" if fatal else ", or add it as it is: --force")
    raise VoiceError(what, where=str(options.clip), hint=hint)


def _audible(waveform: Waveform, inspection: Inspection) -> Waveform:
    """A quiet clip raised to ``QUIET_TARGET_DBFS`` of speech, as far as its peaks allow; any other clip unchanged."""
    if inspection.speech_dbfs >= QUIET_DBFS:
        return waveform
    gain_db = min(QUIET_TARGET_DBFS - inspection.speech_dbfs, CEILING_DBFS - inspection.peak_dbfs)
    _log.info("the clip is quiet: raised by %.0f dB", gain_db)
    return Waveform(waveform.samples * 10 ** (gain_db / 20), waveform.sample_rate)


def _store(card: VoiceCard, waveform: Waveform) -> Voice:
    root = paths.voices_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{card.name}.", dir=root))
    except OSError as error:
        raise OutputError(f"cannot write ({error.strerror})", where=str(root), hint="check the folder") from error
    try:
        audio.save(waveform, aside / CLIP_FILE)
        write_card(aside, dataclasses.replace(card, clip_sha256=file_sha256(aside / CLIP_FILE)))
        aside.chmod(0o755)
        taken = find_entry(card.name)
        if taken is not None and not taken.is_preset:  # `_refuse_taken` made sure that this is wanted
            shutil.rmtree(taken.folder)
        aside.rename(root / card.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return load_voice(root / card.name)
