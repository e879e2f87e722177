"""Options that several commands share, spelled once."""

from __future__ import annotations

from typing import Annotated

import typer

OUTPUT_PANEL = "Output and messages"

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of text: one event a line.", rich_help_panel=OUTPUT_PANEL)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no remarks; errors only.", rich_help_panel=OUTPUT_PANEL)
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Log everything and show tracebacks.", rich_help_panel=OUTPUT_PANEL)
]
VoiceOption = Annotated[
    str | None,
    typer.Option("--voice", "-v", help="Voice to speak in: a name from `omnitts voices list`, or a recording of it."),
]
LanguageOption = Annotated[
    str | None, typer.Option("--language", help="Language of the text (en, zh ...); found out when not given.")
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="Who speaks: auto, mgm-omni, draft, fake.", rich_help_panel="Speech")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="Checkpoint of the engine: a folder, a hub id, or a short name.", rich_help_panel="Speech"
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", rich_help_panel="Speech")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same sound.", rich_help_panel="Speech")]
