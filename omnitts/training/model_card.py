"""MODEL_CARD.md of an exported model: what it was made of and what it scores. Facts and figures in, text out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omnitts.training.recipe import Recipe

_WHISPER = """
## Notice
The layers within `speech_tokenizer_v2.onnx` are whisper's: Copyright (c) 2022 OpenAI, MIT License
(permission to use, copy, modify and distribute, with this notice; no warranty).
"""
_HEAD = (
    "Heard by whisper-base; similarity is resemblyzer's cosine with the middle of the voice's own clips.",
    "",
    "| what, in which voices | clips | word errors | similarity | nearest is its own |",
    "|---|---|---|---|---|",
)
_UNSAID = "Who was recorded, by whose leave and under which licence is not said (`omnitts train export --about FILE`)."
_UNMEASURED = "Not measured yet: run `omnitts train evaluate`, then export again."


def model_card(
    name: str, recipe: Recipe, facts: Mapping[str, Any], measured: Mapping[str, Any] | None, about: str = ""
) -> str:
    """The card. ``facts``: hours, utterances, speakers, steps by stage, version, bytes; ``measured``: of evaluate.

    ``about`` is Markdown on what nothing here can know: who was recorded, by whose leave, under which licence.
    """
    num_codes = math.prod(recipe.tokenizer.levels)
    steps = ", ".join(f"{stage} {count:,}" for stage, count in facts["steps"].items())
    layers = recipe.tokenizer.ear_layers
    ears = f"that hears with the first {layers} layers of whisper-base's encoder\n  (OpenAI, MIT)" if layers else ""
    return f"""# {name}

A small English model of the MGM-Omni architecture (arXiv 2509.25131), trained with `omnitts train`
(omnitts {facts["version"]}). It clones a voice from a few seconds of speech.

**For trying omnitts and for tests.** For publishing, pull the full model: `omnitts models pull 2b`.

## Made of
* {facts["hours"]:.1f} hours of speech, {facts["utterances"]:,} utterances, {facts["speakers"]:,} voices.
* Speech tokenizer {ears} with {num_codes} codes at 25 Hz, speech LM of {recipe.speech_lm.num_layers} +
  {recipe.speech_lm.adapter_layers} layers of width {recipe.speech_lm.hidden_size}, flow and vocoder in the published
  design at small sizes. Steps: {steps}. Seed {recipe.seed}.
* {facts["bytes"] / 1e6:.1f} MB.

{about.strip() or _UNSAID}

## Measured
{_measures(measured) if measured else _UNMEASURED}

## Limits
* English only, and best at words like those it was taught.
* A synthetic voice in the likeness of a real person needs that person's consent.
{_WHISPER if layers else ""}"""


def _measures(measured: Mapping[str, Any]) -> str:
    """The figures of `evaluate`: a row for each group of clips, then what is one number."""
    rows = [
        f"| {group} | {values['clips']} | {100 * values['wer']:.1f} % | {_shown(values, 'similarity')} "
        f"| {_shown(values, 'nearest_is_own')} |"
        for group, values in measured.items()
        if "wer" in values
    ]
    lines = [*_HEAD, *rows]
    if people := measured.get("human references"):
        lines += ["", f"In the voice of {people['clips']} recordings of people: similarity {people['similarity']:.2f}."]
    if speed := measured.get("speed"):
        lines += ["", f"Real-time factor {speed['real_time_factor']:.2f} with {speed['threads']} threads, no checks."]
    return "\n".join(lines)


def _shown(values: Mapping[str, Any], name: str) -> str:
    return f"{values[name]:.2f}" if name in values else ""
