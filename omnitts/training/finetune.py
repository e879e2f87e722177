"""Fine-tuning: the speech LM of a checkpoint laid out as published learns from one's own recordings.

A checkpoint folder and recordings in, another checkpoint folder out: codec and tokenizer files as they were, new
weights. All weights learn, or low-rank adapters alone. What is in between lies beside the new folder, in
``OUT.training``: the recordings in codes, the loop's checkpoint, losses and curves; the same command goes on there.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from omnitts.audio import load, resample, write_atomically
from omnitts.errors import AudioError, InputError, OutputError, UsageError, VoiceError
from omnitts.models.codec.features import FRONT_END_RATE
from omnitts.models.codec.loading import load_codec
from omnitts.models.layout import CODEC_DIR, MANIFEST_FILE, check_layout
from omnitts.models.linear_layout import Layout
from omnitts.models.mgm_omni.checkpoint import load_mouth, load_speech_lm, read_mouth_config, read_tokenizer
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.vocabulary import build_vocabulary
from omnitts.models.weights import read_tensors
from omnitts.training.corpus import SHORTEST_S, is_validation, trimmed
from omnitts.training.export import save_weights, sign
from omnitts.training.lm_data import LmData, LmUtterance
from omnitts.training.loop import train
from omnitts.training.lora import add_lora, merge_lora
from omnitts.training.manifest import Recording
from omnitts.training.recipe import Plan, SpeechLmRecipe
from omnitts.training.run_folder import read_json, write_json
from omnitts.training.speech_lm import spoken
from omnitts.training.speech_lm_stage import SpeechLmStage
from omnitts.training.store import WAVE_RATE
from omnitts.training.text_tokenizer import TextCoder

logger = logging.getLogger(__name__)

METHODS: Final = ("full", "lora")
HEARD: Final = "heard.jsonl"
SETTINGS: Final = "settings.json"
_WEIGHTS: Final = (".safetensors", ".safetensors.index.json")


@dataclass(frozen=True)
class FinetuneOptions:
    """``rank`` and ``alpha`` of the adapters. A batch of ``batch_s`` seconds counts the references too."""

    method: str = "lora"
    steps: int = 300
    batch_s: float = 60.0
    learning_rate: float = 2e-4
    rank: int = 16
    alpha: float = 32.0
    longest_s: float = 20.0
    validation: float = 0.1
    seed: int = 0

    @property
    def plan(self) -> Plan:
        every = max(1, min(100, self.steps // 4))
        return Plan(
            self.steps, self.batch_s, self.learning_rate, warmup_steps=min(20, self.steps), save_every=every,
            validate_every=every,
        )  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """A recording as the checkpoint's front ends hear it."""

    id: str
    text: str
    speaker: str
    accent: str
    codes: tuple[int, ...]
    vector: tuple[float, ...]


def finetune(
    model: Path,
    recordings: Sequence[Recording],
    out: Path,
    options: FinetuneOptions,
    *,
    device: str = "cpu",
    workers: int = 0,
) -> None:
    """Writes the fine-tuned checkpoint to ``out``; ``workers`` as of `loop.train`.

    Raises `InputError`, `UsageError` or `OutputError`.
    """
    if options.method not in METHODS:
        raise UsageError(
            f"no method is called {options.method!r}", where="--method", hint=f"one of {', '.join(METHODS)}"
        )
    if out.exists() and any(out.iterdir()):
        raise OutputError("the folder is not empty", where=str(out), hint="give another --out, or remove it first")
    missing = check_layout(model)
    if missing:
        raise InputError(f"the checkpoint lacks {', '.join(missing)}", where=str(model))
    work = out.with_name(out.name + ".training")
    work.mkdir(parents=True, exist_ok=True)
    _keep_settings(work, model, options)
    heard = hear(recordings, model / CODEC_DIR, work / HEARD, options.longest_s)
    network = _learnt(model, heard, work, options, device, workers)
    _write(model, network, out)
    logger.info("finetune: %s", out)


def _keep_settings(work: Path, model: Path, options: FinetuneOptions) -> None:
    """A run goes on with the settings it began with."""
    settings = {"model": str(model.resolve()), **asdict(options)}
    path = work / SETTINGS
    if path.is_file() and read_json(path) != settings:
        raise UsageError("this fine-tuning began with other settings", where=str(work), hint="remove it to begin again")
    write_json(path, settings)


