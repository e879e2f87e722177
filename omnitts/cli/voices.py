"""`omnitts voices`: the reference voices on this machine; add one, look at it, check it, remove it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitts.cli.console import print_json, remark
from omnitts.cli.options import DebugOption, JsonOption, QuietOption
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from omnitts.pipeline.check.transcribe import Transcriber
    from omnitts.pipeline.voices.inspection import Inspection
    from omnitts.pipeline.voices.library import VoiceEntry

app = typer.Typer(no_args_is_help=True, help="Reference voices: list, show, add, check, remove.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name from `omnitts voices list`.")]
AsrOption = Annotated[
    str | None, typer.Option("--asr", help="Whisper model that listens: name or folder. 'none': nobody listens.")
]


@app.command("list")
def list_all(as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Show all voices: your own, then those that come with omnitts.

    [bold]Example[/bold]: omnitts voices list
    """
    from omnitts.pipeline.voices.library import list_voices

    entries = list_voices()
    if as_json:
        print_json([_facts(entry) for entry in entries])
        return
    from rich.table import Table

    from omnitts.cli.tables import print_table

    table = Table("name", "", "language", "who", "what it says", box=None, pad_edge=False)
    for entry in entries:
        origin = "preset" if entry.is_preset else "own"
        if entry.card is None:
            table.add_row(entry.name, origin, "", "", f"[red]{entry.error}[/red]")
            continue
        card = entry.card
        who = ", ".join(part for part in (" ".join((card.accent, card.gender)).strip(), card.note) if part)
        table.add_row(entry.name, origin, card.language, who, _shorten(card.transcript))
    print_table(table)


@app.command("show")
def show(
    name: NameArgument, as_json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False
) -> None:
    """Show one voice: its clip, what it says, language, licence and where it comes from.

    [bold]Example[/bold]: omnitts voices show clara
    """
    from omnitts.pipeline.voices.card import load_voice
    from omnitts.pipeline.voices.library import find_entry, load_clip, unknown_voice

    entry = find_entry(name)
    if entry is None:
        raise unknown_voice(name)
    voice = load_voice(entry.folder)
    facts = {**_facts(entry), "clip": str(voice.audio), "digest": voice.digest}
    facts["seconds"] = round(load_clip(voice.audio).duration_s, 2)
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        if value not in ("", None):
            typer.echo(f"{key:>{width}}: {value}")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the voice.")],
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A recording of one person, any format, 5 to 15 s.")],
    text: Annotated[
        str | None, typer.Option("--text", help="What the clip says, word by word; else clip.txt, else it is heard.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the clip (en, zh ...).")] = "",
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="Whose voice it is and what may be done with it.")
    ] = "",
    source: Annotated[str, typer.Option("--source", help="Where the clip comes from; else its file name.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Add it in spite of faults, or over a voice of its name.")
    ] = False,
    asr: AsrOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Add a voice: trim the clip at silence, write down what it says, say what is wrong with it, and keep it.

    More than 20 s are cut to the best 15 s, at a pause. The clip keeps its own level, unless it is very quiet.

    [bold]Examples[/bold]:

    omnitts voices add anna anna.m4a --licence "my own voice"

    omnitts voices add anna anna.wav --text "What Anna says in the recording."
    """
    from omnitts.pipeline.voices.add import AddOptions, add_voice
    from omnitts.pipeline.voices.library import read_sidecar

    given = text if text is not None else read_sidecar(clip)
    options = AddOptions(name, clip, text, language, licence, source, force)
    added = add_voice(options, _transcriber(asr, language or "en", is_needed=not given, quiet=quiet))
    voice, kept = added.voice, added.kept
    if as_json:
        facts = {"event": "added", "name": voice.name, "folder": str(voice.folder), "transcript": voice.transcript}
        cut = {"start_s": round(kept.start_s, 3), "end_s": round(kept.end_s, 3), "is_excerpt": kept.is_excerpt}
        print_json({**facts, "language": voice.language, "digest": voice.digest, **cut, **added.inspection.as_dict()})
        return
    if quiet:
        return
    what = "the best part of it" if kept.is_excerpt else "silence trimmed"
    typer.echo(
        f"{voice.name}: {kept.waveform.duration_s:.1f} s kept ({what}, {kept.start_s:.1f} to {kept.end_s:.1f} s)"
    )
    typer.echo(f"  says: {voice.transcript}")
    _print_findings(added.inspection)
    if not licence:
        remark('  no licence noted: --licence "whose voice it is, and who agreed to its use"')
    remark(f"  try it: omnitts speak 'Good evening.' --voice {voice.name} -o evening.wav")


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A voice, or a recording that might become one.")],
    text: Annotated[str | None, typer.Option("--text", help="What the recording says, word by word.")] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the clip (en, zh ...).")] = "",
    asr: AsrOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Say what is wrong with a voice or a recording: length, level, noise, clipping, speakers, transcript.

    Exit status 0 when it is fit to be cloned, 2 when a fault was found (warnings alone are no fault).

    [bold]Examples[/bold]:

    omnitts voices check clara

    omnitts voices check recording.wav --text "What is said in it." && omnitts voices add anna recording.wav
    """
    from omnitts.pipeline.voices.add import error_rate
    from omnitts.pipeline.voices.inspection import inspect
    from omnitts.pipeline.voices.library import describe_clip, load_clip

    path, transcript, spoken_language = describe_clip(name, text, language)
    waveform = load_clip(path)
    transcriber = (
        _transcriber(asr, spoken_language, is_needed=False, quiet=quiet) if waveform.duration_s < 600 else None
    )
    heard = transcriber.transcribe(waveform, spoken_language, careful=True).text.strip() if transcriber else ""
    wer = error_rate(transcript, heard, spoken_language)
    inspection = inspect(waveform, transcript or heard, wer=wer)
    if as_json:
        facts = {"voice": name, "clip": str(path), "transcript": transcript, "heard": heard}
        print_json({**facts, **inspection.as_dict()})
    elif not quiet:
        _print_measures(name, inspection, transcript, heard)
    return EXIT_OK if inspection.is_fit else EXIT_FLAGGED


