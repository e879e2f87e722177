"""Auditing a finished audiobook, whoever made it: audio and text in, the quality report of `check.whole_file` out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omnitts.errors import BookError
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.sounds import EnglishSounds, NoSounds
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.pipeline.check.whole_file import WholeReport, check_audio
from omnitts.pipeline.plan import PlanOptions, SoundSettings, plan
from omnitts.pipeline.read import ReadOptions, read_book, select_chapters
from omnitts.pipeline.text.options import TextOptions
from omnitts.pipeline.text.sentences import sentence_spans
from omnitts.pipeline.voices.library import resolve_voice


@dataclass(frozen=True)
class AuditOptions:
    """What `omnitts check` is told; names are the flags'."""

    audio: Path
    text: Path
    chapters: str = ""
    reading: ReadOptions = field(default_factory=ReadOptions)
    lexicon: tuple[Path, ...] = ()
    voice: str | None = None
    min_sim: float | None = None
    asr: str = ""


def audit(options: AuditOptions) -> WholeReport:
    """Hears a whole audiobook against the spoken form of a text, in constant memory.

    Raises `BookError`, `AudioError`, `VoiceError` for inputs that cannot be used.
    """
    book = read_book(options.text, options.reading)
    if options.chapters:
        book = select_chapters(book, options.chapters)
    language = book.language or "en"
    reading = TextOptions(language=language, lexicon=options.lexicon)
    planned = plan(book, _Anyone(), PlanOptions(SoundSettings("", ""), reading))
    chapters = [
        (
            chapter.title,
            [piece.text[span.start : span.end].strip() for piece in pieces for span in sentence_spans(piece.text)],
        )
        for chapter, pieces in planned.spoken_chapters()
    ]
    if not chapters:
        raise BookError("there is nothing to compare with", where=str(options.text), hint="give the text of the audio")
    voice = resolve_voice(options.voice) if options.voice is not None else None
    listener = Transcriber(find_asr_model(options.asr, language=language))
    sounds = EnglishSounds(listener.is_rare) if language == "en" else NoSounds()
    return check_audio(
        options.audio, chapters, listener, language=language, sounds=sounds, voice=voice, min_sim=options.min_sim
    )


class _Anyone(dict[str, None]):
    """Who speaks does not matter to what should be heard: every speaker is known."""

    def __missing__(self, speaker: str) -> None:
        return None

    def __contains__(self, speaker: object) -> bool:
        return True
