"""Every error a person can meet, in one tree; each says what went wrong, where, and what to do next.

    OmnittsError                    exit 1   (never raised itself)
    ├── UsageError                  exit 3   options that contradict each other or name nothing
    ├── InputError                  exit 4   something that was given cannot be used
    │   ├── BookError                        not a book, empty, protected, unreadable
    │   ├── AudioError                       not audio, empty, broken
    │   └── TextError                        lexicon, markup or plan dump that cannot be read
    ├── VoiceError                  exit 5   a voice that is unknown, unusable, or not cloneable by the engine
    ├── EngineError                 exit 6   an engine that is unknown or cannot run here
    │   └── ModelError                       a checkpoint that is missing, incomplete or damaged
    ├── OutputError                 exit 7   the result cannot be written, or is not what was asked for
    ├── FfmpegError                 exit 8   ffmpeg is missing, failed or was killed
    ├── JobError                    exit 9   a job folder that is in use, damaged or unknown
    └── DependencyError             exit 10  an optional package that this command needs

Exit 0 is success, 2 "finished, but something is flagged", 130 interrupted. The README prints the same table.
"""

from __future__ import annotations

from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_UNEXPECTED: Final = 1
EXIT_FLAGGED: Final = 2
EXIT_INTERRUPTED: Final = 130


class OmnittsError(Exception):
    """Base of all errors meant for people.

    ``what`` is one sentence without a full stop; ``where`` names the file, chapter or option it concerns (may be
    empty); ``hint`` says what to do next (may be empty).
    """

    exit_code: ClassVar[int] = EXIT_UNEXPECTED

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        """Survives a process border (workers, Ray) with all three parts."""
        return _rebuild, (type(self), self.what, self.where, self.hint)


def _rebuild(kind: type[OmnittsError], what: str, where: str, hint: str) -> OmnittsError:
    return kind(what, where=where, hint=hint)


class UsageError(OmnittsError):
    exit_code = 3


class InputError(OmnittsError):
    exit_code = 4


class BookError(InputError):
    pass


class AudioError(InputError):
    pass


class TextError(InputError):
    pass


class VoiceError(OmnittsError):
    exit_code = 5


class EngineError(OmnittsError):
    exit_code = 6


class ModelError(EngineError):
    pass


class OutputError(OmnittsError):
    exit_code = 7


class FfmpegError(OmnittsError):
    exit_code = 8


class JobError(OmnittsError):
    exit_code = 9


class DependencyError(OmnittsError):
    exit_code = 10
