"""`omnitts speak`: say a sentence or two in a voice, into a file or straight into another program."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitts.cli.console import print_json, remark
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
from omnitts.errors import UsageError

if TYPE_CHECKING:
    from omnitts.pipeline.say import Speaker

EPILOG = """
[bold]Examples[/bold]

omnitts speak "Good evening." -o evening.wav

omnitts speak "Good evening." --voice ref.wav --voice-text "What the clip says." -o evening.flac

omnitts speak - --voice clara < letter.txt -o - | aplay -r 24000 -f S16_LE [dim]# while it is being made[/dim]
"""


def command(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads standard input.")],
    voice: VoiceOption = None,
    voice_text: Annotated[
        str | None, typer.Option("--voice-text", help="What the reference recording says, word by word.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .wav or .flac to write; - streams raw 16-bit mono PCM to standard output."),
    ] = None,
    language: LanguageOption = None,
    lexicon: Annotated[list[Path] | None, typer.Option("--lexicon", help="How words are spoken (TSV).")] = None,
    engine: EngineOption = "auto",
    model: ModelOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    takes: Annotated[
        int,
        typer.Option("--takes", min=1, max=20, help="Speak a failed piece up to so often.", rich_help_panel="Speech"),
    ] = 3,
    asr: Annotated[
        str | None, typer.Option("--asr", help="Whisper model that writes down an unknown reference.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say a text in a voice: into a file, or as raw PCM on standard output while it is being made."""
    from omnitts.engines.checkpoints import bundled_remark
    from omnitts.pipeline.read.charset import decode
    from omnitts.pipeline.say import open_speaker
    from omnitts.pipeline.staging import refuse_place

    if out is None:
        raise UsageError("nowhere to put the sound", where="--out", hint="add -o out.wav, or -o - for raw PCM")
    if str(out) == "-" and as_json:
        raise UsageError("standard output cannot carry both sound and JSON", where="--json", hint="leave one of them")
    if str(out) != "-" and out.suffix.lower() not in (".wav", ".flac"):
        raise UsageError(
            f"cannot write {out.suffix or 'a file without suffix'}", where="--out", hint="use .wav or .flac"
        )
    if str(out) != "-":
        refuse_place(out, "-o", [Path(voice)] if voice is not None else [])
    said = decode(sys.stdin.buffer.read(), where="stdin").text if text == "-" else text
    with open_speaker(
        engine, model=model or "", device=device, voice=voice, voice_text=voice_text, language=language,
        lexicon=tuple(lexicon or ()), asr=asr or "",
    ) as speaker:  # fmt: skip
        note = bundled_remark(speaker.engine.name, model or "")
        if note and not (quiet or as_json):
            remark(note)
        if str(out) == "-":
            _stream(speaker, said, language or "", seed, quiet=quiet)
            return
        started_s = time.perf_counter()
        waveform = speaker.say(said, language=language or "", seed=seed, takes=takes)
        waveform.save(out)
        facts = {"file": str(out), "audio_s": round(waveform.duration_s, 3), "engine": speaker.engine.description}
    seconds = time.perf_counter() - started_s
    if as_json:
        print_json({"event": "finished", **facts, "seconds": round(seconds, 3)})
    elif not quiet:
        remark(f"{out}: {waveform.duration_s:.1f} s of audio in {seconds:.1f} s ({facts['engine']})")


def _stream(speaker: Speaker, text: str, language: str, seed: int, *, quiet: bool) -> None:
    """Raw PCM, flushed piece by piece. A failure in the middle ends it with an error: what was heard was not right."""
    import numpy as np

    rate = speaker.engine.capabilities.sample_rate
    if not quiet:
        remark(f"raw PCM, {rate} Hz, 16 bit little endian, mono ({speaker.engine.description})")
    for piece in speaker.stream(text, language=language, seed=seed):
        samples = (np.clip(piece.samples, -1.0, 1.0) * 32767.0).round().astype("<i2")
        sys.stdout.buffer.write(samples.tobytes())
        sys.stdout.buffer.flush()
