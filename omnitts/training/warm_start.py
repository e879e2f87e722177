"""Warm start: a run that goes on from an exported model instead of from nothing.

A checkpoint folder of this recipe's sizes goes in. Its speech tokenizer, speaker encoder and text tokenizer become the
run's as they are (so its codes keep their meaning), the corpus is coded with them, and flow, vocoder and speech LM
begin with its weights. More hours and more steps then make a better model of the same kind.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from omnitts.errors import InputError
from omnitts.models.codec.loading import FLOW, HIFT, SPEAKER, TOKENIZER
from omnitts.models.layout import CODEC_DIR
from omnitts.training.export import TRAINING_DIR
from omnitts.training.flow import STAGE as FLOW_STAGE
from omnitts.training.loop import CHECKPOINT, START, save_aside
from omnitts.training.reading import READER
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import STAGE as SPEAKER_STAGE
from omnitts.training.speaker import VECTORS, own_vectors, save_table
from omnitts.training.speech_lm import STAGE as LM_STAGE
from omnitts.training.speech_lm import TEXT_STAGE
from omnitts.training.store import CorpusStore
from omnitts.training.text_tokenizer import FILES as TEXT_FILES
from omnitts.training.tokenizer import CODES, SILENCE, code_corpus
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.vocoder import STAGE as VOCODER_STAGE

logger = logging.getLogger(__name__)

_STAGES: Final = (TOKENIZER_STAGE, SPEAKER_STAGE, TEXT_STAGE, FLOW_STAGE, VOCODER_STAGE, LM_STAGE)


def start_from(run: RunFolder, model: Path) -> None:
    """Prepares every stage of a run whose corpus is ready. Raises `InputError` when a stage has begun already.

    The front ends must be there; what else an unfinished model lacks is learnt from nothing. Whether the sizes are the
    recipe's is told when a stage loads the weights.
    """
    codec, notes = model / CODEC_DIR, model / TRAINING_DIR
    missing = [path.name for path in (codec / TOKENIZER, codec / SPEAKER, notes / SILENCE) if not path.is_file()]
    if missing:
        hint = "give a folder made with `omnitts train export`"
        raise InputError(f"{', '.join(missing)} missing", where=str(model), hint=hint)
    corpus = CorpusStore(run.corpus)
    run.recipe()
    begun = [stage for stage in _STAGES if (run.root / stage / CHECKPOINT).exists()]
    if begun:
        hint = "start another run folder, or delete those of these stages"
        raise InputError(f"{', '.join(begun)} have been trained here already", where=str(run.root), hint=hint)
    tokenizer, speaker = run.stage(TOKENIZER_STAGE), run.stage(SPEAKER_STAGE)
    for path, folder in (
        (codec / TOKENIZER, tokenizer), (notes / SILENCE, tokenizer), (notes / READER, tokenizer),
        (codec / SPEAKER, speaker), *((model / name, run.stage(TEXT_STAGE)) for name in TEXT_FILES),
    ):  # fmt: skip
        if path.is_file():
            shutil.copy(path, folder / path.name)
    for path, stage, part, read in (
        (codec / FLOW, FLOW_STAGE, "flow", _pickled),
        (codec / HIFT, VOCODER_STAGE, "hift", _pickled),
        (model / "model.safetensors", LM_STAGE, "model", load_file),
    ):
        if path.is_file():
            _keep_weights(run.stage(stage), part, read(path))
    logger.info("start: coding %.1f h", corpus.hours)
    code_corpus(corpus, tokenizer / TOKENIZER, tokenizer / CODES)
    save_table(speaker / VECTORS, own_vectors(corpus, speaker / SPEAKER))


def _pickled(path: Path) -> dict[str, Tensor]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _keep_weights(folder: Path, part: str, weights: dict[str, Tensor]) -> None:
    """In float32, under the names of the stage's networks."""
    named = {f"{part}.{name}": value.float() for name, value in weights.items()}
    save_aside(named, folder / START)
