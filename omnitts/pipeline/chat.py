"""Chat: questions of text, pictures, sounds and films to a brain; answers as they are made, in files when spoken.

Options and lines go in; pieces of answers and a `Turn` per answer come out. Prints nothing. Knows the faces of brain
and voice only.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.engines.brain import (
    DEFAULT_BRAIN,
    AnswerEnd,
    AnswerOptions,
    Brain,
    BrainOptions,
    Film,
    Medium,
    Picture,
    Quantise,
    Recording,
    open_brain,
)
from omnitts.errors import InputError, UsageError
from omnitts.pipeline.cast import ready_voice

SOUND_SUFFIXES: Final = (".wav", ".flac")
Verb = Literal["say", "image", "audio", "video", "reset", "help", "quit"]
_ATTACH: Final[dict[str, type[Picture] | type[Recording] | type[Film]]] = {
    "image": Picture,
    "audio": Recording,
    "video": Film,
}


@dataclass(frozen=True)
class ChatOptions:
    """The command line's options of the same names. ``voice`` makes the answers spoken, ``out`` says where to."""

    engine: str = DEFAULT_BRAIN
    model: str = ""
    speech: str = ""
    voice: str | None = None
    voice_text: str | None = None
    asr: str = ""
    out: Path | None = None
    system: str = ""
    device: str = "auto"
    dtype: str = "auto"
    quantise: Quantise = ""
    answer: AnswerOptions = field(default_factory=AnswerOptions)

    def __post_init__(self) -> None:
        """Raises `UsageError` when the options contradict each other."""
        if self.voice is None and self.speech:
            hint = "add --voice: a recording of 5 to 15 s, or a name from `omnitts voices list`"
            raise UsageError("a mouth needs a voice to speak in", where="--speech", hint=hint)
        if self.voice is None and self.out is not None:
            raise UsageError("answers have sound only with a voice", where="--out", hint="add --voice, or drop --out")
        if self.voice is not None and self.out is None:
            hint = "add -o answer.wav, or -o - for raw PCM on standard output"
            raise UsageError("nowhere to put the sound", where="--voice", hint=hint)
        if self.out is not None and str(self.out) != "-" and self.out.suffix.lower() not in SOUND_SUFFIXES:
            kind = self.out.suffix or "a file without suffix"
            raise UsageError(f"cannot write {kind}", where="--out", hint="use .wav or .flac, or - for raw PCM")


@dataclass(frozen=True)
class Turn:
    """A finished answer. ``file`` holds its sound, where it was spoken to a file."""

    number: int
    end: AnswerEnd
    audio_s: float = 0.0
    file: Path | None = None


@dataclass(frozen=True)
class Command:
    """A line of an interactive chat: what to do, and the text or the file's name with it."""

    verb: Verb
    rest: str = ""


def parse_line(line: str) -> Command:
    """``/image FILE``, ``/audio FILE``, ``/video FILE``, ``/reset``, ``/help``, ``/quit``; anything else is said.

    ``//`` begins a text that itself begins with a slash. Raises `UsageError` for an unknown word or a file not named.
    """
    text = line.strip()
    if not text.startswith("/"):
        return Command("say", text)
    if text.startswith("//"):
        return Command("say", text[1:])
    word, _, rest = text[1:].partition(" ")
    verbs: dict[str, Verb] = {
        "image": "image", "audio": "audio", "video": "video", "reset": "reset", "help": "help", "quit": "quit",
        "exit": "quit",
    }  # fmt: skip
    if word not in verbs:
        known = ", ".join(f"/{verb}" for verb in verbs if verb != "exit")
        raise UsageError(f"there is no /{word}", hint=f"say {known}; // begins a text with a slash")
    rest = rest.strip().strip("\"'")
    if verbs[word] in _ATTACH and not rest:
        raise UsageError(f"/{word} needs a file", hint=f"say /{word} FILE")
    return Command(verbs[word], rest)


class Chat:
    """A conversation with its voice, its files and what is attached to the next question. A context manager."""

    def __init__(self, brain: Brain, options: ChatOptions) -> None:
        self.brain = brain
        self._options = options
        self._conversation = brain.converse(options.system)
        self._attached: list[Medium] = []
        self._number = 0
        self.numbers_files = False

    def attach(self, verb: str, file: str) -> None:
        """A picture, sound or film for the next question. Raises `InputError` when there is no such file."""
        path = Path(file).expanduser()
        if not path.is_file():
            raise InputError("no such file", where=file, hint="check the path")
        self._attached.append(_ATTACH[verb](path))

    @property
    def num_attached(self) -> int:
        return len(self._attached)

    def ask(self, text: str) -> Generator[str | Waveform | Turn, None, None]:
        """The answer to what is attached and ``text``: pieces as they are made, and a `Turn` at the end.

        Attachments come before the text, as the model was trained. A question that fails keeps them attached. The
        sound's file is written whole at the end, also when the answer is not waited for. Raises `InputError` when there
        is nothing to answer, and what the brain raises.
        """
        if not text.strip() and not self._attached:
            raise InputError("there is no question", hint="say something, or show or play something")
        parts = [*self._attached, *([text] if text.strip() else [])]
        options = self._options.answer
        number, sounds, audio_s = self._number + 1, list[Waveform](), 0.0
        try:
            for piece in self._conversation.say(parts, options):
                if self._number < number:
                    self._number = number
                    self._attached.clear()
                if isinstance(piece, AnswerEnd):
                    yield Turn(number, piece, audio_s, self._save(number, sounds))
                    sounds = []
                    continue
                if isinstance(piece, Waveform):
                    audio_s += piece.duration_s
                    if self._writes_files:
                        sounds.append(piece)
                yield piece
        finally:
            self._save(number, sounds)

    def reset(self) -> None:
        """Forgets everything said, shown and attached. Answers go on being numbered."""
        self._conversation.reset()
        self._attached.clear()

    def close(self) -> None:
        self.brain.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _writes_files(self) -> bool:
        return self._options.out is not None and str(self._options.out) != "-"

    def _save(self, number: int, sounds: Sequence[Waveform]) -> Path | None:
        """``answer.wav``, or ``answer-2.wav`` and so on in a chat of several turns."""
        out = self._options.out
        if out is None or not self._writes_files or not sounds:
            return None
        path = out.with_stem(f"{out.stem}-{number}") if self.numbers_files else out
        audio.save(audio.join(sounds), path)
        return path


def open_chat(options: ChatOptions) -> Chat:
    """Finds brain, mouth and voice; weights load with the first answer, or with ``chat.brain.prepare()``.

    Raises `VoiceError`, `ModelError` or `EngineError`: never another voice or model than the one asked for.
    """
    voice = None if options.voice is None else ready_voice(options.voice, options.voice_text, None, options.asr)
    opened = BrainOptions(
        model=options.model,
        speech=options.speech,
        voice=voice,
        device=options.device,
        dtype=options.dtype,
        quantise=options.quantise,
    )
    return Chat(open_brain(options.engine, opened), options)
