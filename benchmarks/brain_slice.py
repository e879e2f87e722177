"""A slice of MGM-Omni-7B at true width: two layers of every part, random weights, a picture, a sound and words in.

    python -m benchmarks.brain_slice [--layers 2] [--dtype bf16] [--steps 8]

Prints sizes, seconds of each stage and the highest memory, then the arithmetic for all layers. Needs about 4 GB.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.footprint import footprint
from omnitts.models.mgm_omni.brain.loading import build_brain, fill_brain
from omnitts.models.mgm_omni.brain.network import Brain
from omnitts.models.mgm_omni.brain.prompt import IMAGE_MARKER, SPEECH_MARKER
from omnitts.models.mgm_omni.brain.vision_input import Patches
from omnitts.models.weights import dtype_by_name
from tests.models.mgm_omni.brain.published import BRAIN_7B

GRID = (1, 32, 32)  # a picture of 448 x 448
_Result = TypeVar("_Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    dtype = dtype_by_name(options.dtype)
    with torch.inference_mode():
        brain = timed("random weights", lambda: random_slice(options.layers, dtype))
        print(f"{sum(p.numel() for p in brain.parameters()) / 1e9:.2f} B parameters in the slice")
        pixels = torch.randn(math.prod(GRID), 3 * 2 * 14 * 14)
        (picture,) = timed("picture of 448 x 448", lambda: brain.encode_vision([Patches(pixels, GRID)]))
        sound = timed("30 s of sound", lambda: brain.encode_audio(torch.randn(128, 3000)))
        prompt = brain.embed([1, 2, IMAGE_MARKER, 3, SPEECH_MARKER, *range(4, 40)], [picture, sound])
        logits, state = timed(f"prompt of {len(prompt.embeds)}", lambda: brain.prefill([prompt]))
        start = time.perf_counter()
        for _ in range(options.steps):
            logits = brain.step(logits.argmax(dim=-1), state)
        print(f"{'a token':<24}{(time.perf_counter() - start) / options.steps:8.3f} s")
        assert logits.shape == (1, BRAIN_7B["vocab_size"])
        assert logits.isfinite().all()
    print(f"highest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")
    for quantisation in ("none", "8bit", "4bit"):
        whole = footprint(BrainConfig.from_dict(BRAIN_7B), quantisation=quantisation)
        print(
            f"all layers, {'fp16' if quantisation == 'none' else quantisation}: {whole.total() / 1e9:.1f} GB of weights"
            f" (decoder {whole.decoder / 1e9:.1f}, embeddings {whole.embeddings / 1e9:.1f},"
            f" towers {whole.towers / 1e9:.1f}), {whole.cache_per_token / 1e3:.0f} kB of cache a token"
        )


def random_slice(num_layers: int, dtype: torch.dtype) -> Brain:
    """The 7B with fewer layers in decoder and towers; the last vision block attends to the whole picture."""
    vision = {**BRAIN_7B["vision_config"], "depth": num_layers, "fullatt_block_indexes": [num_layers - 1]}
    audio = {**BRAIN_7B["audio_encoder"], "encoder_layers": num_layers}
    raw = {**BRAIN_7B, "num_hidden_layers": num_layers, "vision_config": vision}
    brain = build_brain(BrainConfig.from_dict({**raw, "audio_encoder": audio, "whisper_aux": audio}))
    shapes = {name: tuple(tensor.shape) for name, tensor in brain.state_dict().items()}

    def draw(name: str) -> torch.Tensor:
        if len(shapes[name]) == 1:
            return torch.ones(shapes[name], dtype=dtype) if "norm" in name else torch.zeros(shapes[name], dtype=dtype)
        return torch.empty(shapes[name], dtype=dtype).uniform_(-0.03, 0.03)

    return fill_brain(brain, shapes, draw, "random weights")


def timed(what: str, work: Callable[[], _Result]) -> _Result:
    start = time.perf_counter()
    result = work()
    print(f"{what:<24}{time.perf_counter() - start:8.3f} s")
    return result


if __name__ == "__main__":
    main()
