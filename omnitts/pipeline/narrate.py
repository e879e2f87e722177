"""Narrating a book: the recipe from a source to a finished, checked file. Reads like a table of contents.

`NarrateOptions` in, `Narration` out; what happens on the way is told to a progress listener (events: README).
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omnitts.engines.base import Engine
from omnitts.engines.checkpoints import bundled_remark, mouths_present
from omnitts.engines.registry import EngineOptions, choose_engine, open_engine
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, BookError, UsageError
from omnitts.fleet.base import LOCAL, RAY, FleetOptions, open_fleet
from omnitts.pipeline.cast import Cast, ready_voice
from omnitts.pipeline.check.judge import Checker
from omnitts.pipeline.estimate import estimate_time, remember_speed
from omnitts.pipeline.finishing import engine_speed, facts_of, master_book, stitch_book
from omnitts.pipeline.job import Job, Status, open_job
from omnitts.pipeline.narrate_options import STDIN, NarrateOptions
from omnitts.pipeline.places import job_of, output_of, refuse_early, report_of
from omnitts.pipeline.plan import Plan, PlanOptions, SoundSettings, count_words, plan
from omnitts.pipeline.read import read_book, select_chapters
from omnitts.pipeline.report import StageTimes, build_report, write_report
from omnitts.pipeline.speak import SpeakOptions, Stage, Work, speak
from omnitts.pipeline.text.options import TextOptions
from omnitts.pipeline.voices.library import resolve_voice
from omnitts.progress import Event, Progress
from omnitts.types import Book
from omnitts.utilisation import Measured, Utilisation


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
    used = Utilisation()
    with used.busy("text"):
        book = read_source(options)
        out = output_of(options, book)
        refuse_early(out, options)
        cast, engine = cast_and_engine(options, book)
        planned = plan_for(options, book, cast, engine)
    with (
        open_job(job_of(options, out)) as job,
        open_fleet(engine, RAY if options.cluster else LOCAL, _fleet_options(options)) as fleet,
        closing(Checker(options.quality, planned.language)) as checker,
    ):
        _start_job(job, planned, options, out)
        _tell_plan(planned, job, engine, options, progress)
        stage = Stage(
            job, fleet, checker, cast,
            SpeakOptions(options.quality.takes, options.seed, engine_speed(options.speed, engine)), progress,
            [chapter.title for chapter in planned.chapters if chapter.chapter_idx is not None],
        )  # fmt: skip
        work = speak(stage, planned.utterances)
        with used.busy("assemble"):
            timeline = stitch_book(planned, job, options, engine)
            mastered = master_book(timeline, book, cast, engine, options, out, progress)
        wall_s = time.perf_counter() - started_s
        remember_speed(engine.name, work.audio_s, work.wall_s)
        times = StageTimes(work.speak_s, work.check_s, used.busy_s("assemble"), wall_s)
        report = build_report(
            planned, job, timeline, facts=facts_of(options, book, cast, engine, mastered),
            loudness_before=mastered.loudness_before, loudness_after=mastered.loudness_after, times=times,
        )  # fmt: skip
    if options.profile:
        _tell_profile(used, engine, checker, work, wall_s, progress)
    report_file = report_of(options, out)
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
        engine.name, engine.revision, options.seed, engine_speed(options.speed, engine), capabilities.languages
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


# Small parts ----------------------------------------------------------------------------------------------------------


def _tell_profile(
    used: Utilisation, engine: Engine, checker: Checker, work: Work, wall_s: float, progress: Progress
) -> None:
    """How busy each stage was. An engine on other machines, or one that does not measure, is one line."""
    if isinstance(engine, Measured) and engine.utilisation.table(wall_s):
        used.include(engine.utilisation)
    else:
        used.add("speak", work.speak_s, work.num_spoken)
    used.include(checker.utilisation)
    lines = [
        {**asdict(line), "busy_s": round(line.busy_s, 2), "share": round(line.share, 3)} for line in used.table(wall_s)
    ]
    progress.emit(Event("profile", {"wall_s": round(wall_s, 2), "stages": lines}))


def _engine_options(options: NarrateOptions) -> EngineOptions:
    return EngineOptions(model=options.model, device=options.device)


def _fleet_options(options: NarrateOptions) -> FleetOptions:
    return FleetOptions(_engine_options(options), options.cluster)


def _start_job(job: Job, planned: Plan, options: NarrateOptions, out: Path) -> None:
    job.set_plan(planned.utterances)
    job.put(
        {"title": planned.title, "source": options.source, "output": str(out.absolute()), "command": options.command}
    )


def _tell_plan(planned: Plan, job: Job, engine: Engine, options: NarrateOptions, progress: Progress) -> None:
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
    remark = bundled_remark(engine.name, options.model)
    if remark:
        progress.emit(Event("remark", {"text": remark}))
