"""`omnitts evaluate`: speak a published benchmark, score it by its own rules, and set it beside published figures."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitts.cli.console import messages, print_json, remark
from omnitts.cli.display import JsonLines, Nothing
from omnitts.cli.options import (
    DebugOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SeedOption,
    VoiceOption,
)
from omnitts.errors import EXIT_FLAGGED, EXIT_OK, UsageError
from omnitts.progress import Event

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.table import Table

    from omnitts.pipeline.evaluate.datasets import Benchmark
    from omnitts.pipeline.evaluate.results import Score

EPILOG = """
[bold]Examples[/bold]

omnitts evaluate long-tts-eval Long-TTS-Eval/ -o results/ --voice ref.wav --model 2b --whole --asr large-v3

omnitts evaluate seed-tts-eval seedtts_testset/ -o results/ --model 2b --subset en --limit 100

omnitts evaluate long-tts-eval --download -o results/ --engine draft --subset en

[dim]English figures are comparable with the published ones with --whole --asr large-v3; Chinese ones were heard by
Paraformer there. The same command goes on where it stopped. Similarity is resemblyzer's, not that of WavLM SV.[/dim]
"""

_SOURCE = "ASR, or source"


def command(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help="long-tts-eval or seed-tts-eval.")],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="A local copy: .jsonl, .json or .lst, or a folder of them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results, one .jsonl file per model.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call this model in file and table.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the data set from the hub (to its cache) if DATA is not given.")
    ] = False,
    repo: Annotated[
        str | None, typer.Option("--repo", help="The hub's data set to fetch, where not the usual.")
    ] = None,
    subset: Annotated[
        list[str] | None, typer.Option("--subset", help="en, zh, en-hard, zh-hard; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first so many of each subset.")] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Each text in one piece and as written, as published figures were made.")
    ] = False,
    takes: Annotated[int, typer.Option("--takes", min=1, max=20, help="Speak a failed piece up to so often.")] = 3,
    keep_audio: Annotated[
        bool, typer.Option("--keep-audio", help="Keep the speech beside the results (FLAC).")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, forgetting this model's results.")] = False,
    voice: VoiceOption = None,
    voice_text: Annotated[str | None, typer.Option("--voice-text", help="What the recording says.")] = None,
    engine: EngineOption = "auto",
    model: ModelOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    asr: Annotated[str | None, typer.Option("--asr", help="Whisper model that listens: name or folder.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Speak a benchmark, transcribe and score it, and print a table beside published figures."""
    from omnitts.pipeline.evaluate.datasets import BENCHMARKS, HUB_SETS, download_dataset
    from omnitts.pipeline.evaluate.run import EvaluateOptions, evaluate

    if benchmark not in BENCHMARKS:
        raise UsageError(f"no benchmark is called {benchmark!r}", hint=f"choose of {', '.join(BENCHMARKS)}")
    if out is None:
        raise UsageError("nowhere to put the results", where="--out", hint="add -o results/")
    if data is None:
        if not download:
            raise UsageError("no data set is given", where="DATA", hint="give a local copy, or add --download")
        source = repo or HUB_SETS.get(benchmark)
        if source is None:
            hint = "say which data set of the hub with --repo, or give a local copy"
            raise UsageError(f"where {benchmark} is on the hub is not known", where="--download", hint=hint)
        data = download_dataset(source)
    options = EvaluateOptions(
        benchmark=benchmark, data=data, out=out, name=name or "", engine=engine, model=model or "", voice=voice,
        voice_text=voice_text, device=device, asr=asr or "", subsets=tuple(subset or ()), limit=limit, whole=whole,
        takes=takes, seed=seed, keep_audio=keep_audio, fresh=fresh,
    )  # fmt: skip
    with _listener(as_json=as_json, quiet=quiet) as listener:
        evaluation = evaluate(options, listener)
    if as_json:
        from dataclasses import asdict

        scores = [asdict(score) for score in evaluation.scores]
        print_json({"event": "finished", "results": str(evaluation.results), "scores": scores})
    else:
        from omnitts.cli.tables import print_table

        print_table(_table(benchmark, out))
        if not quiet:
            _remarks(benchmark, evaluation.num_failed)
    return EXIT_FLAGGED if evaluation.num_failed else EXIT_OK


def _table(benchmark: Benchmark, folder: Path) -> Table:
    """Every results file of the folder, then the published figures: a row per model and subset."""
    from rich.table import Table

    from omnitts.pipeline.evaluate.published import published_for
    from omnitts.pipeline.evaluate.results import results_in

    table = Table(title=benchmark, header_style="bold", box=None)
    for heading in ("model", "subset", "files", "failed", "WER %", "mean WER %", "similarity", "RTF", _SOURCE):
        table.add_column(heading, justify="left" if heading in ("model", "subset", _SOURCE) else "right")
    for header, scores in results_in(folder, benchmark):
        for score in scores:
            table.add_row(str(header["name"]), *_cells(score), str(header["asr"]))
    for item in published_for(benchmark):
        for name, percent in item.errors.items():
            # Seed-TTS-Eval is published as the mean over files, Long-TTS-Eval as the mean over words.
            rates = ("", f"{percent:.2f}") if benchmark == "seed-tts-eval" else (f"{percent:.2f}", "")
            alike = f"({item.similarity[name]:.3f})" if name in item.similarity else ""
            table.add_row(f"[dim]{item.model}[/dim]", name, "", "", *rates, alike, "", f"[dim]{item.source}[/dim]")
    return table


def _cells(score: Score) -> tuple[str, ...]:
    return (
        score.subset,
        str(score.num_files),
        str(score.num_failed or ""),
        f"{100 * score.wer:.2f}",
        f"{100 * score.mean_wer:.2f}",
        "" if score.similarity is None else f"{score.similarity:.3f}",
        "" if score.rtf is None else f"{score.rtf:.3f}",
    )


def _remarks(benchmark: str, num_failed: int) -> None:
    remark("WER: every word weighs the same; mean WER: every file. Chinese by the character.")
    if benchmark == "seed-tts-eval":
        remark("similarity: resemblyzer; the published values in brackets are WavLM SV, another scale")
    if num_failed:
        remark(f"{num_failed} items failed and count as unspoken; the same command tries them again")


def _listener(*, as_json: bool, quiet: bool) -> Nothing:
    import sys

    if as_json:
        return JsonLines()
    if quiet:
        return Nothing()
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Lines(Nothing):
    """A line an item."""

    def emit(self, event: Event) -> None:
        remark(_line_of(event))


class _Bar(Nothing):
    """How far the benchmark is; lines only for what failed."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> _Bar:
        from rich.progress import Progress

        self._bar = Progress(console=messages(), transient=True)
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def emit(self, event: Event) -> None:
        assert self._bar is not None
        data: dict[str, Any] = event.data
        if event.name == "evaluating":
            self._task = self._bar.add_task("evaluating", total=data["items"], completed=data["done"])
            return
        if self._task is not None:
            self._bar.update(self._task, completed=data["place"])
        if data["failure"]:
            self._bar.console.print(_line_of(event), markup=False, soft_wrap=True)


def _line_of(event: Event) -> str:
    data = event.data
    if event.name == "evaluating":
        return f"{data['items']} items, {data['done']} of them done before -> {data['results']}"
    if data["failure"]:
        return f"{data['place']}/{data['items']} {data['subset']} {data['id']}: failed ({data['failure']})"
    return (
        f"{data['place']}/{data['items']} {data['subset']} {data['id']}: WER {100 * data['wer']:.1f} %, "
        f"{data['audio_s']:.1f} s of audio in {data['synthesis_s']:.1f} s"
    )
