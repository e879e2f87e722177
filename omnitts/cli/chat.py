"""`omnitts chat`: talk with a brain about text, pictures, sounds and films; it answers in writing or aloud."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from omnitts.cli.console import print_error, print_json, remark
from omnitts.cli.options import DebugOption, JsonOption, QuietOption, SeedOption
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, OmnittsError, UsageError

if TYPE_CHECKING:
    from omnitts.audio import Waveform
    from omnitts.pipeline.chat import Chat, Turn

EPILOG = """
[bold]Examples[/bold]

omnitts chat --model 7b [dim]# several turns; /help tells what there is[/dim]

omnitts chat --model 7b --image menu.jpg "What is cheapest?"

omnitts chat --model 7b --audio meeting.mp3 "Who promised what?" --json > answer.jsonl

omnitts chat --model 7b --speech 2b --voice clara -o answer.wav "Tell me about the sea."

cat letter.txt | omnitts chat --model 7b --quiet > reply.txt
"""

_HELP = """/image FILE, /audio FILE, /video FILE   show or play something with the next question
/reset    forget everything        /quit or Ctrl-D    stop
Ctrl-C    stop the answer          //...              a text that begins with a slash"""
_SAMPLING = "Choosing words"


def command(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="The question; without it standard input is read, or you are asked."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The brain: a folder, a hub id, 7b or 32b; else the one on this machine."),
    ] = None,
    image: Annotated[list[Path] | None, typer.Option("--image", help="A picture to look at; may be repeated.")] = None,
    audio: Annotated[
        list[Path] | None, typer.Option("--audio", help="A recording to listen to; may be repeated.")
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option("--video", help="A film to look at (up to 16 frames; its sound goes to --audio)."),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="What the brain is told to be.")] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Each line of standard input is a turn, also from a pipe.")
    ] = False,
    voice: Annotated[
        str | None,
        typer.Option(
            "--voice", "-v", help="Answer aloud in this voice: a name, or a recording.", rich_help_panel="Speech"
        ),
    ] = None,
    voice_text: Annotated[
        str | None, typer.Option("--voice-text", help="What the recording says.", rich_help_panel="Speech")
    ] = None,
    speech: Annotated[
        str | None,
        typer.Option("--speech", help="The mouth: a folder, a hub id, 2b ...", rich_help_panel="Speech"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            rich_help_panel="Speech",
            help="A .wav or .flac for the sound (numbered by turn in a chat); - streams raw PCM, text to stderr.",
        ),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option("--asr", help="Whisper model that writes down an unknown voice.", rich_help_panel="Speech"),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, help="0 is always the likeliest.", rich_help_panel=_SAMPLING)
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=0, help="Likeliest so many only.", rich_help_panel=_SAMPLING)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", min=0, max=1, help="Likeliest of this mass only.", rich_help_panel=_SAMPLING),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option("--repetition-penalty", help="Above 1: fewer repeats.", rich_help_panel=_SAMPLING)
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="Longest answer.", rich_help_panel=_SAMPLING)
    ] = 4096,
    seed: SeedOption = 0,
    engine: Annotated[str, typer.Option("--engine", help="mgm-omni, or fake.", rich_help_panel="Model")] = "mgm-omni",
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda:0, or several: cuda:0,cuda:1.", rich_help_panel="Model")
    ] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, bf16 or fp16.", rich_help_panel="Model")] = "auto",
    quantise: Annotated[
        str, typer.Option("--quantise", help="8bit or 4bit: less memory, a little less exact.", rich_help_panel="Model")
    ] = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Ask a brain about text, pictures, sounds and films; it answers in writing, or aloud with --voice."""
    if as_json and out is not None and str(out) == "-":
        raise UsageError("standard output cannot carry both sound and JSON", where="--json", hint="leave one of them")
    is_chat = interactive or (prompt is None and sys.stdin is not None and sys.stdin.isatty())
    if prompt is None and not is_chat:
        prompt = sys.stdin.read().rstrip("\n") if sys.stdin is not None else ""
    from omnitts.engines.brain import AnswerOptions, quantise_by_name
    from omnitts.pipeline.chat import ChatOptions, open_chat

    options = ChatOptions(
        engine=engine, model=model or "", speech=speech or "", voice=voice, voice_text=voice_text, asr=asr or "",
        out=out, system=system or "", device=device, dtype=dtype, quantise=quantise_by_name(quantise),
        answer=AnswerOptions(temperature, top_k, top_p, repetition_penalty, max_new_tokens, seed),
    )  # fmt: skip
    with open_chat(options) as chat:
        show: _Show = _JsonShow() if as_json else _PcmShow(quiet=quiet) if str(out) == "-" else _TextShow(quiet=quiet)
        for verb, files in (("image", image), ("video", video), ("audio", audio)):
            for file in files or ():
                chat.attach(verb, str(file))
        if not is_chat:
            return _turn(chat, prompt or "", show)
        chat.numbers_files = True
        chat.brain.prepare()
        show.ready(chat)
        return _converse(chat, prompt, show, as_json=as_json)


def _converse(chat: Chat, first: str | None, show: _Show, *, as_json: bool) -> int:
    """Turn after turn until the lines end or ``/quit``. An error is told and the talk goes on."""
    from omnitts.pipeline.chat import parse_line

    status = EXIT_OK
    for line in _lines(first):
        try:
            order = parse_line(line)
            if order.verb == "quit":
                break
            if order.verb == "help":
                remark(_HELP)
            elif order.verb == "reset":
                chat.reset()
                show.note("everything is forgotten")
            elif order.verb != "say":
                chat.attach(order.verb, order.rest)
                show.note(f"attached to the next question: {order.rest}")
            elif order.rest or chat.num_attached:
                status = max(status, _turn(chat, order.rest, show))
        except OmnittsError as error:
            print_error(error, as_json=as_json)
            status = EXIT_FLAGGED
        except KeyboardInterrupt:
            show.note("stopped")
    return status


def _lines(first: str | None) -> Iterator[str]:
    """What is typed, or piped in; ``first`` before it."""
    if first is not None:
        yield first
    if sys.stdin is None or not sys.stdin.isatty():
        yield from sys.stdin or ()
        return
    with suppress(ImportError):  # gives input() a history and editing, where the system has it
        import readline  # noqa: F401

    while True:
        try:
            yield input("> ")
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo()


def _turn(chat: Chat, text: str, show: _Show) -> int:
    """One question and its answer. Returns 2 when the speech is not to be trusted."""
    from omnitts.audio import Waveform
    from omnitts.pipeline.chat import Turn

    started_s = time.perf_counter()
    status = EXIT_OK
    with closing(chat.ask(text)) as answer:
        for piece in answer:
            if isinstance(piece, Turn):
                show.end(piece, time.perf_counter() - started_s)
                status = EXIT_FLAGGED if piece.end.speech_failure else EXIT_OK
            elif isinstance(piece, Waveform):
                show.sound(piece)
            else:
                show.text(piece)
    return status


class _Show(Protocol):
    """How a chat looks."""

    def ready(self, chat: Chat) -> None: ...
    def note(self, text: str) -> None: ...
    def text(self, piece: str) -> None: ...
    def sound(self, piece: Waveform) -> None: ...
    def end(self, turn: Turn, seconds: float) -> None: ...


class _TextShow:
    """Answers to standard output word by word, all else to standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def ready(self, chat: Chat) -> None:
        self.note(f"{chat.brain.description}; /help tells what there is")

    def note(self, text: str) -> None:
        if not self._quiet:
            remark(text)

    def text(self, piece: str) -> None:
        typer.echo(piece, nl=False)
        sys.stdout.flush()

    def sound(self, piece: Waveform) -> None:
        return

    def end(self, turn: Turn, seconds: float) -> None:
        typer.echo()
        if turn.file is not None:
            self.note(f"{turn.file}: {turn.audio_s:.1f} s of audio in {seconds:.1f} s")
        if turn.end.ended == "length":
            self.note(f"the answer was cut at {turn.end.num_tokens} tokens (--max-new-tokens)")
        if turn.end.speech_failure:
            remark(f"the speech went wrong ({turn.end.speech_failure}); ask again with another --seed")


