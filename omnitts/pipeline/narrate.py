"""Narrating a book: the recipe from a source to a finished, checked file. Reads like a table of contents.

`NarrateOptions` in, `Narration` out; what happens on the way is told to a progress listener (events: README).
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omnitts.engines.base import Engine
from omnitts.engines.checkpoints import mouths_present
from omnitts.engines.registry import EngineOptions, choose_engine, open_engine
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, BookError, OutputError, UsageError
from omnitts.fleet.base import LOCAL, RAY, FleetOptions, open_fleet
from omnitts.pipeline.cast import NARRATOR, Cast, ready_voice
from omnitts.pipeline.check.judge import Checker, QualityOptions
from omnitts.pipeline.estimate import estimate_time, remember_speed
from omnitts.pipeline.formats import choose_format
from omnitts.pipeline.job import Job, JobFolder, Status, job_folder_for, open_job
from omnitts.pipeline.master import Mastered, load_master, master
from omnitts.pipeline.plan import Plan, PlanOptions, SoundSettings, count_words, plan
from omnitts.pipeline.read import ReadOptions, read_book, select_chapters
from omnitts.pipeline.report import StageTimes, build_report, write_report
from omnitts.pipeline.speak import SpeakOptions, Stage, speak
from omnitts.pipeline.staging import staged
from omnitts.pipeline.stitch import ChapterAudio, PieceAudio, Timeline, stitch
from omnitts.pipeline.tags import Tags
from omnitts.pipeline.text.options import TextOptions
from omnitts.pipeline.voices.library import resolve_voice
from omnitts.progress import Event, Progress
from omnitts.types import Book, Utterance

logger = logging.getLogger(__name__)

STDIN = "-"
DEFAULT_FORMAT = "m4b"


@dataclass(frozen=True)
class NarrateOptions:
    """What `omnitts narrate` is told; names are the flags'. ``source`` is a path or ``-``; ``out`` None is beside it.

    ``sample_s`` speaks only the first stretch; ``job`` None is a folder chosen by source and output. ``title``,
    ``author`` and ``cover`` replace the book's own.
    ``cluster`` is the address of its workers (`FleetOptions`); empty for this process.
    """

    source: str
    out: Path | None = None
    format: str = ""
    split: str = "none"
    master: str = "audiobook"
    report: Path | None = None
    job: Path | None = None
    sample_s: float | None = None
    chapters: str = ""
    title: str = ""
    author: str = ""
    cover: Path | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    lexicon: tuple[Path, ...] = ()
    language: str = ""
    voice: str | None = None
    voice_text: str | None = None
    engine: str = "auto"
    model: str = ""
    device: str = "auto"
    cluster: str = ""
    speed: float = 1.0
    seed: int = 0
    quality: QualityOptions = field(default_factory=QualityOptions)
    command: str = ""


@dataclass(frozen=True)
class Narration:
    """What came of it. ``exit_code`` is 0 when every piece was accepted, 2 when something is flagged."""

    files: tuple[Path, ...]
    report_file: Path
    report: dict[str, Any]

    @property
    def exit_code(self) -> int:
        return EXIT_FLAGGED if self.report["num_flagged"] else EXIT_OK


def narrate(options: NarrateOptions, progress: Progress) -> Narration:
    """Turns a book into a finished audiobook; the same call again goes on where it was stopped.

    Raises the errors of every stage (`omnitts.errors`); whatever was finished before is kept in the job.
    """
    started_s = time.perf_counter()
    book = read_source(options)
    out = output_of(options, book)
    _refuse_early(out, options)
    cast, engine = cast_and_engine(options, book)
    planned = plan_for(options, book, cast, engine)
    folder = JobFolder(options.job) if options.job else job_folder_for(_source_key(options, book), full_output(out))
    with (
        open_job(folder) as job,
        open_fleet(engine, RAY if options.cluster else LOCAL, _fleet_options(options)) as fleet,
        closing(Checker(options.quality, planned.language)) as checker,
    ):
        _start_job(job, planned, options, out)
        _tell_plan(planned, job, engine, progress)
        stage = Stage(
            job, fleet, checker, cast,
            SpeakOptions(options.quality.takes, options.seed, _engine_speed(options, engine)), progress,
            [chapter.title for chapter in planned.chapters if chapter.chapter_idx is not None],
        )  # fmt: skip
        work = speak(stage, planned.utterances)
        assembly_started_s = time.perf_counter()
        timeline = stitch_book(planned, job, options, engine)
        mastered = master_book(timeline, book, cast, engine, options, out, progress)
        ended_s = time.perf_counter()
        remember_speed(engine.name, work.audio_s, work.wall_s)
        times = StageTimes(work.speak_s, work.check_s, ended_s - assembly_started_s, ended_s - started_s)
        report = build_report(
            planned, job, timeline, facts=_facts(options, book, cast, engine, mastered),
            loudness_before=mastered.loudness_before, loudness_after=mastered.loudness_after, times=times,
        )  # fmt: skip
    report_file = options.report or out.with_name(out.name.removesuffix(out.suffix) + ".report.json")
    write_report(report, report_file)
    return Narration(mastered.files, report_file, report)


@dataclass(frozen=True)
class Survey:
    """What `omnitts plan` shows. ``seconds`` estimates speaking and checking here; see `TimeEstimate`."""

    plan: Plan
    engine: str
    seconds: float
    is_measured: bool


def survey(options: NarrateOptions) -> Survey:
    """The plan of a narration with all its problems; nothing is spoken, listened to or written."""
    book = read_source(options)
    cast, engine = cast_and_engine(options, book, listen=False)
    planned = _plan(options, book, cast, engine)
    estimate = estimate_time(planned.audio_s, engine.name)
    return Survey(planned, engine.name, estimate.seconds, estimate.is_measured)


# The steps ------------------------------------------------------------------------------------------------------------


def read_source(options: NarrateOptions) -> Book:
    """The book, with the chapters that ``--chapters``, ``--keep`` and ``--skip`` leave."""
    book = read_book("-" if options.source == STDIN else Path(options.source), options.reading)
    if options.title or options.author or options.cover:
        book = replace(
            book,
            title=options.title or book.title,
            authors=(options.author,) if options.author else book.authors,
            cover=_picture(options.cover) if options.cover else book.cover,
        )
    return select_chapters(book, options.chapters) if options.chapters else book


def _picture(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BookError(
            f"the cover cannot be read ({error.strerror})", where=str(path), hint="check the path"
        ) from error


def cast_and_engine(options: NarrateOptions, book: Book, *, listen: bool = True) -> tuple[Cast, Engine]:
    """Who speaks and with what. An engine that cannot speak in the voice, or the language, is an error here.

    ``listen``: write down what a reference without transcript says.
    """
    name = choose_engine(
        options.engine,
        has_voice=options.voice is not None,
        models_present=(options.model,) if options.model else mouths_present(),
        language=options.language or book.language,
    )
    voice = options.voice
    narrator = None
    if voice is not None and not listen:
        narrator = resolve_voice(voice, options.voice_text)
    elif voice is not None:
        narrator = ready_voice(voice, options.voice_text, None, options.quality.asr, book.language or "en")
    elif options.voice_text is not None:
        raise UsageError("a transcript without its recording", where="--voice-text", hint="add --voice ref.wav")
    return Cast(narrator), open_engine(name, _engine_options(options))


def plan_for(options: NarrateOptions, book: Book, cast: Cast, engine: Engine) -> Plan:
    """The utterances to speak, their ids made of all that decides their sound. Raises what makes a plan impossible."""
    planned = _plan(options, book, cast, engine)
    planned.raise_if_fatal()
    return planned if options.sample_s is None else sample_of(planned, options.sample_s)


def _plan(options: NarrateOptions, book: Book, cast: Cast, engine: Engine) -> Plan:
    capabilities = engine.capabilities
    sound = SoundSettings(
        engine.name, engine.revision, options.seed, _engine_speed(options, engine), capabilities.languages
    )
    reading = TextOptions(language=options.language, lexicon=options.lexicon, budget_s=capabilities.budget_s)
    return plan(book, cast, PlanOptions(sound, reading))


def sample_of(planned: Plan, seconds: float) -> Plan:
    """The beginning of a plan: whole pieces until they last as long as wanted."""
    total_s, kept = 0.0, []
    for utterance in planned.utterances:
        kept.append(utterance)
        total_s += utterance.estimate_s + utterance.pause_s
        if total_s >= seconds:
            break
    told = {utterance.chapter_idx for utterance in kept}
    chapters = tuple(
        chapter
        if chapter.chapter_idx is None or chapter.chapter_idx in told
        else replace(chapter, chapter_idx=None, skip_reason="beyond the sample")
        for chapter in planned.chapters
    )
    return replace(planned, utterances=tuple(kept), chapters=chapters)


def stitch_book(planned: Plan, job: Job, options: NarrateOptions, engine: Engine) -> Timeline:
    """The best take of every utterance, chapter by chapter, with the pauses between them."""
    chapters = []
    for chapter in planned.chapters:
        if chapter.chapter_idx is None:
            continue
        utterances = [utterance for utterance in planned.utterances if utterance.chapter_idx == chapter.chapter_idx]
        pieces = [PieceAudio(utterance.id, _clip_of(job, utterance), utterance.pause_s) for utterance in utterances]
        chapters.append(ChapterAudio(chapter.title, pieces))
    tempo = options.speed / _engine_speed(options, engine)
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


# Where things go ------------------------------------------------------------------------------------------------------


def output_of(options: NarrateOptions, book: Book) -> Path:
    """The file (or, split, the folder) to write: as given, else beside the source and named after it."""
    if options.out is not None:
        return options.out
    kind = options.format or DEFAULT_FORMAT
    source = Path(_safe_name(book.title)) if options.source == STDIN else Path(options.source)
    stem = source.name.removesuffix(source.suffix) + (".sample" if options.sample_s is not None else "")
    return source.with_name(stem if options.split != "none" else f"{stem}.{kind}")


def full_output(out: Path) -> Path:
    """The output of the whole book, whose job a sample shares: what the sample spoke is not spoken again."""
    return out.with_name(out.name.replace(".sample", "", 1))


def _safe_name(title: str) -> str:
    kept = "".join(char if char.isalnum() or char in " -_'" else " " for char in title)
    return " ".join(kept.split())[:80] or "book"


def _refuse_early(out: Path, options: NarrateOptions) -> None:
    """What would fail after hours of speaking fails now: an unknown format, a place that cannot be written."""
    is_folder = options.split != "none"
    choose_format(options.format, out, is_folder=is_folder)
    load_master(options.master)
    if is_folder and out.is_file():
        raise OutputError("this is a file, not a folder", where=str(out), hint="choose another -o for --split")
    if not is_folder and out.is_dir():
        raise OutputError("this is a folder, not a file", where=str(out), hint=f"try -o {out / 'book.m4b'}")
    if options.source != STDIN and out.exists() and out.samefile(options.source):
        raise OutputError("the output would overwrite the source", where=str(out), hint="choose another -o")
    with staged(out):
        pass


def _source_key(options: NarrateOptions, book: Book) -> str:
    if options.source != STDIN:
        return str(Path(options.source).absolute())
    text = "\0".join(chapter.text for chapter in book.chapters)
    return "stdin " + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# Small parts ----------------------------------------------------------------------------------------------------------


def _engine_speed(options: NarrateOptions, engine: Engine) -> float:
    """The part of ``--speed`` that the engine does itself; assembly does the rest."""
    return options.speed if engine.capabilities.speed else 1.0


def _engine_options(options: NarrateOptions) -> EngineOptions:
    return EngineOptions(model=options.model, device=options.device)


def _fleet_options(options: NarrateOptions) -> FleetOptions:
    return FleetOptions(_engine_options(options), options.cluster)


def _clip_of(job: Job, utterance: Utterance) -> Path:
    take = job.best_take(utterance.id)
    assert take is not None, "speaking ended without a take"
    return job.folder.clip(take.clip.file)


def _start_job(job: Job, planned: Plan, options: NarrateOptions, out: Path) -> None:
    job.set_plan(planned.utterances)
    job.put(
        {"title": planned.title, "source": options.source, "output": str(out.absolute()), "command": options.command}
    )


def _tell_plan(planned: Plan, job: Job, engine: Engine, progress: Progress) -> None:
    counts = job.counts()
    progress.emit(
        Event(
            "planned",
            {
                "title": planned.title,
                "chapters": sum(chapter.chapter_idx is not None for chapter in planned.chapters),
                "words": sum(count_words(piece.display) for piece in planned.utterances),
                "pieces": len(planned.utterances),
                "audio_s": round(sum(piece.estimate_s + piece.pause_s for piece in planned.utterances), 1),
                "reused": counts[Status.ACCEPTED],
                "problems": [{"what": problem.what, "where": problem.where} for problem in planned.problems],
            },
        )
    )
    progress.emit(Event("engine", {"name": engine.name, "text": engine.description}))


def _facts(options: NarrateOptions, book: Book, cast: Cast, engine: Engine, mastered: Mastered) -> dict[str, Any]:
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
