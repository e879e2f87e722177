"""`omnitts plan`: what narrating a book would mean, before anything is spoken."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitts.cli.console import print_json
from omnitts.cli.options import (
    DebugOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    LanguageOption,
    ModelOption,
    QuietOption,
    VoiceOption,
)
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, BookError

if TYPE_CHECKING:
    from omnitts.pipeline.narrate import Survey

EPILOG = """
[bold]Examples[/bold]

omnitts plan book.epub

omnitts plan book.epub --json | jq .problems

omnitts plan book.epub --text > spoken.txt [dim]# edit it, then: omnitts narrate spoken.txt[/dim]
"""


def command(
    source: Annotated[str, typer.Argument(metavar="FILE", help="epub, txt, md, html, an edited plan; - is stdin.")],
    text: Annotated[bool, typer.Option("--text", help="Print every word as it will be spoken, to be edited.")] = False,
    chapters: Annotated[str | None, typer.Option("--chapters", help="Only these: 3-7,10.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Speak a chapter that would be skipped.")] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="Skip a chapter (number or title).")] = None,
    notes: Annotated[str, typer.Option("--notes", help="skip, inline or end.")] = "skip",
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of a text file, if it is misread.")] = None,
    lexicon: Annotated[list[Path] | None, typer.Option("--lexicon", help="How words are spoken (TSV).")] = None,
    language: LanguageOption = None,
    voice: VoiceOption = None,
    engine: EngineOption = "auto",
    model: ModelOption = None,
    device: DeviceOption = "auto",
    speed: Annotated[float, typer.Option("--speed", min=0.5, max=2.0, help="1.1 is a tenth faster.")] = 1.0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Show chapters, what is skipped and why, the length, the time it will take, and problems (then exit status 2)."""
    from omnitts.pipeline.narrate import survey
    from omnitts.pipeline.narrate_options import NarrateOptions
    from omnitts.pipeline.read import ReadOptions
    from omnitts.pipeline.read.dump import write_dump

    options = NarrateOptions(
        source=source,
        chapters=chapters or "",
        reading=ReadOptions(tuple(keep or ()), tuple(skip or ()), notes, encoding or "", language or ""),  # type: ignore[arg-type]
        lexicon=tuple(lexicon or ()),
        language=language or "",
        voice=voice,
        engine=engine,
        model=model or "",
        device=device,
        speed=speed,
    )
    found = survey(options)
    if text:
        typer.echo(write_dump(found.plan), nl=False)
    elif as_json:
        print_json(_facts(found))
    elif not quiet:
        _print(found)
    planned = found.plan
    fatal, flagged = planned.has_fatal_problems, bool(planned.problems)
    raise typer.Exit(BookError.exit_code if fatal else EXIT_FLAGGED if flagged else EXIT_OK)


def _facts(found: Survey) -> dict[str, Any]:
    planned = found.plan
    return {
        "event": "plan",
        "title": planned.title,
        "authors": list(planned.authors),
        "language": planned.language,
        "engine": found.engine,
        "words": planned.words,
        "pieces": len(planned.utterances),
        "longest_piece_s": round(planned.longest_piece_s, 1),
        "audio_s": round(planned.audio_s),
        "time_s": round(found.seconds),
        "time_is_measured": found.is_measured,
        "chapters": [
            {
                "number": None if chapter.chapter_idx is None else chapter.chapter_idx + 1,
                "position": chapter.book_idx + 1,
                "title": chapter.title,
                "words": chapter.words,
                "pieces": chapter.pieces,
                "audio_s": round(chapter.seconds),
                "skip_reason": chapter.skip_reason,
            }
            for chapter in planned.chapters
        ],
        "problems": [asdict(problem) for problem in planned.problems],
    }


def _print(found: Survey) -> None:
    from rich.markup import escape
    from rich.table import Table

    from omnitts.cli.display import count, minutes
    from omnitts.cli.tables import print_table

    planned = found.plan
    by = f" by {', '.join(planned.authors)}" if planned.authors else ""
    typer.echo(f"{planned.title or 'untitled'}{by} ({planned.language or 'language unknown'})")
    table = Table("", "chapter", "words", "pieces", "audio", "", box=None, pad_edge=False)
    for column in (0, 2, 3, 4):
        table.columns[column].justify = "right"
    for chapter in planned.chapters:
        spoken = chapter.chapter_idx is not None
        table.add_row(
            str(chapter.chapter_idx + 1) if chapter.chapter_idx is not None else "-",
            escape(chapter.title or chapter.source),
            f"{chapter.words:,}",
            str(chapter.pieces) if spoken else "",
            minutes(chapter.seconds) if spoken else "",
            "" if spoken else f"skipped: {escape(chapter.skip_reason)} (--keep {chapter.book_idx + 1})",
        )
    print_table(table)
    basis = "measured on this machine" if found.is_measured else "a typical figure"
    pieces = f"{count(len(planned.utterances), 'piece')} (the longest {planned.longest_piece_s:.0f} s)"
    typer.echo(
        f"{planned.words:,} words, {pieces}, "
        f"about {minutes(planned.audio_s)} of audio; with {found.engine} about {minutes(found.seconds)} ({basis})"
    )
    for problem in planned.problems:
        where = f"{problem.where}: " if problem.where else ""
        typer.echo(f"{'error' if problem.fatal else 'problem'}: {where}{problem.what}")
