"""The nouns that cross rooms: Book, Chapter, Block, Voice, Utterance, Clip, Verdict. Plain data, no behaviour.

Knows nothing of files, models or jobs. Everything here is immutable, picklable and cheap to import.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

BLOCK_SEPARATOR = "\n\n"  # between the blocks of a chapter's display text


class Span(NamedTuple):
    """Half-open range of characters in a chapter's display text."""

    start: int
    end: int


class BlockKind(str, Enum):
    """What a block of text is; decides its pause, and for notes whether it is spoken."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    QUOTE = "quote"
    VERSE = "verse"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CAPTION = "caption"
    NOTE = "note"
    SCENE_BREAK = "scene_break"


class Pause(str, Enum):
    """Why the narrator is silent after an utterance; seconds per kind are an option of the plan."""

    CLAUSE = "clause"
    SENTENCE = "sentence"
    PARAGRAPH = "paragraph"
    SCENE = "scene"
    HEADING = "heading"
    CHAPTER = "chapter"


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading, list item ... of a chapter.

    ``text`` is the display text, whitespace already collapsed, never empty except for a scene break. ``source`` is its
    place in the file for people: ``"ch03.xhtml#p12"``, ``"line 120"``. ``speaker`` is a voice name from the source
    itself (a script's ``NAME:`` lines); None is the narrator. ``level`` is 1 to 6 for headings, else 0.
    ``spoken`` says that the text is already what is to be heard (a line of an edited dump): it is neither normalised
    nor joined with its neighbours. ``pause`` and ``pause_s`` fix the silence after such a line; None leaves it to the
    plan.
    """

    kind: BlockKind
    text: str
    source: str = ""
    level: int = 0
    speaker: str | None = None
    language: str | None = None
    spoken: bool = False
    pause: Pause | None = None
    pause_s: float | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter in reading order. ``skip_reason`` is empty when it is to be spoken, else says why it is not."""

    title: str
    blocks: tuple[Block, ...]
    source: str = ""
    skip_reason: str = ""

    @property
    def text(self) -> str:
        """Display text: the blocks' texts joined by ``BLOCK_SEPARATOR``. Utterance spans index into this string."""
        return BLOCK_SEPARATOR.join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a source that its owner should know. ``fatal`` problems make ``omnitts plan`` exit non-zero."""

    what: str
    where: str = ""
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Book:
    """A whole source. ``language`` is a lower-case BCP 47 primary tag (``en``, ``zh``), or empty when unknown."""

    title: str
    chapters: tuple[Chapter, ...]
    authors: tuple[str, ...] = ()
    language: str = ""
    cover: bytes | None = None
    identifier: str = ""
    publisher: str = ""
    date: str = ""
    description: str = ""
    source: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """A reference recording to clone. ``digest`` is the sha256 of the recording's bytes and of its transcript.

    ``audio`` is a file that `omnitts.audio.load` reads. ``folder`` is where the voice lives in a library (derived
    data, such as a stored voice prompt, goes there), or None for a loose file. ``accent``: ``British``, ``en-gb`` and
    the like, where it is known.
    """

    name: str
    audio: Path
    digest: str
    transcript: str = ""
    language: str = ""
    licence: str = ""
    folder: Path | None = None
    note: str = ""
    accent: str = ""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One piece to speak: what the plan makes, the job stores and an engine is handed.

    ``id`` is a hash of all that decides its sound (spoken text, language, speed, voice, engine, model revision,
    sampling, seed): see `omnitts.pipeline.plan`. ``span`` is its place in ``Chapter.text``; the spans of a chapter's
    utterances follow each other without gap or overlap and rebuild the text exactly. ``pause_s`` is silence after it;
    ``estimate_s`` is how long it will probably sound.
    """

    id: str
    chapter_idx: int
    piece_idx: int
    text: str
    display: str
    span: Span
    pause: Pause
    pause_s: float
    speaker: str = ""
    language: str = ""
    source: str = ""
    estimate_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a word or sentence lies in a clip."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A finished take on disk. ``file`` is relative to the job's clip folder; its name is the hash of its content."""

    utterance_id: str
    take: int
    seed: int
    file: str
    duration_s: float
    sample_rate: int
    synthesis_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks found in one take.

    ``wer`` is word error rate (character error rate for Chinese), None when nothing was transcribed; ``coverage`` the
    share of expected words that were heard; ``longest_gap`` the longest run of missing words; ``similarity`` the cosine
    against the reference voice, None without one. ``reasons`` is empty exactly when ``accepted``. ``score`` orders
    takes: larger is better.
    """

    accepted: bool
    reasons: tuple[str, ...] = ()
    heard: str = ""
    wer: float | None = None
    words: int = 0
    errors: int = 0
    coverage: float | None = None
    longest_gap: int = 0
    head_insertions: int = 0
    tail_insertions: int = 0
    similarity: float | None = None
    rate_wps: float | None = None
    signal: dict[str, float] = field(default_factory=dict)
    alignment: tuple[tuple[str, str, str], ...] = ()
    score: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
