"""`omnitts doctor`: what this machine has and lacks for speech, and what to do about each lack."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from omnitts.cli.console import messages, print_json, remark
from omnitts.cli.options import DebugOption, JsonOption, QuietOption
from omnitts.errors import EXIT_OK, DependencyError


def command(
    online: Annotated[bool, typer.Option("--online", help="Also ask whether the model hub can be reached.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Look at this machine: Python, torch, devices, ffmpeg, models, speech recognition, voices, disk; say what to do.

    Nothing is fetched and, without --online, no network is touched.

    Exit status 0 when books can be narrated here, 10 when something is missing for that.

    [bold]Examples[/bold]:

    omnitts doctor

    omnitts doctor --online --json
    """
    from omnitts.pipeline.doctor import State, can_narrate, examine

    is_watched = sys.stderr.isatty() and not (as_json or quiet)
    with messages().status("looking at this machine") if is_watched else nullcontext():
        symptoms = list(examine(online=online))
    is_able = can_narrate(symptoms)
    if as_json:
        print_json({"can_narrate": is_able, "symptoms": [symptom.as_dict() for symptom in symptoms]})
    elif not quiet or not is_able:
        from rich.table import Table
        from rich.text import Text

        from omnitts.cli.tables import print_table

        styles = {State.OK: "green", State.LIMITED: "yellow", State.MISSING: "bold red"}
        table = Table.grid(padding=(0, 2))
        for symptom in symptoms:
            if quiet and symptom.state is not State.MISSING:
                continue
            state, found = Text(symptom.state.value, style=styles[symptom.state]), Text(symptom.found)
            table.add_row(state, Text(symptom.name), found)
            if symptom.remedy:
                table.add_row("", "", Text(f"→ {symptom.remedy}", style="cyan"))
        print_table(table)
    if not quiet and not as_json:
        remark("books can be narrated here" if is_able else "books cannot be narrated here yet: mend what is missing")
    return EXIT_OK if is_able else DependencyError.exit_code
