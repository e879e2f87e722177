"""Where a narration writes: the finished file, its report, its job. Refuses early what could not be written later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omnitts.errors import OutputError, UsageError
from omnitts.ffmpeg import find_ffmpeg
from omnitts.pipeline.formats import choose_format
from omnitts.pipeline.job import JobFolder, job_folder_for
from omnitts.pipeline.master import load_master
from omnitts.pipeline.narrate_options import STDIN, NarrateOptions
from omnitts.pipeline.staging import refuse_place
from omnitts.types import Book

DEFAULT_FORMAT = "m4b"
SPLITS = ("none", "chapters")


def output_of(options: NarrateOptions, book: Book) -> Path:
    """The file (or, split, the folder) to write: as given, else beside the source and named after it."""
    if options.out is not None:
        return options.out
    kind = options.format or DEFAULT_FORMAT
    source = Path(_safe_name(book.title)) if options.source == STDIN else Path(options.source)
    stem = source.name.removesuffix(source.suffix) + (".sample" if options.sample_s is not None else "")
    return source.with_name(stem if options.split != "none" else f"{stem}.{kind}")


def report_of(options: NarrateOptions, out: Path) -> Path:
    """The report's file: as given, else beside the output."""
    return options.report or out.with_name(out.name.removesuffix(out.suffix) + ".report.json")


def job_of(options: NarrateOptions, out: Path) -> JobFolder:
    """The job's folder: as given, else by output. A sample shares the whole book's, so that what the sample spoke is
    not spoken again."""
    if options.job:
        return JobFolder(options.job)
    whole = out.with_name(out.name.replace(".sample", "", 1))
    return job_folder_for(whole)


def _safe_name(title: str) -> str:
    kept = "".join(char if char.isalnum() or char in " -_'" else " " for char in title)
    return " ".join(kept.split())[:80] or "book"


def refuse_early(out: Path, options: NarrateOptions) -> None:
    """What would fail after hours of speaking fails now: no ffmpeg, an unknown format, a place not to be written."""
    is_folder = options.split != "none"
    if options.split not in SPLITS:
        raise UsageError(f"a book cannot be split by {options.split!r}", where="--split", hint=" or ".join(SPLITS))
    choose_format(options.format, out, is_folder=is_folder)
    load_master(options.master)
    find_ffmpeg()
    report = report_of(options, out)
    if is_folder and out.is_file():
        raise OutputError("this is a file, not a folder", where=str(out), hint="choose another -o for --split")
    if not is_folder and out.is_dir():
        raise OutputError("this is a folder, not a file", where=str(out), hint=f"try -o {out / 'book.m4b'}")
    if report.is_dir():
        raise OutputError("this is a folder, not a file", where=str(report), hint="give --report a file name")
    if report.absolute() == out.absolute():
        raise OutputError("the report would overwrite the audio", where=str(report), hint="choose another --report")
    for place, option in ((out, "-o"), (report, "--report")):
        refuse_place(place, option, _given_files(options))


def _given_files(options: NarrateOptions) -> Iterator[Path]:
    """Everything a narration reads that may be a file."""
    if options.source != STDIN:
        yield Path(options.source)
    if options.voice is not None:
        yield Path(options.voice)
    if options.cover is not None:
        yield options.cover
    yield from options.lexicon
