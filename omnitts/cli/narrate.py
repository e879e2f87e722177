"""`omnitts narrate`: a book in, a finished and checked audiobook out."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitts.cli.options import (
    OUTPUT_PANEL,
    DebugOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    LanguageOption,
    ModelOption,
    QuietOption,
    SeedOption,
    VoiceOption,
)
from omnitts.errors import UsageError
from omnitts.progress import Event

if TYPE_CHECKING:
    from omnitts.pipeline.narrate import Narration

TEXT = "Text"
SPEECH = "Speech"
CHECKS = "Checks"
RESULT = "Result"

EPILOG = """
[bold]Examples[/bold]

omnitts narrate book.epub [dim]# the draft narrator, an .m4b beside the book[/dim]

omnitts narrate book.epub --voice ref.wav -o book.m4b [dim]# in a cloned voice[/dim]

omnitts narrate book.epub --chapters 3-7,10 --split chapters -o folder --format mp3

omnitts narrate book.epub --sample 60s [dim]# hear a minute first[/dim]

omnitts plan book.txt --text > spoken.txt; omnitts narrate spoken.txt [dim]# edit what is said[/dim]
"""


def command(
    source: Annotated[str, typer.Argument(metavar="FILE", help="epub, txt, md, html, an edited plan; - is stdin.")],
    voice: VoiceOption = None,
    voice_text: Annotated[
        str | None, typer.Option("--voice-text", help="What the reference recording says, word by word.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write (folder with --split); beside the book if not given."),
    ] = None,
    # Result
    format: Annotated[
        str | None, typer.Option("--format", help="m4b, mp3, opus, flac or wav.", rich_help_panel=RESULT)
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="chapters: one file each.", rich_help_panel=RESULT)
    ] = None,
    master: Annotated[
        str, typer.Option("--master", help="Loudness preset: audiobook, podcast ...", rich_help_panel=RESULT)
    ] = "audiobook",
    sample: Annotated[
        str | None, typer.Option("--sample", help="Only the first stretch: 60s, 5m.", rich_help_panel=RESULT)
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", help="In place of the book's own.", rich_help_panel=RESULT)
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", help="In place of the book's own.", rich_help_panel=RESULT)
    ] = None,
    cover: Annotated[
        Path | None, typer.Option("--cover", help="A picture in place of the book's own.", rich_help_panel=RESULT)
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Where report.json goes.", rich_help_panel=RESULT)
    ] = None,
    job: Annotated[
        Path | None, typer.Option("--job", help="Folder of the job; chosen when not given.", rich_help_panel=RESULT)
    ] = None,
    # Text
    chapters: Annotated[
        str | None, typer.Option("--chapters", help="Only these, as plan numbers them: 3-7,10.", rich_help_panel=TEXT)
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Speak a chapter that would be skipped.", rich_help_panel=TEXT)
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="Skip a chapter (number or title).", rich_help_panel=TEXT)
    ] = None,
    notes: Annotated[str, typer.Option("--notes", help="skip, inline or end.", rich_help_panel=TEXT)] = "skip",
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Of a text file, if it is misread.", rich_help_panel=TEXT)
    ] = None,
    lexicon: Annotated[
        list[Path] | None, typer.Option("--lexicon", help="How words are spoken (TSV).", rich_help_panel=TEXT)
    ] = None,
    language: LanguageOption = None,
    # Speech
    engine: EngineOption = "auto",
    model: ModelOption = None,
    device: DeviceOption = "auto",
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="Speak on a Ray cluster: auto, or HOST:PORT.", rich_help_panel=SPEECH),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=0.5, max=2.0, help="1.1 is a tenth faster.", rich_help_panel=SPEECH)
    ] = 1.0,
    seed: SeedOption = 0,
    # Checks
    takes: Annotated[
        int,
        typer.Option("--takes", min=1, max=20, help="Speak a rejected piece up to so often.", rich_help_panel=CHECKS),
    ] = 3,
    max_wer: Annotated[
        float | None, typer.Option("--max-wer", min=0.0, help="Word errors allowed in a piece.", rich_help_panel=CHECKS)
    ] = None,
    min_sim: Annotated[
        float | None,
        typer.Option("--min-sim", min=-1.0, max=1.0, help="Likeness to the reference voice.", rich_help_panel=CHECKS),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Check every piece.", rich_help_panel=CHECKS)
    ] = True,
    asr: Annotated[
        str | None, typer.Option("--asr", help="Whisper model for the checks: name or folder.", rich_help_panel=CHECKS)
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show at the end how busy each stage was.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Read a book aloud into a finished audiobook, every sentence checked. The same command again resumes."""
    from omnitts.cli.display import display
    from omnitts.pipeline.check.judge import QualityOptions
    from omnitts.pipeline.narrate import narrate
    from omnitts.pipeline.narrate_options import NarrateOptions
    from omnitts.pipeline.read import ReadOptions

    options = NarrateOptions(
        source=source,
        out=out,
        format=format or "",
        split=split or "none",
        master=master,
        report=report,
        job=job,
        sample_s=None if sample is None else seconds_of(sample),
        chapters=chapters or "",
        title=title or "",
        author=author or "",
        cover=cover,
        reading=ReadOptions(tuple(keep or ()), tuple(skip or ()), notes, encoding or "", language or ""),  # type: ignore[arg-type]
        lexicon=tuple(lexicon or ()),
        language=language or "",
        voice=voice,
        voice_text=voice_text,
        engine=engine,
        model=model or "",
        device=device,
        cluster=cluster or "",
        speed=speed,
        seed=seed,
        quality=QualityOptions(check=check, asr=asr or "", max_wer=max_wer, min_sim=min_sim, takes=takes),
        profile=profile,
        command=shlex.join(["omnitts", *sys.argv[1:]]),
    )
    with display(as_json=as_json, quiet=quiet) as shown:
        done = narrate(options, shown)
        if as_json:
            shown.emit(Event("finished", _result(done)))
    if not (as_json or quiet):
        _print_result(done)
    raise typer.Exit(done.exit_code)


