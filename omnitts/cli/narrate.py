"""`omnitts narrate`: a book in, a finished and checked audiobook out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitts.cli.options import (
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
    preset: Annotated[
        str, typer.Option("--master", help="Loudness preset: audiobook, podcast ...", rich_help_panel=RESULT)
    ] = "audiobook",
    sample: Annotated[
        str | None, typer.Option("--sample", help="Only the first stretch: 60s, 5m.", rich_help_panel=RESULT)
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
    lexicon: Annotated[
        list[Path] | None, typer.Option("--lexicon", help="How words are spoken (TSV).", rich_help_panel=TEXT)
    ] = None,
    language: LanguageOption = None,
    # Speech
    engine: EngineOption = "auto",
    model: ModelOption = None,
    device: DeviceOption = "auto",
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
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Read a book aloud into a finished audiobook, every sentence checked. The same command again resumes."""
