"""Warm start: a run that goes on from an exported model instead of from nothing.

A checkpoint folder of this recipe's sizes goes in. Its speech tokenizer, speaker encoder and text tokenizer become the
run's as they are (so its codes keep their meaning), the corpus is coded with them, and flow, vocoder, speech LM,
pronouncer and duration model begin with its weights. More hours and more steps then make a better model of the same
kind. Where the recipe wants another text form than the model's, the text tokenizer is learnt anew and the speech LM
respelled (`respelling`).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file

from omnitts.errors import InputError
from omnitts.models.codec.loading import FLOW, HIFT, SPEAKER, TOKENIZER
from omnitts.models.layout import CODEC_DIR
from omnitts.models.mgm_omni.checkpoint import read_mouth_config, read_tokenizer
from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.models.reading.durations import DURATIONS
from omnitts.models.reading.durations import STAGE as DURATIONS_STAGE
from omnitts.models.reading.pronouncer import PRONOUNCER
from omnitts.models.reading.pronouncer import STAGE as PRONOUNCER_STAGE
from omnitts.models.reading.text_reader import READER
from omnitts.training.average_voice import MEL_READER
from omnitts.training.checkpoint import CHECKPOINT, START, save_aside
from omnitts.training.export import TOKENIZER_WEIGHTS, TRAINING_DIR
from omnitts.training.flow import STAGE as FLOW_STAGE
from omnitts.training.recipe import recipe_from
from omnitts.training.respelling import respelled
from omnitts.training.run_folder import RECIPE_FILE, RunFolder, read_json
from omnitts.training.speaker import STAGE as SPEAKER_STAGE
from omnitts.training.speaker import VECTORS, own_vectors, save_table
from omnitts.training.speech_lm import TEXT_STAGE, prepare_text, spoken, text_form
from omnitts.training.speech_lm_stage import STAGE as LM_STAGE
from omnitts.training.store import CorpusStore
from omnitts.training.text_tokenizer import FILES as TEXT_FILES
from omnitts.training.tokenizer import CODES, SILENCE, code_corpus, keep_codes
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.vocoder import STAGE as VOCODER_STAGE

logger = logging.getLogger(__name__)

_EMBEDDINGS: Final = "model.model.embed_tokens.weight"
_STAGES: Final = (
    TOKENIZER_STAGE, SPEAKER_STAGE, TEXT_STAGE, FLOW_STAGE, VOCODER_STAGE, LM_STAGE, PRONOUNCER_STAGE, DURATIONS_STAGE,
)  # fmt: skip


def start_from(run: RunFolder, model: Path, *, learn_tokenizer: bool = False) -> None:
    """Prepares every stage of a run whose corpus is ready. Raises `InputError` when a stage has begun already.

    The front ends must be there; what else an unfinished model lacks is learnt from nothing. Whether the sizes are the
    recipe's is told when a stage loads the weights. ``learn_tokenizer``: the speech tokenizer learns on, so its codes
    get another meaning, and of the model's other parts only speaker encoder, text tokenizer and vocoder are taken.
    """
    codec, notes = model / CODEC_DIR, model / TRAINING_DIR
    needed = [codec / TOKENIZER, codec / SPEAKER, notes / (TOKENIZER_WEIGHTS if learn_tokenizer else SILENCE)]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        hint = "give a folder made with `omnitts train export`"
        raise InputError(f"{', '.join(missing)} missing", where=str(model), hint=hint)
    corpus = CorpusStore(run.corpus)
    begun = [stage for stage in _STAGES if (run.root / stage / CHECKPOINT).exists()]
    if begun:
        hint = "start another run folder, or delete those of these stages"
        raise InputError(f"{', '.join(begun)} have been trained here already", where=str(run.root), hint=hint)
    is_respelled = text_form(run.recipe()) is not _form_of(model)  # a bad recipe is told before anything is taken
    speaker = run.stage(SPEAKER_STAGE)
    _take([codec / SPEAKER], speaker)
    if not is_respelled:
        _take([model / name for name in TEXT_FILES], run.stage(TEXT_STAGE))
    logger.info("start: hearing the voices of %.1f h", corpus.hours)
    save_table(speaker / VECTORS, own_vectors(corpus, speaker / SPEAKER))
    _begin_with(run.stage(VOCODER_STAGE), "hift.", codec / HIFT)
    tokenizer = run.stage(TOKENIZER_STAGE)
    if learn_tokenizer:
        _begin_with(tokenizer, "", notes / TOKENIZER_WEIGHTS)
        return
    _take([codec / TOKENIZER, notes / SILENCE, codec / READER, notes / MEL_READER], tokenizer)
    logger.info("start: coding %.1f h", corpus.hours)
    keep_codes(code_corpus(corpus, tokenizer / TOKENIZER), tokenizer / CODES)
    _begin_with(run.stage(FLOW_STAGE), "flow.", codec / FLOW)
    _begin_with(run.stage(LM_STAGE), "model.", model / "model.safetensors")
    _begin_with(run.stage(PRONOUNCER_STAGE), "pronouncer.", codec / PRONOUNCER)
    _begin_with(run.stage(DURATIONS_STAGE), "durations.", codec / DURATIONS)
    if is_respelled and (run.stage(LM_STAGE) / START).is_file():
        logger.info("start: the speech LM is told about %s", text_form(run.recipe()))
        _respell(run, model, corpus)


def _respell(run: RunFolder, model: Path, corpus: CorpusStore) -> None:
    """Gives the speech LM's beginning embeddings for the run's own text tokenizer, learnt from its corpus."""
    before, after = _form_of(model).writer(), text_form(run.recipe()).writer()
    texts = [(spoken(item.text, item.accent), item.accent) for item in corpus.utterances]
    old, new = read_tokenizer(model), read_tokenizer(prepare_text(run, [after(*text) for text in texts]))
    path = run.stage(LM_STAGE) / START
    weights = torch.load(path, map_location="cpu", weights_only=True)
    table = weights[_EMBEDDINGS]
    told = respelled(table[: len(old)], old, new, texts, before, after)
    save_aside({**weights, _EMBEDDINGS: torch.cat((told, table[len(old) :]))}, path)


def _form_of(model: Path) -> TextForm:
    """Of the model's text tokenizer, which an unfinished model may have without a speech LM."""
    if (model / "config.json").is_file():
        return read_mouth_config(model).text_form
    recipe = model / TRAINING_DIR / RECIPE_FILE
    return text_form(recipe_from(read_json(recipe), str(recipe))) if recipe.is_file() else TextForm.LETTERS


def _take(files: Sequence[Path], folder: Path) -> None:
    """Copies those of the files that are there."""
    for path in files:
        if path.is_file():
            shutil.copy(path, folder / path.name)


def _begin_with(folder: Path, prefix: str, path: Path) -> None:
    """Weights of a file, if it is there, as the beginning of a stage: in float32, named as in the stage's networks."""
    if path.is_file():
        is_pickle = path.suffix == ".pt"
        weights = torch.load(path, map_location="cpu", weights_only=True) if is_pickle else load_file(path)
        save_aside({f"{prefix}{name}": value.float() for name, value in weights.items()}, folder / START)