def seconds_of(text: str) -> float:
    """``60s``, ``5m``, ``1h30m`` or ``90`` as seconds. Raises `UsageError`."""
    match = re.fullmatch(
        r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower()
    )
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total_s = 3600 * hours + 60 * minutes + seconds
    if total_s <= 0:
        raise UsageError(f"{text!r} is no stretch of time", where="--sample", hint="write 60s, 5m or 1h30m")
    return total_s


def _result(done: Narration) -> dict[str, Any]:
    report = done.report
    wanted = (
        "duration_s",
        "num_pieces",
        "num_flagged",
        "num_takes",
        "words",
        "wer",
        "coverage",
        "similarity_mean",
        "seconds",
    )
    return {
        "files": [str(file) for file in done.files],
        "report": str(done.report_file),
        **{key: report[key] for key in wanted},
        "loudness": report["loudness"]["after"],
        "flagged": report["flagged"],
        "exit_code": done.exit_code,
    }


def _print_result(done: Narration) -> None:
    """Result to standard output; what is flagged by name."""
    from omnitts.cli.display import count, minutes

    report = done.report
    loudness = report["loudness"]["after"]
    for file in done.files:
        typer.echo(str(file))
    facts = [f"{minutes(report['duration_s'])} of audio", count(len(report["chapters"]), "chapter")]
    if loudness["integrated_lufs"] is not None:
        facts.append(f"{loudness['integrated_lufs']:.1f} LUFS, peak {loudness['true_peak_dbtp']:.1f} dBTP")
    typer.echo("  " + ", ".join(facts))
    if report["wer"] is not None:
        checks = [f"word errors {report['wer']:.1%} of {report['words']:,}", f"coverage {report['coverage']:.1%}"]
        if report["similarity_mean"] is not None:
            checks.append(f"voice {report['similarity_mean']:.2f}")
        typer.echo("  " + ", ".join(checks))
    accepted = report["num_pieces"] - report["num_flagged"]
    typer.echo(f"  {accepted} of {count(report['num_pieces'], 'piece')} accepted; report: {done.report_file}")
    for piece in report["flagged"]:
        typer.echo(f"  flagged at {_clock(piece['start_s'])}: {'; '.join(piece['reasons'])}")
        typer.echo(f"    {piece['text']}")


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
