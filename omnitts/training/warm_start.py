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
from omnitts.models.layout import CODEC_DIR, check_layout
from omnitts.training.flow import STAGE as FLOW_STAGE
from omnitts.training.loop import CHECKPOINT, START, save_aside
from omnitts.training.run_folder import RunFolder, read_json, write_json
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
_SILENCE_FIELDS: Final = ("silence_token", "blank_ids")


def start_from(run: RunFolder, model: Path) -> None:
    """Prepares every stage of a run whose corpus is ready. Raises `InputError` when a stage has begun already.

    Whether the sizes are the recipe's is told when a stage loads the weights.
    """
    missing = check_layout(model)
    if missing:
        raise InputError(f"{', '.join(missing)} missing", where=str(model), hint="give the folder of a whole model")
    corpus = CorpusStore(run.corpus)
    run.recipe()
    begun = [stage for stage in _STAGES if (run.root / stage / CHECKPOINT).exists()]
    if begun:
        hint = "start another run folder, or delete those of these stages"
        raise InputError(f"{', '.join(begun)} have been trained here already", where=str(run.root), hint=hint)
    codec = model / CODEC_DIR
    tokenizer, speaker, text = (run.stage(stage) for stage in (TOKENIZER_STAGE, SPEAKER_STAGE, TEXT_STAGE))
    shutil.copy(codec / TOKENIZER, tokenizer / TOKENIZER)
    settings = read_json(model / "config.json")
    write_json(tokenizer / SILENCE, {name: settings[name] for name in _SILENCE_FIELDS})
    shutil.copy(codec / SPEAKER, speaker / SPEAKER)
    for name in TEXT_FILES:
        shutil.copy(model / name, text / name)
    _keep_weights(run.stage(FLOW_STAGE), "flow", _pickled(codec / FLOW))
    _keep_weights(run.stage(VOCODER_STAGE), "hift", _pickled(codec / HIFT))
    _keep_weights(run.stage(LM_STAGE), "model", load_file(model / "model.safetensors"))
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
