"""Where a narration writes: the finished file, its report, its job. Refuses early what could not be written later."""

from __future__ import annotations

import hashlib
from pathlib import Path

from omnitts.errors import OutputError
from omnitts.pipeline.formats import choose_format
from omnitts.pipeline.job import JobFolder, job_folder_for
from omnitts.pipeline.master import load_master
from omnitts.pipeline.narrate_options import STDIN, NarrateOptions
from omnitts.pipeline.staging import staged
from omnitts.types import Book

DEFAULT_FORMAT = "m4b"


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


def job_of(options: NarrateOptions, book: Book, out: Path) -> JobFolder:
    """The job's folder: as given, else by source and output. A sample shares the whole book's, so that what the sample
    spoke is not spoken again."""
    if options.job:
        return JobFolder(options.job)
    whole = out.with_name(out.name.replace(".sample", "", 1))
    return job_folder_for(_source_key(options, book), whole)


def _safe_name(title: str) -> str:
    kept = "".join(char if char.isalnum() or char in " -_'" else " " for char in title)
    return " ".join(kept.split())[:80] or "book"


def refuse_early(out: Path, options: NarrateOptions) -> None:
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
