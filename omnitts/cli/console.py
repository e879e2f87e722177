"""What every command prints with: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import typer

from omnitts.errors import OmnittsError

if TYPE_CHECKING:
    from rich.console import Console


def results() -> Console:
    """A rich console on standard output, for tables and plain results."""
    from rich.console import Console

    return Console(highlight=False)


def messages() -> Console:
    """A rich console on standard error, for progress and remarks."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(data: dict[str, Any] | list[Any]) -> None:
    """One line of JSON on standard output, flushed, so that a script can follow along."""
    typer.echo(json.dumps(data, ensure_ascii=False))
    sys.stdout.flush()


def remark(text: str) -> None:
    """One plain line on standard error."""
    typer.echo(text, err=True)


def print_error(error: OmnittsError, *, as_json: bool, exit_code: int | None = None) -> None:
    """What, where and what next, as a line for people or an ``error`` event for scripts.

    ``exit_code``: where it is not the error's own.
    """
    if as_json:
        print_json(
            {
                "event": "error",
                "kind": type(error).__name__,
                "what": error.what,
                "where": error.where,
                "hint": error.hint,
                "exit_code": error.exit_code if exit_code is None else exit_code,
            }
        )
        return
    typer.secho("error: ", err=True, nl=False, fg=typer.colors.RED, bold=True)
    typer.echo(f"{error.where}: {error.what}" if error.where else error.what, err=True)
    if error.hint:
        typer.secho("  next: ", err=True, nl=False, fg=typer.colors.CYAN)
        typer.echo(error.hint, err=True)


class _Messages(logging.Handler):
    """Log lines as remarks: they go where standard error is now, so above a live bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        remark(self.format(record))


def set_up_logging(*, debug: bool, quiet: bool) -> None:
    """omnitts speaks from INFO up (ERROR when quiet, all when debugging); libraries' chatter only when debugging."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    level = logging.DEBUG if debug else logging.ERROR if quiet else logging.INFO
    handler = _Messages()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s" if debug else "%(message)s"))
    logger = logging.getLogger("omnitts")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    if not debug:
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
