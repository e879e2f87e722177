"""`omnitts train`: the recipe for a small model of the same architecture, stage by stage, and fine-tuning.

Every command may be stopped and given again: it goes on from its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitts.cli.options import DebugOption, QuietOption

if TYPE_CHECKING:
    from omnitts.training.run_folder import RunFolder

app = typer.Typer(
    no_args_is_help=True,
    help="Train a small model of the same architecture, or fine-tune a checkpoint (needs the extra `train`).",
    epilog="Order: corpus, tokenizer, speaker, flow, vocoder, speech-lm, export, evaluate. See docs/training.md.",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the training run.")]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, help="Stop at this step; the same command goes on later.")
]
TrainDeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="Processor threads; 0: as many as there are.")]


@app.command("corpus")
def corpus(
    run: RunArgument,
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Manifests (.jsonl, .tsv) or folders.")],
    recipe: Annotated[str, typer.Option("--recipe", help="toy, cpu, gpu, or a JSON file of changes.")] = "cpu",
    exclude_voice: Annotated[
        list[str] | None, typer.Option("--exclude-voice", help="Never learn from this voice (by name).")
    ] = None,
    exclude_sentences: Annotated[
        Path | None, typer.Option("--exclude-sentences", help="Never learn from these sentences (one a line, or TSV).")
    ] = None,
    longest_s: Annotated[
        float, typer.Option("--longest", min=1.0, help="Leave out longer recordings, seconds.")
    ] = 20.0,
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Prepare recordings: trim, resample, and store what the stages learn from."""
    run_folder = _open(run, threads)
    from omnitts.training.corpus import CorpusOptions, prepare_corpus
    from omnitts.training.manifest import HeldOut, read_recordings, read_sentences, without
    from omnitts.training.recipe import find_recipe

    run_folder.keep_recipe(find_recipe(recipe))
    sentences = read_sentences(exclude_sentences) if exclude_sentences else []
    held_out = HeldOut.of(exclude_voice or [], sentences)
    recordings = [recording for source in sources for recording in read_recordings(source)]
    prepare_corpus(without(recordings, held_out), run_folder.corpus, CorpusOptions(longest_s=longest_s))


@app.command("tokenizer")
def tokenizer(
    run: RunArgument,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the speech tokenizer, export it, code the corpus and find its silence."""
    run_folder = _open(run, threads)
    from omnitts.training.tokenizer import train_tokenizer

    train_tokenizer(run_folder, device=device, steps=steps)


@app.command("speaker")
def speaker(
    run: RunArgument,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the speaker encoder (its teacher is resemblyzer) and export it."""
    run_folder = _open(run, threads)
    from omnitts.training.speaker import train_speaker

    train_speaker(run_folder, device=device, steps=steps)


@app.command("flow")
def flow(
    run: RunArgument,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the flow: speech codes and a voice to mel."""
    run_folder = _open(run, threads)
    from omnitts.training.flow import train_flow

    train_flow(run_folder, device=device, steps=steps)


@app.command("vocoder")
def vocoder(
    run: RunArgument,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the vocoder: mel to sound."""
    run_folder = _open(run, threads)
    from omnitts.training.vocoder import train_vocoder

    train_vocoder(run_folder, device=device, steps=steps)


@app.command("speech-lm")
def speech_lm(
    run: RunArgument,
    books: Annotated[
        list[Path] | None,
        typer.Option("--books", help="More text for the text tokenizer (one sentence a line, or TSV)."),
    ] = None,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Learn the text tokenizer, then train the speech LM: text and a reference to speech codes."""
    run_folder = _open(run, threads)
    from omnitts.training.manifest import read_sentences
    from omnitts.training.speech_lm import train_speech_lm

    sentences = [sentence for path in books or [] for sentence in read_sentences(path)]
    train_speech_lm(run_folder, books=sentences, device=device, steps=steps)


@app.command("export")
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the finished checkpoint.")],
    dtype: Annotated[str, typer.Option("--dtype", help="Of the speech LM's file: bf16, fp16 or fp32.")] = "bf16",
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a checkpoint folder laid out as published, with hashes and a model card."""
    run_folder = _open(run, 0)
    from omnitts.training.export import export_model

    export_model(run_folder, out, dtype=dtype)
    typer.echo(str(out))


def _open(run: Path, threads: int) -> RunFolder:
    """The run's folder; sets torch's threads."""
    import torch

    from omnitts.training.run_folder import RunFolder

    if threads:
        torch.set_num_threads(threads)
    return RunFolder(run)
