"""`omnitts train`: the recipe for a small model of the same architecture, stage by stage, and fine-tuning.

Every command may be stopped and given again: it goes on from its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitts.cli.console import print_json
from omnitts.cli.options import DebugOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from omnitts.training.run_folder import RunFolder

app = typer.Typer(
    no_args_is_help=True,
    help="Train a small model of the same architecture, or fine-tune a checkpoint (needs the extra `train`).",
    epilog="Order: corpus, tokenizer, speaker, flow, vocoder, speech-lm, durations, pronouncer, export, evaluate; or, "
    "going on from a model: corpus, start-from, flow, vocoder, takes, speech-lm, export. See docs/training.md.",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the training run.")]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, help="Stop at this step; the same command goes on later.")
]
TrainDeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", min=0, help="Processes that prepare ahead what is learnt from; 0: none."),
]
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
    workers: WorkersOption = 0,
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
    options = CorpusOptions(longest_s=longest_s)
    prepare_corpus(without(recordings, held_out), run_folder.corpus, options, workers=workers)


@app.command("start-from")
def start_from(
    run: RunArgument,
    model: Annotated[str, typer.Option("--model", help="An exported model: a folder, or `small`.")],
    learn_tokenizer: Annotated[
        bool, typer.Option("--learn-tokenizer", help="The speech tokenizer learns on; flow and speech LM begin anew.")
    ] = False,
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Go on from an exported model: its front ends as they are, its weights as a beginning.

    The run needs the model's sizes: `omnitts train corpus RUN SOURCE... --recipe MODEL/training/recipe.json`.
    """
    run_folder = _open(run, threads)
    from omnitts.models.hub import find_folder
    from omnitts.training.warm_start import start_from as prepare

    prepare(run_folder, find_folder(model), learn_tokenizer=learn_tokenizer)


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
    workers: WorkersOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the flow: speech codes and a voice to mel."""
    run_folder = _open(run, threads)
    from omnitts.training.flow import train_flow

    train_flow(run_folder, device=device, steps=steps, workers=workers)


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
    workers: WorkersOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Learn the text tokenizer, then train the speech LM: text and a reference to speech codes."""
    run_folder = _open(run, threads)
    from omnitts.training.manifest import read_sentences
    from omnitts.training.speech_lm_stage import train_speech_lm

    sentences = [sentence for path in books or [] for sentence in read_sentences(path)]
    train_speech_lm(run_folder, books=sentences, device=device, steps=steps, workers=workers)


