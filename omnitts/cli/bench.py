"""`omnitts bench`: how fast this machine speaks, stage by stage, at several batch sizes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omnitts.cli.console import print_json, remark
from omnitts.cli.options import DebugOption, DeviceOption, ModelOption, QuietOption
from omnitts.errors import UsageError
from omnitts.progress import Event

EPILOG = """
[bold]Examples[/bold]

omnitts bench --config 0.6b --batch 1,8

omnitts bench --model 2b --device cuda --batch 1,64,256 --json > speed.json
"""


def command(
    model: ModelOption = None,
    config: Annotated[
        str, typer.Option("--config", help="Random weights of this size if no --model is given: 2b, 0.6b, 4b, tiny.")
    ] = "2b",
    device: DeviceOption = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, bf16 or fp16.")] = "auto",
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes, with commas between them.")] = "1,8,32",
    seconds: Annotated[float, typer.Option("--seconds", help="Seconds of sound in one piece.")] = 5.0,
    pieces: Annotated[
        int | None, typer.Option("--pieces", min=1, help="Pieces spoken per batch size; else as many as it holds.")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Also measure the checks.")] = True,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Processor threads; 0 leaves it to torch.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure decoding, flow, vocoder and checks on this machine; needs no checkpoint and fetches nothing."""
    from omnitts.pipeline.bench import BenchOptions, bench

    options = BenchOptions(
        model=model or "", config=config, device=device, dtype=dtype, batch=_sizes(batch), piece_s=seconds,
        pieces=pieces, check=check, threads=threads,
    )  # fmt: skip
    figures = bench(options, _Remarks(quiet=quiet or as_json))
    if as_json:
        print_json(figures)
    else:
        _print(figures)


class _Remarks:
    """One line on standard error for each batch size that is done: a large model takes its time."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def emit(self, event: Event) -> None:
        if not self._quiet and event.name == "bench":
            remark(f"batch {event.data['batch']}: {event.data['end_to_end']:g} s of sound per second")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise UsageError(f"{text!r} are no batch sizes", where="--batch", hint="for example --batch 1,8,32") from error


def _print(figures: dict[str, Any]) -> None:
    from rich.table import Table

    from omnitts.cli.tables import print_table

    machine = figures["hardware"]
    cores = f"{machine['threads']} threads on {machine['cores']} cores"
    typer.echo(f"{machine['gpu'] or machine['cpu']}, {cores}, torch {machine['torch']}")
    typer.echo(f"weights: {figures['weights']}; {figures['dtype']}, flow in {figures['flow_dtype']}")
    typer.echo(
        f"a voice's prompt {figures['prefill_s']:g} s, first second of sound after {figures['first_audio_s']:g} s, "
        f"peak memory {figures['peak_memory_mb'] / 1000:.2f} GB"
    )
    typer.echo(f"seconds of sound per second, pieces of {figures['piece_s']:g} s:")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = ["batch", "tokens/s", "step ms", "decode", "flow", "vocoder", "end to end"]
    is_checked = "checks" in figures and figures["checks"]["rate"] is not None
    for column in [*columns, "with checks"] if is_checked else columns:
        table.add_column(column, justify="right")
    for row in figures["batches"]:
        values = [row["tokens_per_s"], row["step_ms"], row["decode"], row["flow"], row["vocoder"], row["end_to_end"]]
        if is_checked:
            values.append(row["end_to_end_checked"])
        table.add_row(str(row["batch"]), *(f"{value:.4g}" for value in values))
    print_table(table)
    if "checks" in figures:
        checks = figures["checks"]
        typer.echo(f"checks: {checks['rate']:g} s of sound per second" if is_checked else f"checks: {checks['why']}")
