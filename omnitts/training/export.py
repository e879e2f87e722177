"""Export stage: a run's networks as a checkpoint folder laid out as published, with hashes and a model card.

The folder is written beside its place, opened by the unchanged loaders as a check, and then renamed. Source of the
layout: specification 1.1.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from omnitts import __version__
from omnitts.errors import InputError, OutputError
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.loading import FLOW, HIFT, SETTINGS, SPEAKER, TOKENIZER, load_codec
from omnitts.models.layout import CODEC_DIR, model_files
from omnitts.models.manifest import Manifest, sha256_of, write_manifest
from omnitts.models.mgm_omni.checkpoint import load_mouth
from omnitts.models.reading.durations import DURATIONS
from omnitts.models.reading.durations import STAGE as DURATIONS_STAGE
from omnitts.models.reading.pronouncer import PRONOUNCER
from omnitts.models.reading.pronouncer import STAGE as PRONOUNCER_STAGE
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.models.weights import dtype_by_name
from omnitts.training.average_voice import MEL_READER
from omnitts.training.checkpoint import CHECKPOINT, START, load_weights, trained_weights
from omnitts.training.codec_settings import flow_settings, hift_config_of, settings_text, vocoder_settings
from omnitts.training.durations import trained_durations
from omnitts.training.flow import STAGE as FLOW_STAGE
from omnitts.training.flow import new_flow
from omnitts.training.model_card import model_card
from omnitts.training.pronouncer import trained_pronouncer
from omnitts.training.recipe import recipe_json
from omnitts.training.run_folder import RECIPE_FILE, RunFolder, read_json, write_json
from omnitts.training.speaker import STAGE as SPEAKER_STAGE
from omnitts.training.speech_lm import TEXT_STAGE, new_model, open_language
from omnitts.training.speech_lm_stage import STAGE as LM_STAGE
from omnitts.training.store import CorpusStore
from omnitts.training.text_tokenizer import FILES as TEXT_FILES
from omnitts.training.tokenizer import SILENCE
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.vocoder import STAGE as VOCODER_STAGE
from omnitts.training.vocoder import normed

logger = logging.getLogger(__name__)

MODEL_NAME: Final = "omnitts-small"
CARD: Final = "MODEL_CARD.md"
TRAINING_DIR: Final = "training"  # what only another run wants: recipe, silence, mel reader
TOKENIZER_WEIGHTS: Final = "tokenizer.safetensors"  # with all its readers, in an unfinished folder alone
_SAMPLING: Final = {"do_sample": True, "temperature": 0.3, "top_k": 50}


def export_model(
    run: RunFolder, out: Path, *, dtype: str = "bf16", unfinished: bool = False, about: Path | None = None
) -> None:
    """Writes the checkpoint folder ``out``; a folder of that name must not hold anything else. A pronouncer
    and a duration model come along where the run has them.

    ``dtype`` is that of the speech LM's file; flow and vocoder are stored as float16 (their loaders compute in
    float32). ``unfinished``: leave out what is not trained yet; such a folder cannot speak, but another run can start
    from it. ``about``: a Markdown file for the model card, on the recordings and their licence. Raises `InputError`
    for a stage that is missing or an ``about`` that cannot be read, and `OutputError` when ``out`` is in use.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError("the folder is not empty", where=str(out), hint="give another --out, or remove it first")
    told = _read(about) if about else ""
    aside = out.with_name(out.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / CODEC_DIR).mkdir(parents=True)
    (aside / TRAINING_DIR).mkdir()
    steps = {}
    for stage, write in _PARTS.items():
        if (unfinished or stage in _OPTIONAL) and not _is_ready(run, stage):
            logger.warning("the stage %s is not trained: left out", stage)
            continue
        steps[stage] = write(run, aside, dtype_by_name(dtype))
    _write_settings(run, aside)
    if unfinished and (run.root / TOKENIZER_STAGE / CHECKPOINT).is_file():
        weights, _ = trained_weights(run.stage(TOKENIZER_STAGE), run.recipe().tokenizer.plan)
        save_file(_halved(weights), aside / TRAINING_DIR / TOKENIZER_WEIGHTS)
    if steps.keys() | _OPTIONAL == _PARTS.keys():
        _write_card(run, aside, steps, told)
        load_mouth(aside)
        load_codec(aside / CODEC_DIR)
    sign(aside, MODEL_NAME)
    if out.exists():
        out.rmdir()
    aside.replace(out)
    logger.info("export: %s, %.1f MB", out, sum(path.stat().st_size for path in model_files(out)) / 1e6)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as text ({error})", where=str(path)) from error


def sign(folder: Path, name: str) -> None:
    """Writes the lock file: sha256 of every file, and a commit that stands for all of them."""
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in model_files(folder)}
    commit = hashlib.sha256("".join(f"{file} {digest}\n" for file, digest in hashes.items()).encode()).hexdigest()[:40]
    write_manifest(folder, Manifest(name, "main", commit, hashes))


def _is_ready(run: RunFolder, stage: str) -> bool:
    return any((run.root / stage / name).is_file() for name in _PRODUCTS.get(stage, (CHECKPOINT, START)))


