"""The `omnitts` command: the table of commands, and the one place where errors become messages and exit codes.

Goes in: the arguments. Comes out: an exit status (README, "Exit codes"). Imports nothing heavy: a command's own imports
happen when it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from omnitts import __version__
from omnitts.cli import (
    bench,
    chat,
    check,
    doctor,
    evaluate,
    job,
    models,
    narrate,
    plan,
    speak,
    train,
    transcribe,
    voices,
)
from omnitts.cli.console import print_error, set_up_logging
from omnitts.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, OmnittsError, OutputError, UsageError

PROGRAM = "omnitts"
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_BROKEN_PIPE = 128 + 13  # what a shell shows for a program ended by SIGPIPE

_ClickUsageError: type[Exception] = typer.BadParameter.__mro__[1]
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Books and scripts into finished, checked audio in a cloned voice.",
    epilog="Start with [bold]omnitts narrate book.epub[/bold]; [bold]omnitts doctor[/bold] tells what is missing here.",
)
app.command("narrate", epilog=narrate.EPILOG)(narrate.command)
app.command("plan", epilog=plan.EPILOG)(plan.command)
app.command("speak", epilog=speak.EPILOG)(speak.command)
app.command("check", epilog=check.EPILOG)(check.command)
app.command("chat", epilog=chat.EPILOG)(chat.command)
app.command("transcribe", epilog=transcribe.EPILOG)(transcribe.command)
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.command)
app.add_typer(job.app, name="job")
app.add_typer(voices.app, name="voices")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.command("doctor")(doctor.command)
app.command("bench", epilog=bench.EPILOG)(bench.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"omnitts {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Books and scripts into finished, checked audio in a cloned voice."""


def main() -> NoReturn:
    """Console entry point."""
    signal.signal(signal.SIGTERM, _terminate)
    # A stream that the caller closed (`>&-`) is None in Python: what is written there is lost, as it is in C.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the process
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the process
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit status; nothing escapes as a traceback unless ``--debug`` is given."""
    debug, as_json = "--debug" in argv, "--json" in argv
    set_up_logging(debug=debug, quiet="--quiet" in argv or "-q" in argv)
    try:
        status = app(list(argv), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        if status == EXIT_INTERRUPTED:  # typer answers Ctrl-C itself, without a word
            raise KeyboardInterrupt
        return status if isinstance(status, int) else EXIT_OK
    except _ClickUsageError as error:
        if _sentence(error):  # without a message it was a bare command name, answered with its help
            print_error(UsageError(_sentence(error), hint=_help_hint(error)), as_json=as_json)
        return UsageError.exit_code
    except _ClickException as error:
        print_error(UsageError(_sentence(error)), as_json=as_json)
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _stopped("interrupted", EXIT_INTERRUPTED, as_json=as_json)
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer answers it with status 1
            return _reader_gone()
        if stop.code == EXIT_TERMINATED:
            return _stopped("terminated", EXIT_TERMINATED, as_json=as_json)
        raise
    except OmnittsError as error:
        if debug:
            raise
        print_error(error, as_json=as_json)
        return error.exit_code
    except OSError as error:
        if debug:
            raise
        print_error(_from_os_error(error), as_json=as_json)
        return OutputError.exit_code
    except Exception as error:  # the last door: a bug must still end in a sentence
        if debug:
            raise
        hint = "this is a bug in omnitts: run again with --debug and report what it shows"
        print_error(OmnittsError(f"unexpected {type(error).__name__}: {error}", hint=hint), as_json=as_json)
        return EXIT_UNEXPECTED


def _stopped(what: str, status: int, *, as_json: bool) -> int:
    """The last word of a run that was stopped from outside."""
    print_error(OmnittsError(what, hint="the same command goes on where it stopped"), as_json=as_json, exit_code=status)
    return status


def _reader_gone() -> int:
    """The reader of our standard output went away (`| head`): not an error worth words."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _sentence(error: Exception) -> str:
    text: str = getattr(error, "format_message", lambda: str(error))()
    return text.rstrip(".")


def _help_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else "see omnitts --help"


def _from_os_error(error: OSError) -> OutputError:
    hints = {
        errno.ENOSPC: "free some disk space and run the same command again: finished work is kept",
        errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
        errno.EACCES: "check the permissions of the folder",
        errno.EROFS: "the file system is read-only: choose another folder",
        errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    }
    where = str(error.filename) if error.filename else ""
    return OutputError(error.strerror or str(error), where=where, hint=hints.get(error.errno or 0, ""))


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM unwinds the stack like Ctrl-C does, so that temporary files are removed."""
    raise SystemExit(EXIT_TERMINATED)


if __name__ == "__main__":
    main()