@app.command("remove")
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Delete one of your own voices, with all that was derived from it. Presets stay.

    [bold]Example[/bold]: omnitts voices remove anna --yes
    """
    from omnitts.pipeline.voices.library import find_entry, remove_voice

    entry = find_entry(name)
    if entry is not None and not entry.is_preset and not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError("nobody can be asked here", where=name, hint="add --yes to delete it")
        typer.confirm(f"delete the voice {entry.name} ({entry.folder})?", abort=True, err=True)
    folder = remove_voice(name)
    if as_json:
        print_json({"event": "removed", "name": name, "folder": str(folder)})
    elif not quiet:
        typer.echo(f"removed {name}")


def _transcriber(asr: str | None, language: str, *, is_needed: bool, quiet: bool) -> Transcriber | None:
    """The recogniser asked for, else one that is on this machine. None when nobody is to listen, or nobody can."""
    from omnitts.pipeline.check.asr_models import find_asr_model, list_asr_models

    if asr == "none":
        return None
    if not asr and not is_needed and not list_asr_models():
        if not quiet:
            remark("nobody listened: no speech recognition on this machine (see omnitts doctor)")
        return None
    from omnitts.pipeline.check.transcribe import Transcriber

    return Transcriber(find_asr_model(asr or "", language=language))


def _facts(entry: VoiceEntry) -> dict[str, Any]:
    import dataclasses

    facts: dict[str, Any] = {"name": entry.name, "preset": entry.is_preset, "folder": str(entry.folder)}
    if entry.card is None:
        return {**facts, "error": entry.error}
    return {**dataclasses.asdict(entry.card), **facts}


def _print_measures(name: str, found: Inspection, transcript: str, heard: str) -> None:
    typer.echo(f"{name}: {'fit to be cloned' if found.is_fit else 'not fit to be cloned'}")
    likeness = "too short to tell" if found.likeness is None else f"{found.likeness.halves:.2f} (one voice: over 0.80)"
    listened = (
        "not compared" if found.wer is None else f"{min(found.wer, 1.0):.0%} of its words differ from what was heard"
    )
    rows = (
        ("length", f"{found.duration_s:.1f} s, {found.speech_s:.1f} s of it speech, {found.sample_rate} Hz"),
        ("level", f"speech {found.speech_dbfs:.0f} dBFS, peak {found.peak_dbfs:.0f} dBFS"),
        ("noise", f"{found.snr_db:.0f} dB below the speech"),
        ("likeness", likeness),
        ("transcript", listened if transcript else "none"),
    )
    for key, value in rows:
        typer.echo(f"{key:>12}: {value}")
    if heard and (not transcript or found.wer):
        typer.echo(f"{'heard':>12}: {heard}")
    _print_findings(found)


def _print_findings(found: Inspection) -> None:
    from omnitts.pipeline.voices.inspection import Severity

    for finding in found.findings:
        is_warning = finding.severity is Severity.WARNING
        colour = typer.colors.YELLOW if is_warning else typer.colors.RED
        typer.secho(f"  {'warning' if is_warning else 'fault'}: ", nl=False, fg=colour)
        typer.echo(f"{finding.what}; {finding.hint}")


def _shorten(text: str, width: int = 48) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
