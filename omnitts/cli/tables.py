"""Prints a rich table: fitted to the window on a terminal, one unbroken line a row when piped into another program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omnitts.cli.console import results

if TYPE_CHECKING:
    from rich.table import Table

PIPED_WIDTH = 240  # columns; rich would otherwise wrap at 80


def print_table(table: Table) -> None:
    """The table on standard output."""
    console = results()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
