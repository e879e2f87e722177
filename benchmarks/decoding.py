"""Speed of decoding at published size with random bf16 weights: seconds of sound per second, against the plain twin.

    python benchmarks/decoding.py --config 2b --layers 8 --batch 1 4 8 16 32 --threads 2
    python benchmarks/decoding.py --config 2b                                # all 28 layers; about 6 GB of memory

The plain twin speaks one sequence at a time, step by step, through torch's own layers (`generate.SpeechBatch`). The
rest are slots of the engine's pool with weights laid out for this CPU. Every figure takes the fastest of its steps:
what else runs on the machine can only make one slower. With few layers (two copies fit in memory) twin and slots are
timed in turn, round by round; the ratio is then that of a smaller model of the same widths, in which the head and the
sampler weigh more than in the whole one.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from omnitts.models.linear_layout import Layout, usual_layout
from omnitts.models.mgm_omni.feed_table import CLOSES_TEXT, GOES_ON, SpokenText
from omnitts.models.mgm_omni.generate import SpeechBatch, SpeechSequence
from omnitts.models.mgm_omni.prompt import SpeechPrompt
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import Entry, SpeechSlots, prefill
from omnitts.models.published import CONFIGS, published, random_mouth

PROMPT_ROWS = 150  # as in the reference's own measurement (specification 10)
TEXT_IDS = 100
ROW_S = 4 / 25
TWO_COPIES_UP_TO = 10  # layers


class Timed:
    """A step and the least seconds it ever took."""

    def __init__(self, step: Callable[[], object], batch: int) -> None:
        self.batch = batch
        self.best_s = float("inf")
        self._step = step
        step()  # not measured

    def run(self, num_steps: int) -> None:
        for _ in range(num_steps):
            started_s = time.perf_counter()
            self._step()
            self.best_s = min(self.best_s, time.perf_counter() - started_s)

    @property
    def audio_per_s(self) -> float:
        return self.batch * ROW_S / self.best_s


def plain_step(model: SpeechLM, name: str) -> Timed:
    """One sequence in the plain loop."""
    rows = torch.randint(0, 6000, (PROMPT_ROWS, 5))
    prompt = SpeechPrompt(rows, tuple(range(10, 10 + TEXT_IDS)))
    sequence = SpeechSequence.start(prompt, published(name).vocabulary(), Sampling(), max_rows=TEXT_IDS)
    batch = SpeechBatch(model, num_rows=1, max_length=PROMPT_ROWS + 128)
    batch.join([sequence])
    return Timed(batch.step, 1)


def slots_step(model: SpeechLM, name: str, batch: int) -> Timed:
    """``batch`` sequences in slots, all of them speaking."""
    [prefix] = prefill(model, [torch.randint(0, 6000, (PROMPT_ROWS, 5))])
    text = SpokenText(tuple(range(10, 10 + TEXT_IDS)), (GOES_ON,) * (TEXT_IDS - 1) + (CLOSES_TEXT,))
    slots = SpeechSlots(model, published(name).vocabulary(), num_slots=batch, max_length=PROMPT_ROWS + 128)
    slots.enter(range(batch), [Entry(prefix, text, Sampling(seed=seed), TEXT_IDS) for seed in range(batch)])
    span = slots.span_for(PROMPT_ROWS + 40)
    return Timed(lambda: slots.step(batch, span), batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=list(CONFIGS), default="2b")
    parser.add_argument("--layers", type=int, help="layers of the backbone; all of them if not given")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--steps", type=int, default=4, help="timed steps per round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = published(options.config).mouth(options.layers)
    in_turn = config.backbone.num_hidden_layers <= TWO_COPIES_UP_TO

    model = random_mouth(config, dtype=torch.bfloat16, layout=Layout.PLAIN)
    plain = plain_step(model, options.config)
    if in_turn:
        fast = random_mouth(config, dtype=torch.bfloat16)
    else:
        plain.run(options.steps * options.rounds)
        plain._step = None  # type: ignore[assignment]  # lets go of the plain weights' views
        gc.collect()
        model.lay_out(usual_layout(torch.bfloat16, "cpu"))
        fast = model
    timed = {batch: slots_step(fast, options.config, batch) for batch in options.batch}
    for _ in range(options.rounds):
        if in_turn:
            plain.run(options.steps)
        for one in timed.values():
            one.run(options.steps)

    figures = {
        "config": options.config,
        "layers": config.backbone.num_hidden_layers + config.adapter.num_hidden_layers,
        "threads": options.threads,
        "load": os.getloadavg()[0],
        "plain": {"step_ms": 1000 * plain.best_s, "audio_per_s": plain.audio_per_s},
        "batches": [
            {
                "batch": batch,
                "step_ms": 1000 * one.best_s,
                "audio_per_s": one.audio_per_s,
                "over_plain": one.audio_per_s / plain.audio_per_s,
            }
            for batch, one in timed.items()
        ],
    }
    print(f"{options.config}, {figures['layers']} layers, {options.threads} threads, load {figures['load']:.1f}")
    print(f"{'plain twin':>10}  {1000 * plain.best_s:7.1f} ms a step  {plain.audio_per_s:6.2f} s of sound per second")
    for row in figures["batches"]:  # type: ignore[attr-defined]
        print(
            f"{row['batch']:>10}  {row['step_ms']:7.1f} ms a step  {row['audio_per_s']:6.2f} s of sound per second"
            f"  {row['over_plain']:5.2f} x plain"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
