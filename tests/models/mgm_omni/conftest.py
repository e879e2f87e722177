"""The mouths of golden cases, loaded once a session; tokenizers too."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from omnitts.models.mgm_omni.checkpoint import Mouth, read_mouth_config, read_tokenizer
from omnitts.models.mgm_omni.prompt import PromptBuilder, SpeechPrompt
from omnitts.models.mgm_omni.speech_lm import TIED_HEAD, SpeechLM
from omnitts.models.mgm_omni.vocabulary import build_vocabulary
from omnitts.models.weights import load_module
from tests.models.golden_cases import SHIPPED_DIR, GoldenCase, GoldenRun, find_cases

tokenizer_at = cache(read_tokenizer)


@cache
def mouth_of(case: GoldenCase) -> Mouth:
    """The mouth a golden folder describes."""
    config = read_mouth_config(case.folder)
    tokenizer = tokenizer_at(case.tokenizer_dirs[-1])
    vocabulary = build_vocabulary(config, tokenizer)
    model = load_module(lambda: SpeechLM(config), case.weights(), where=case.name, ignored=TIED_HEAD)
    return Mouth(config, vocabulary, PromptBuilder(config, vocabulary, tokenizer), model, {})


@dataclass(frozen=True)
class SpeechRun:
    """One recorded generation with the mouth that made it."""

    mouth: Mouth
    prompt: SpeechPrompt
    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]


def speech_run(run: GoldenRun) -> SpeechRun:
    """Loads a run of kind speechlm-generate: its pre-pad rows, patched weights and prompt applied."""
    mouth = with_pre_pad(mouth_of(run.case), run)
    tensors = run.tensors()
    if "patch_row_index" in tensors:
        mouth = replace(mouth, model=patched(run.case, tensors))
    prompt = mouth.prompts.build(run.meta["text"], run.meta["text_refer"], tensors["ref_tokens"].flatten().tolist())
    return SpeechRun(mouth, prompt, tensors, run.meta)


def with_pre_pad(mouth: Mouth, run: GoldenRun) -> Mouth:
    """The run's `speech_token_pre_pad`: from its meta, else from its name (`..._prepad4`), else the config's."""
    named = re.search(r"prepad(\d+)", run.name)
    pre_pad = run.meta.get("speech_token_pre_pad", int(named[1]) if named else None)
    if pre_pad is None:
        return mouth
    config = replace(mouth.config, pre_pad=pre_pad)
    tokenizer = tokenizer_at(run.case.tokenizer_dirs[-1])
    return replace(mouth, config=config, prompts=PromptBuilder(config, mouth.vocabulary, tokenizer))


def patched(case: GoldenCase, tensors: dict[str, torch.Tensor]) -> SpeechLM:
    """The case's model with some rows of the token table replaced."""
    weights = case.weights()
    weights["model.embed_tokens.weight"][tensors["patch_row_index"]] = tensors["patch_row_values"]
    config = mouth_of(case).config
    return load_module(lambda: SpeechLM(config), weights, where=case.name, ignored=TIED_HEAD)


@pytest.fixture(scope="session")
def tiny_mouth() -> Mouth:
    """A mouth with random weights and the whole speech vocabulary, whatever --golden says."""
    case = next(case for case in find_cases(SHIPPED_DIR) if case.name == "speechlm-generate")
    return mouth_of(case)


@pytest.fixture(scope="session")
def tiny_tokenizer_dir() -> Path:
    return SHIPPED_DIR / "tokenizer" / "mouth"


@pytest.fixture(scope="session")
def calm_model(tiny_mouth: Mouth) -> SpeechLM:
    """The tiny sizes with weights as small as trained ones: rounding is not blown up as in the golden model."""
    torch.manual_seed(0)
    model = SpeechLM(tiny_mouth.config)
    for name, parameter in model.named_parameters():
        if not name.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval().requires_grad_(False)
