"""Finishing a narration: accepted clips of a job into a timeline, the timeline into the tagged file, and the facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omnitts.engines.base import Engine
from omnitts.pipeline.cast import NARRATOR, Cast
from omnitts.pipeline.job import Job
from omnitts.pipeline.master import Mastered, load_master, master
from omnitts.pipeline.narrate_options import NarrateOptions
from omnitts.pipeline.plan import Plan
from omnitts.pipeline.stitch import ChapterAudio, PieceAudio, Timeline, stitch
from omnitts.pipeline.tags import Tags
from omnitts.progress import Progress
from omnitts.types import Book, Utterance


def stitch_book(planned: Plan, job: Job, options: NarrateOptions, engine: Engine) -> Timeline:
    """The best take of every utterance, chapter by chapter, with the pauses between them."""
    chapters = [
        ChapterAudio(chapter.title, [PieceAudio(piece.id, _clip_of(job, piece), piece.pause_s) for piece in pieces])
        for chapter, pieces in planned.spoken_chapters()
    ]
    tempo = options.speed / engine_speed(options.speed, engine)
    return stitch(chapters, engine.capabilities.sample_rate, speed=tempo)


def master_book(
    timeline: Timeline,
    book: Book,
    cast: Cast,
    engine: Engine,
    options: NarrateOptions,
    out: Path,
    progress: Progress,
) -> Mastered:
    """Writes the finished file(s), tagged with who wrote the book and what spoke it."""
    chosen = load_master(options.master, format=options.format, split=options.split, cover=book.cover)
    narrator = cast[NARRATOR]
    tags = Tags(
        title=book.title,
        authors=book.authors,
        narrator=narrator.name if narrator else "",
        language=book.language,
        date=book.date,
        publisher=book.publisher,
        description=book.description,
        engine=engine.description,
        model_revision=engine.revision,
        voice_digest=narrator.digest if narrator else "",
    )
    return master(timeline, tags, out, chosen, progress)


def facts_of(options: NarrateOptions, book: Book, cast: Cast, engine: Engine, mastered: Mastered) -> dict[str, Any]:
    voices = [voice for voice in cast.voices if voice is not None]
    return {
        "source": book.source,
        "files": [str(file) for file in mastered.files],
        "engine": {"name": engine.name, "revision": engine.revision, "description": engine.description},
        "voices": [{"name": voice.name, "sha256": voice.digest} for voice in voices],
        "settings": {
            "seed": options.seed,
            "takes": options.quality.takes,
            "speed": options.speed,
            "check": options.quality.check,
            "max_wer": options.quality.max_wer,
            "min_sim": options.quality.min_sim,
            "master": options.master,
        },
        "gain_db": round(mastered.gain_db, 2),
    }


def engine_speed(speed: float, engine: Engine) -> float:
    """The part of ``--speed`` that the engine does itself; assembly does the rest."""
    return speed if engine.capabilities.speed else 1.0


def _clip_of(job: Job, utterance: Utterance) -> Path:
    take = job.best_take(utterance.id)
    assert take is not None, "speaking ended without a take"
    return job.folder.clip(take.clip.file)