class _PcmShow(_TextShow):
    """Sound to standard output as raw 16-bit mono PCM, answers to standard error."""

    def ready(self, chat: Chat) -> None:
        super().ready(chat)
        self.note(f"raw PCM, {chat.brain.sample_rate} Hz, 16 bit little endian, mono")

    def text(self, piece: str) -> None:
        typer.echo(piece, nl=False, err=True)

    def sound(self, piece: Waveform) -> None:
        import numpy as np

        samples = (np.clip(piece.samples, -1.0, 1.0) * 32767.0).round().astype("<i2")
        sys.stdout.buffer.write(samples.tobytes())
        sys.stdout.buffer.flush()

    def end(self, turn: Turn, seconds: float) -> None:
        typer.echo(err=True)
        if turn.end.speech_failure:
            remark(f"the speech went wrong ({turn.end.speech_failure}); ask again with another --seed")


class _JsonShow:
    """One event a line: ready, text, sound, note, answer."""

    def ready(self, chat: Chat) -> None:
        brain = chat.brain
        print_json({"event": "ready", "brain": brain.description, "sample_rate": brain.sample_rate})

    def note(self, text: str) -> None:
        print_json({"event": "note", "text": text})

    def text(self, piece: str) -> None:
        print_json({"event": "text", "text": piece})

    def sound(self, piece: Waveform) -> None:
        print_json({"event": "sound", "seconds": round(piece.duration_s, 3)})

    def end(self, turn: Turn, seconds: float) -> None:
        end = turn.end
        print_json(
            {
                "event": "answer",
                "turn": turn.number,
                "text": end.text,
                "tokens": end.num_tokens,
                "ended": end.ended,
                "seconds": round(seconds, 3),
                "audio_s": round(turn.audio_s, 3),
                "file": None if turn.file is None else str(turn.file),
                "speech_failure": end.speech_failure,
            }
        )