def _write_mouth(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    recipe = run.recipe()
    settings, config, *_ = open_language(run)
    model = new_model(config, recipe.seed)
    step = load_weights(nn.ModuleDict({"model": model}), run.stage(LM_STAGE), recipe.speech_lm.plan)
    write_json(folder / "config.json", {**settings, "torch_dtype": str(dtype).removeprefix("torch.")})
    write_json(folder / "generation_config.json", _SAMPLING)
    save_weights(model.state_dict(), folder, dtype)
    return step


def save_weights(state: dict[str, Tensor], folder: Path, dtype: torch.dtype) -> None:
    """model.safetensors."""
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _write_text(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    for name in TEXT_FILES:
        shutil.copy(run.need(TEXT_STAGE, name), folder / name)
    return 0


def _write_flow(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    recipe = run.recipe()
    flow = new_flow(recipe)
    step = load_weights(nn.ModuleDict({"flow": flow}), run.stage(FLOW_STAGE), recipe.flow.plan)
    torch.save(_halved(flow.state_dict()), folder / CODEC_DIR / FLOW)
    return step


def _write_vocoder(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    state, step = vocoder_state(run)
    torch.save(_halved(state), folder / CODEC_DIR / HIFT)
    return step


def _write_tokenizer(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    shutil.copy(run.need(TOKENIZER_STAGE, TOKENIZER), folder / CODEC_DIR / TOKENIZER)
    shutil.copy(run.need(TOKENIZER_STAGE, SILENCE), folder / TRAINING_DIR / SILENCE)
    for name, place in ((READER, CODEC_DIR), (MEL_READER, TRAINING_DIR)):
        reader = run.root / TOKENIZER_STAGE / name
        if reader.is_file():  # a tokenizer taken over from elsewhere may have come without
            shutil.copy(reader, folder / place / name)
    if (folder / CODEC_DIR / READER).is_file():
        TextReader.open(folder / CODEC_DIR / READER)  # an engine will: one that it cannot open is no export
    return _step(run.root / TOKENIZER_STAGE / CHECKPOINT)


def _write_speaker(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    shutil.copy(run.need(SPEAKER_STAGE, SPEAKER), folder / CODEC_DIR / SPEAKER)
    return _step(run.root / SPEAKER_STAGE / CHECKPOINT)


def _write_pronouncer(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    _, pronouncer = trained_pronouncer(run)
    pronouncer.save(folder / CODEC_DIR / PRONOUNCER)
    return _step(run.root / PRONOUNCER_STAGE / CHECKPOINT)


def _write_durations(run: RunFolder, folder: Path, dtype: torch.dtype) -> int:
    trained_durations(run).save(folder / CODEC_DIR / DURATIONS)
    return _step(run.root / DURATIONS_STAGE / CHECKPOINT)


_PARTS: Final[dict[str, Callable[[RunFolder, Path, torch.dtype], int]]] = {
    TOKENIZER_STAGE: _write_tokenizer,
    SPEAKER_STAGE: _write_speaker,
    TEXT_STAGE: _write_text,
    FLOW_STAGE: _write_flow,
    VOCODER_STAGE: _write_vocoder,
    LM_STAGE: _write_mouth,
    PRONOUNCER_STAGE: _write_pronouncer,
    DURATIONS_STAGE: _write_durations,
}
"""Writes a stage's part of the folder and tells how many steps it was trained here."""
_PRODUCTS: Final = {TOKENIZER_STAGE: (TOKENIZER,), SPEAKER_STAGE: (SPEAKER,), TEXT_STAGE: TEXT_FILES}
_OPTIONAL: Final = frozenset({PRONOUNCER_STAGE, DURATIONS_STAGE})  # what published checkpoints do without


def _write_settings(run: RunFolder, folder: Path) -> None:
    recipe = run.recipe()
    flow = flow_settings(recipe.flow, math.prod(recipe.tokenizer.levels), recipe.speaker.size)
    text = settings_text(flow, vocoder_settings(recipe.vocoder))
    (folder / CODEC_DIR / SETTINGS).write_text(text, encoding="utf-8")
    write_json(folder / TRAINING_DIR / RECIPE_FILE, recipe_json(recipe))


def _write_card(run: RunFolder, folder: Path, steps: dict[str, int], about: str) -> None:
    corpus = CorpusStore(run.corpus)
    facts: dict[str, Any] = {
        "hours": corpus.hours,
        "utterances": len(corpus.utterances),
        "speakers": len({utterance.speaker for utterance in corpus.utterances}),
        "steps": {stage: count for stage, count in steps.items() if count},
        "version": __version__,
        "bytes": sum(path.stat().st_size for path in model_files(folder)),
    }
    measured = read_json(run.evaluation) if run.evaluation.is_file() else None
    card = model_card(MODEL_NAME, run.recipe(), facts, measured, about)
    (folder / CARD).write_text(card, encoding="utf-8")


def vocoder_state(run: RunFolder) -> tuple[dict[str, Tensor], int]:
    """The vocoder's tensors, weight norm in gain and direction as published, no discriminators; and its steps."""
    recipe = run.recipe()
    weights, step = trained_weights(run.stage(VOCODER_STAGE), recipe.vocoder.plan)
    hift = normed(Hift(hift_config_of(recipe.vocoder)))
    hift.load_state_dict(
        {name.removeprefix("hift."): value for name, value in weights.items() if name.startswith("hift.")}
    )
    return dict(hift.state_dict()), step


def _halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half().clone() if value.is_floating_point() else value for name, value in state.items()}


def _step(checkpoint: Path) -> int:
    """0 for a stage that took over what another run had trained."""
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["step"]) if checkpoint.is_file() else 0
