"""`omnitts check`: is every sentence of a text in this audiobook? Whoever made it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitts.cli.console import print_json, remark
from omnitts.cli.options import DebugOption, JsonOption, LanguageOption, QuietOption
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, OutputError

if TYPE_CHECKING:
    from omnitts.pipeline.check.whole_file import WholeReport

SHOWN_AT_MOST = 20

EPILOG = """
[bold]Examples[/bold]

omnitts check book.m4b book.epub

omnitts check chapter3.mp3 book.epub --chapters 3 --voice ref.wav --report report.json
"""


def command(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="The audiobook: m4b, mp3, opus, flac, wav ...")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="What it should say: epub, txt, md, html.")],
    voice: Annotated[
        str | None, typer.Option("--voice", "-v", help="Compare the speaker with this voice (name or recording).")
    ] = None,
    chapters: Annotated[
        str | None, typer.Option("--chapters", help="Only these chapters of the text, as plan numbers them.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Expect a chapter that would be skipped.")] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="Do not expect a chapter.")] = None,
    notes: Annotated[str, typer.Option("--notes", help="skip, inline or end.")] = "skip",
    lexicon: Annotated[list[Path] | None, typer.Option("--lexicon", help="How words are spoken (TSV).")] = None,
    language: LanguageOption = None,
    min_sim: Annotated[float | None, typer.Option("--min-sim", help="Least likeness to the voice.")] = None,
    asr: Annotated[str | None, typer.Option("--asr", help="Whisper model: name or folder.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write the whole report as JSON.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Hear an audiobook against its text: missing, wrong and added sentences, by time. Exit status 2 when there are."""
    import json

    from omnitts.audio import write_atomically
    from omnitts.pipeline.audit import AuditOptions, audit
    from omnitts.pipeline.read import ReadOptions
    from omnitts.pipeline.staging import refuse_place

    if report is not None and report.is_dir():
        raise OutputError("this is a folder, not a file", where=str(report), hint="give --report a file name")
    if report is not None:
        given = [audio, text, *(lexicon or ()), *([Path(voice)] if voice is not None else [])]
        refuse_place(report, "--report", given)
    if not (quiet or as_json):
        remark("listening ...")
    found = audit(
        AuditOptions(
            audio, text, chapters or "", ReadOptions(tuple(keep or ()), tuple(skip or ()), notes, "", language or ""),  # type: ignore[arg-type]
            tuple(lexicon or ()), voice, min_sim, asr or "",
        )
    )  # fmt: skip
    facts: dict[str, Any] = asdict(found)
    if report is not None:
        write_atomically(report, (json.dumps(facts, ensure_ascii=False, indent=1) + "\n").encode())
    if as_json:
        print_json({"event": "checked", **facts})
    elif not quiet:
        _print(found)
    raise typer.Exit(EXIT_OK if found.accepted else EXIT_FLAGGED)


def _print(found: WholeReport) -> None:
    from omnitts.cli.display import minutes

    typer.echo(f"{found.audio}: {minutes(found.duration_s)}")
    typer.echo(f"  word errors {found.wer:.1%} of {found.words:,}, coverage {found.coverage:.1%}")
    for chapter in found.chapters:
        faults = [
            f"{number} {what}"
            for number, what in ((chapter.missing, "missing"), (chapter.wrong, "wrong"), (chapter.unread, "not read"))
            if number
        ]
        typer.echo(f"  {chapter.title or 'untitled'}: {chapter.wer:.1%}" + (f", {', '.join(faults)}" if faults else ""))
    faulty = [sentence for sentence in found.sentences if sentence.status in ("missing", "wrong")]
    for sentence in faulty[:SHOWN_AT_MOST]:
        place = "" if sentence.start_s is None else f" at {sentence.start_s:.0f} s"
        typer.echo(f"  {sentence.status}{place}: {sentence.text}")
        if sentence.heard:
            typer.echo(f"    heard: {sentence.heard}")
    for extra in found.extra[:SHOWN_AT_MOST]:
        if extra.place == "inside":
            typer.echo(f"  added at {extra.start_s:.0f} s: {extra.text}")
    hidden = len(faulty) - SHOWN_AT_MOST
    if hidden > 0:
        typer.echo(f"  ... and {hidden} more: --report writes all of them")
    verdict = "accepted" if found.accepted else "; ".join(found.reasons)
    typer.echo(f"  {verdict}")