def hear(recordings: Sequence[Recording], codec_folder: Path, path: Path, longest_s: float) -> list[Heard]:
    """Every recording in codes, remembered in ``path``. Raises `InputError` when none can be used."""
    known = {item.id: item for item in _read_heard(path)}
    front_end = load_codec(codec_folder).front_end
    for recording in recordings:
        if recording.id in known:
            continue
        try:
            wave = trimmed(load(recording.audio, WAVE_RATE))
            if not SHORTEST_S <= wave.duration_s <= longest_s:
                raise AudioError(f"{wave.duration_s:.1f} s of speech", where=str(recording.audio))
            prompt = front_end.listen(torch.from_numpy(resample(wave, FRONT_END_RATE).samples))
        except (AudioError, VoiceError) as error:
            logger.warning("left out: %s", error)
            continue
        codes, vector = tuple(prompt.tokens.tolist()), tuple(prompt.speaker.tolist())
        known[recording.id] = Heard(recording.id, recording.text, recording.speaker, recording.accent, codes, vector)
    wanted = {recording.id for recording in recordings}
    heard = [item for name, item in known.items() if name in wanted]
    if len(heard) < 2:
        hint = "fine-tuning needs two at least: one to speak, one as its reference"
        raise InputError(f"{len(heard)} recordings can be used", where=str(path.parent), hint=hint)
    write_atomically(path, "".join(json.dumps(asdict(item)) + "\n" for item in known.values()).encode())
    return heard


def _read_heard(path: Path) -> list[Heard]:
    if not path.is_file():
        return []
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Heard(**{**line, "codes": tuple(line["codes"]), "vector": tuple(line["vector"])}) for line in lines]


def _learnt(
    model: Path, heard: Sequence[Heard], work: Path, options: FinetuneOptions, device: str, workers: int
) -> SpeechLM:
    """The speech LM after training, plain again."""
    config, tokenizer = read_mouth_config(model), read_tokenizer(model)
    vocabulary = build_vocabulary(config, tokenizer, where=str(model))
    prompts, coder = PromptBuilder(config, vocabulary, tokenizer), TextCoder(tokenizer)
    utterances = [
        LmUtterance(
            prompts.written(spoken(item.text, item.accent), item.accent),
            item.text,
            item.speaker,
            item.codes,
            item.accent,
        )
        for item in heard
    ]
    voices = np.array([item.vector for item in heard], np.float32)
    sizes = SpeechLmRecipe(options.plan)
    data = LmData(utterances, voices, prompts, vocabulary, coder, sizes, 0.0, config.dropped_rows)
    network = load_speech_lm(model, config, device=device, layout=Layout.PLAIN)
    learner: nn.Module = network.requires_grad_(True)
    if options.method == "lora":
        learner = add_lora(network, options.rank, options.alpha, options.seed)
    held_back = {index for index, item in enumerate(heard) if is_validation(item.id, options.validation)}
    if len(held_back) == len(heard):
        held_back = set()
    stage = SpeechLmStage(network, data, held_back, sizes, options.seed, learner)
    train(stage, options.plan, work, options.seed, device=device, workers=workers)
    if options.method == "lora":
        merge_lora(network)
    return network


def _write(model: Path, network: SpeechLM, out: Path) -> None:
    """The new folder: everything but weights and lock file as it was; opened once as a check, then renamed."""
    aside = out.with_name(out.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(model, aside, ignore=_left_behind)
    save_weights(network.state_dict(), aside, _dtype_of(model))
    load_mouth(aside)
    sign(aside, f"{model.name}-finetuned")
    if out.exists():
        out.rmdir()
    aside.replace(out)


def _left_behind(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(_WEIGHTS) or name == MANIFEST_FILE or name.startswith(".")]


def _dtype_of(model: Path) -> torch.dtype:
    """The precision the checkpoint's weights are stored in."""
    tensors: dict[str, Any] = read_tensors(model)
    dtype: torch.dtype = tensors["model.embed_tokens.weight"].dtype
    return dtype