@app.command("pronouncer")
def pronouncer(
    run: RunArgument,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    workers: WorkersOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the pronouncer: sounds, their times and a voice to speech codes, beside what the speech LM says."""
    run_folder = _open(run, threads)
    from omnitts.training.pronouncer import train_pronouncer

    train_pronouncer(run_folder, device=device, steps=steps, workers=workers)


@app.command("durations")
def durations(
    run: RunArgument,
    steps: StepsOption = None,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    workers: WorkersOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train the duration model: how long sounds last, by which the pronouncer's are timed."""
    run_folder = _open(run, threads)
    from omnitts.training.durations import train_durations

    train_durations(run_folder, device=device, steps=steps, workers=workers)


@app.command("takes")
def takes(
    run: RunArgument,
    hours: Annotated[float, typer.Option("--hours", min=0.001, help="How many hours of takes to add.")] = 1.0,
    num_takes: Annotated[int, typer.Option("--takes", min=2, help="Of each text at a time; the best is kept.")] = 8,
    most_misread: Annotated[
        float, typer.Option("--most-misread", min=0.0, max=1.0, help="Keep none of which more is misread.")
    ] = 0.18,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Texts said side by side; on a GPU some dozens.")
    ] = 8,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    workers: WorkersOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Let the speech LM say its corpus and keep what it says well, to learn from (speech_lm.takes_share)."""
    run_folder = _open(run, threads)
    from omnitts.training.takes import TakesOptions, make_takes

    make_takes(run_folder, hours, TakesOptions(num_takes, most_misread, at_once), device=device, workers=workers)


@app.command("export")
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the finished checkpoint.")],
    dtype: Annotated[str, typer.Option("--dtype", help="Of the speech LM's file: bf16, fp16 or fp32.")] = "bf16",
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Leave out what is not trained yet: for another run to start from.")
    ] = False,
    about: Annotated[
        Path | None, typer.Option("--about", help="Markdown for the model card: who was recorded, which licence.")
    ] = None,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a checkpoint folder laid out as published, with hashes and a model card."""
    run_folder = _open(run, 0)
    from omnitts.training.export import export_model

    export_model(run_folder, out, dtype=dtype, unfinished=unfinished, about=about)
    typer.echo(str(out))


@app.command("finetune")
def finetune(
    model: Annotated[str, typer.Option("--model", help="Checkpoint to begin with: a folder or the name of a model.")],
    data: Annotated[list[Path], typer.Option("--data", help="Manifest or folder of recordings with their texts.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new checkpoint.")],
    method: Annotated[str, typer.Option("--method", help="lora (low-rank adapters) or full.")] = "lora",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps to train.")] = 300,
    batch_s: Annotated[float, typer.Option("--batch-seconds", min=1.0, help="Seconds of sound a step.")] = 60.0,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Default 2e-4, full: 5e-5.")] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="Of the adapters.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same weights.")] = 0,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    workers: WorkersOption = 0,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Let the speech LM of a checkpoint learn from recordings: a voice, an accent, a way of reading."""
    _set_threads(threads)
    from omnitts.engines.checkpoints import find_checkpoint
    from omnitts.training.finetune import FinetuneOptions
    from omnitts.training.finetune import finetune as run_finetune
    from omnitts.training.manifest import read_recordings

    rate = learning_rate or (2e-4 if method == "lora" else 5e-5)
    options = FinetuneOptions(method, steps, batch_s, rate, rank, 2.0 * rank, seed=seed)
    recordings = [recording for source in data for recording in read_recordings(source)]
    run_finetune(find_checkpoint(model), recordings, out, options, device=device, workers=workers)
    typer.echo(str(out))


@app.command("evaluate")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Checkpoint: a folder or the name of a model.")],
    clips: Annotated[Path, typer.Option("--clips", help="Manifest of held-out clips, two or more of each voice.")],
    held_out: Annotated[
        list[str] | None, typer.Option("--held-out", help="A voice that was not learnt from (again for more).")
    ] = None,
    human: Annotated[Path | None, typer.Option("--human", help="Manifest of people's recordings.")] = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="Only this: vocoder, resynthesis or speech (again for more).")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Clips of each voice at most; 0: all.")] = 0,
    run: Annotated[Path | None, typer.Option("--run", help="Keep the figures in this run, for the model card.")] = None,
    details: Annotated[Path | None, typer.Option("--details", help="JSON lines: every clip, what was heard.")] = None,
    asr: Annotated[str, typer.Option("--asr", help="Recogniser: base, small ...")] = "base",
    particles: Annotated[
        int, typer.Option("--particles", min=0, help="Say each text so many times at once; 1: unsteered, 0: as usual.")
    ] = 0,
    pronounce: Annotated[
        bool, typer.Option("--pronounce/--no-pronounce", help="Through the checkpoint's pronouncer, if it has one.")
    ] = True,
    device: TrainDeviceOption = "cpu",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a checkpoint: words heard, likeness of voices, speed, beside the original clips."""
    _set_threads(threads)
    from omnitts.engines.checkpoints import find_checkpoint
    from omnitts.errors import UsageError
    from omnitts.training.evaluate import PARTS, EvaluateOptions
    from omnitts.training.evaluate import evaluate as run_evaluate
    from omnitts.training.manifest import read_recordings
    from omnitts.training.run_folder import RunFolder, write_json

    parts = tuple(part or ("resynthesis", "speech"))
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise UsageError(f"no part is called {unknown[0]!r}", where="--part", hint=f"one of {', '.join(PARTS)}")
    options = EvaluateOptions(
        tuple(held_out or ()), limit, parts, asr, device, particles=particles, pronounce=pronounce
    )
    people = read_recordings(human) if human else []
    figures = run_evaluate(find_checkpoint(model), read_recordings(clips), options, human=people, details=details)
    if run is not None:
        write_json(RunFolder(run).evaluation, figures)
    if as_json:
        print_json({"event": "evaluation", **figures})
        return
    for group, values in figures.items():
        typer.echo(f"{group}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()))


def _set_threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _open(run: Path, threads: int) -> RunFolder:
    """The run's folder; sets torch's threads."""
    from omnitts.training.run_folder import RunFolder

    _set_threads(threads)
    return RunFolder(run)
