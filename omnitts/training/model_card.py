"""MODEL_CARD.md of an exported model: what it was made of and what it scores. Facts and figures in, text out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omnitts.training.recipe import Recipe

_WHISPER = """The layers within `speech_tokenizer_v2.onnx` are whisper's: Copyright (c) 2022 OpenAI, MIT License
(permission to use, copy, modify and distribute, with this notice; no warranty).
"""
_UNMEASURED = "Not measured yet: run `omnitts train evaluate`, then export again."


def model_card(name: str, recipe: Recipe, facts: Mapping[str, Any], measured: Mapping[str, Any] | None) -> str:
    """The card. ``facts``: hours, utterances, speakers, steps by stage, version, bytes; ``measured``: of evaluate."""
    num_codes = math.prod(recipe.tokenizer.levels)
    steps = ", ".join(f"{stage} {count:,}" for stage, count in facts["steps"].items())
    layers = recipe.tokenizer.ear_layers
    ears = f"that hears with the first {layers} layers of whisper-base's encoder\n  (OpenAI, MIT)" if layers else ""
    return f"""# {name}

A small English model of the MGM-Omni architecture (arXiv 2509.25131), trained with `omnitts train`
(omnitts {facts["version"]}). It clones a voice from a few seconds of speech.

**For trying omnitts and for tests.** For publishing, pull the full model: `omnitts models pull 2b`.

## Made of
* {facts["hours"]:.1f} hours of synthetic speech, {facts["utterances"]:,} utterances, {facts["speakers"]:,} voices and
  mixtures of voices; public-domain books read by a text-to-speech model. No recording of a person.
* Speech tokenizer {ears} with {num_codes} codes at 25 Hz, speech LM of {recipe.speech_lm.num_layers} +
  {recipe.speech_lm.adapter_layers} layers of width {recipe.speech_lm.hidden_size}, flow and vocoder in the published
  design at small sizes. Steps: {steps}. Seed {recipe.seed}.
* {facts["bytes"] / 1e6:.1f} MB.

## Measured
{_table(measured) if measured else _UNMEASURED}

## Limits
* English only. Books of the nineteenth century are what it knows: modern names and foreign words may come out wrong.
* It has heard synthetic voices alone; the likeness to a person's recording is lower than the table says.
* A synthetic voice in the likeness of a real person needs that person's consent.

## Licence
Weights: Apache-2.0, as this project. Texts are in the public domain; the teachers' weights are Apache-2.0.
{_WHISPER if layers else ""}"""


def _table(measured: Mapping[str, Any]) -> str:
    """One line per figure; nested groups by their names."""
    lines = ["| what | value |", "|---|---|"]
    for group, values in measured.items():
        if isinstance(values, Mapping):
            lines += [f"| {group}: {name.replace('_', ' ')} | {_shown(value)} |" for name, value in values.items()]
        else:
            lines.append(f"| {group.replace('_', ' ')} | {_shown(values)} |")
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
