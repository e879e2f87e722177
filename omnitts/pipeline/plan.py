"""A Book and a casting in, the Plan out: every utterance with its id, the chapters, the totals, and what is wrong.

Knows nothing of engines but the name, revision and languages it is told; reads no file but lexicons; makes no sound.

An utterance's id is the sha256 of what decides its sound, and of nothing else: see `utterance_id`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from omnitts.errors import BookError, EngineError, VoiceError
from omnitts.pipeline.text.findings import Findings
from omnitts.pipeline.text.lexicon import Lexicon, read_lexicon
from omnitts.pipeline.text.options import Piece, TextOptions
from omnitts.pipeline.text.pieces import pieces_of
from omnitts.types import Book, Chapter, Problem, Utterance, Voice

Casting = Mapping[str, Voice | None]
"""Who speaks: a speaker's name (empty for the narrator) to a voice to clone; None is the engine's own narrator."""

_CANONICAL_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_SYLLABIC = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]")
_ID_VERSION = 1  # a change of what ids are made of makes every old clip stale: raise it only then


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """What decides the sound beside text and voice. ``languages`` (the engine's; empty: any) is only for problems."""

    engine: str
    revision: str
    seed: int = 0
    speed: float = 1.0
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlanOptions:
    """Options of `plan`: how text is read, and what it is spoken with."""

    sound: SoundSettings
    text: TextOptions = field(default_factory=TextOptions)


@dataclass(frozen=True, slots=True)
class PlannedChapter:
    """One chapter of the book as planned.

    ``book_idx`` counts all chapters of the book; ``chapter_idx`` only those that are spoken, from 0, and is None for
    one that is not, with the reason in ``skip_reason``. ``seconds`` estimates its audio, pauses included.
    """

    book_idx: int
    chapter_idx: int | None
    title: str
    words: int
    pieces: int = 0
    seconds: float = 0.0
    skip_reason: str = ""
    source: str = ""


@dataclass(frozen=True)
class Plan:
    """All there is to speak, in reading order. Totals are estimates at the speed planned for."""

    title: str
    authors: tuple[str, ...]
    language: str
    utterances: tuple[Utterance, ...]
    chapters: tuple[PlannedChapter, ...]
    problems: tuple[Problem, ...]
    longest_piece_s: float = 0.0
    missing_speakers: tuple[str, ...] = ()
    unspoken_languages: tuple[str, ...] = ()

    @cached_property
    def words(self) -> int:
        """Words (Chinese characters count as words) of the chapters to be spoken."""
        return sum(chapter.words for chapter in self.chapters if chapter.chapter_idx is not None)

    @cached_property
    def audio_s(self) -> float:
        """Estimated length of the audiobook in seconds, pauses included."""
        return sum(chapter.seconds for chapter in self.chapters)

    def spoken_chapters(self) -> list[tuple[PlannedChapter, list[Utterance]]]:
        """Every chapter to be spoken with its utterances, in reading order."""
        spoken: dict[int, list[Utterance]] = {}
        for utterance in self.utterances:
            spoken.setdefault(utterance.chapter_idx, []).append(utterance)
        return [
            (chapter, spoken[chapter.chapter_idx])
            for chapter in self.chapters
            if chapter.chapter_idx is not None and chapter.chapter_idx in spoken
        ]

    @property
    def has_fatal_problems(self) -> bool:
        """Whether this plan cannot be narrated as it stands."""
        return any(problem.fatal for problem in self.problems)

    def raise_if_fatal(self) -> None:
        """Raises the first fatal problem: `VoiceError` for a speaker without a voice, `EngineError` for a language the
        engine does not speak, else `BookError`."""
        for problem in self.problems:
            if problem.fatal:
                kind = VoiceError if self.missing_speakers else EngineError if self.unspoken_languages else BookError
                raise kind(problem.what, where=problem.where, hint="omnitts plan shows all that was found")


def plan(book: Book, casting: Casting, options: PlanOptions) -> Plan:
    """Plans a whole book. Raises `TextError` for a lexicon that cannot be read; all else is listed in ``problems``.

    A chapter with a ``skip_reason`` is listed and not spoken; so is one with nothing to say, with that as its reason.
    """
    text_options = options.text
    language = text_options.language or book.language
    text_options = replace(text_options, language=language)
    lexicon = read_lexicon(text_options.lexicon) if text_options.lexicon else None
    utterances: list[Utterance] = []
    chapters: list[PlannedChapter] = []
    findings = Findings(casting, options.sound.languages, text_options.budget_s)
    num_spoken = 0
    for book_idx, chapter in enumerate(book.chapters):
        planned, spoken = _plan_chapter(
            chapter, book_idx, num_spoken, casting, options, text_options, lexicon, findings
        )
        chapters.append(planned)
        utterances.extend(spoken)
        num_spoken += planned.chapter_idx is not None
    findings.finish(num_chapters=num_spoken, book_source=book.source)
    return Plan(
        title=book.title,
        authors=book.authors,
        language=language,
        utterances=tuple(utterances),
        chapters=tuple(chapters),
        problems=(*book.problems, *findings.problems),
        longest_piece_s=findings.longest_s / options.sound.speed,
        missing_speakers=tuple(sorted(findings.missing_speakers)),
        unspoken_languages=tuple(sorted(findings.unspoken_languages)),
    )


def utterance_id(text: str, language: str, voice: Voice | None, sound: SoundSettings) -> str:
    """Hex sha256 of canonical JSON of all that decides an utterance's sound.

    Hashed are the spoken text, its language, the voice's digest (empty for the engine's own narrator), the engine's
    name and revision, the speed and the seed. Place, pause, speaker's name and display text are not: moving a sentence
    or renaming a voice re-renders nothing, and equal sentences are spoken once.
    """
    decisive = {
        "v": _ID_VERSION,
        "text": text,
        "language": language,
        "voice": voice.digest if voice else "",
        "engine": sound.engine,
        "revision": sound.revision,
        "speed": sound.speed,
        "seed": sound.seed,
    }
    return hashlib.sha256(_CANONICAL_JSON.encode(decisive).encode("utf-8", "surrogatepass")).hexdigest()


def count_words(text: str) -> int:
    """Words of display text; each Chinese, Japanese or Korean character counts as one."""
    if text.isascii():
        return len(text.split())
    return len(_SYLLABIC.sub(" x ", text).split())


def _plan_chapter(
    chapter: Chapter,
    book_idx: int,
    chapter_idx: int,
    casting: Casting,
    options: PlanOptions,
    text_options: TextOptions,
    lexicon: Lexicon | None,
    findings: Findings,
) -> tuple[PlannedChapter, list[Utterance]]:
    text = chapter.text
    planned = PlannedChapter(book_idx, None, chapter.title, count_words(text), source=chapter.source)
    if chapter.skip_reason:
        return replace(planned, skip_reason=chapter.skip_reason), []
    where = f"chapter {book_idx + 1}" + (f" ({chapter.title})" if chapter.title else "")
    findings.enter(where, chapter.blocks)
    pieces = list(pieces_of(chapter, text_options, lexicon, findings.markup))
    if not pieces:
        findings.empty_chapter()
        return replace(planned, skip_reason="nothing to speak"), []
    assert_rebuilds(text, pieces)
    utterances = list(_utterances(text, pieces, chapter_idx, casting, options.sound))
    for piece in pieces:
        findings.piece(piece)
    seconds = sum(piece.seconds for piece in pieces) / options.sound.speed + sum(piece.pause_s for piece in pieces)
    return replace(planned, chapter_idx=chapter_idx, pieces=len(pieces), seconds=seconds), utterances


def _utterances(
    text: str, pieces: list[Piece], chapter_idx: int, casting: Casting, sound: SoundSettings
) -> Iterator[Utterance]:
    for piece_idx, piece in enumerate(pieces):
        yield Utterance(
            id=utterance_id(piece.spoken, piece.language, casting.get(piece.speaker), sound),
            chapter_idx=chapter_idx,
            piece_idx=piece_idx,
            text=piece.spoken,
            display=text[piece.span.start : piece.span.end],
            span=piece.span,
            pause=piece.pause,
            pause_s=piece.pause_s,
            speaker=piece.speaker,
            language=piece.language,
            source=piece.source,
            estimate_s=piece.seconds / sound.speed,
        )


def assert_rebuilds(text: str, pieces: list[Piece]) -> None:
    """The promise of the text stage: spans begin at 0, end at the end, and follow each other without gap or overlap."""
    assert pieces[0].span.start == 0, "the first span does not begin the chapter"
    assert pieces[-1].span.end == len(text), "the last span does not end the chapter"
    assert all(a.span.end == b.span.start for a, b in pairwise(pieces)), "spans do not follow each other"


__all__ = [
    "Casting",
    "Plan",
    "PlanOptions",
    "PlannedChapter",
    "SoundSettings",
    "count_words",
    "plan",
    "utterance_id",
]
