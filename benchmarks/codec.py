"""Speed of the codec at published size with random weights: seconds of work per second of sound.

    python benchmarks/codec.py --threads 2 --repeats 3 --json codec.json

Speaks 125 tokens (5 s) after a prompt of 125 tokens. Times are medians; the machine may be busy, so each pass is
measured in turn with a plain float32 twin (the same weights through torch's own linear layers), and the ratio is given
beside it. The bfloat16 flow is laid out as a loaded one; a processor that multiplies no bfloat16 speaks in float32, as
the engine does there. The last pass hears only the end of the prompt (`--heard-tokens`), as the engine's `prompt_s`
asks: that is another mel.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from omnitts.engines.mgm_omni_settings import TOKENS_PER_S, Settings
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.layers import Linear
from omnitts.models.codec.packed_flow import pack_flow
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.linear_layout import multiplies_fast
from omnitts.models.published import PUBLISHED_FLOW as FLOW
from omnitts.models.published import PUBLISHED_HIFT as HIFT


def plain_twin(flow: Flow) -> Flow:
    """The same weights through ``nn.Linear``."""
    twin = Flow(flow.config).eval()
    twin.load_state_dict(flow.state_dict())
    for module in twin.modules():
        if isinstance(module, Linear):
            module.__class__ = nn.Linear
    return twin


def measure(passes: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each pass, in turn so that a busy machine troubles all alike; one unmeasured round first."""
    times: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(repeats + 1):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=125)
    parser.add_argument("--prompt-tokens", type=int, default=125)
    parser.add_argument("--heard-tokens", type=int, default=75)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    flow = Flow(FLOW).eval()
    twin = plain_twin(flow).to(options.device)
    has_bf16 = multiplies_fast(torch.bfloat16, options.device)
    usual = Flow(FLOW).eval()
    usual.load_state_dict(flow.state_dict())
    usual.to(options.device, torch.bfloat16 if has_bf16 else torch.float32)
    pack_flow(usual)
    kind = "bf16" if has_bf16 else "fp32"
    flow.to(options.device)
    hift = Hift(HIFT).eval().to(options.device)
    tokens = torch.randint(0, FLOW.vocab_size, (options.tokens,))
    prompt = VoicePrompt(
        tokens=torch.randint(0, FLOW.vocab_size, (options.prompt_tokens,)),
        mel=torch.randn(2 * options.prompt_tokens, 80) - 5.0,
        speaker=torch.randn(192),
    )
    end = Settings(prompt_s=options.heard_tokens / TOKENS_PER_S).heard(prompt)
    mel = flow([tokens], [prompt])[0]

    def timed(run: Callable[[], Any]) -> Callable[[], Any]:
        def waited() -> None:
            run()
            if options.device.startswith("cuda"):
                torch.cuda.synchronize()

        return waited

    taken = measure(
        {
            "flow plain fp32": timed(lambda: twin([tokens], [prompt])),
            "flow fp32": timed(lambda: flow([tokens], [prompt])),
            **({"flow bf16": timed(lambda: usual([tokens], [prompt]))} if has_bf16 else {}),
            f"flow {kind}, four": timed(lambda: usual([tokens] * 4, [prompt] * 4)),
            f"flow {kind}, end of prompt": timed(lambda: usual([tokens], [end])),
            "hift fp32": timed(lambda: hift([mel], [torch.Generator().manual_seed(0)])),
        },
        options.repeats,
    )
    taken[f"flow {kind}, four"] /= 4  # per utterance, as the others
    seconds = options.tokens / 25
    figures = {
        "threads": options.threads,
        "device": options.device,
        "tokens": options.tokens,
        "prompt_tokens": options.prompt_tokens,
        "heard_tokens": options.heard_tokens,
        "seconds_per_second": {name: value / seconds for name, value in taken.items()},
        "speedup_over_plain": {
            name: taken["flow plain fp32"] / value for name, value in taken.items() if name.startswith("flow")
        },
    }
    for name, value in taken.items():
        ratio = f"  {taken['flow plain fp32'] / value:5.2f} x plain" if name.startswith("flow") else ""
        print(f"{name:<24} {value / seconds:7.3f} s per second of sound{ratio}")
    if has_bf16:
        off = (usual([tokens], [prompt])[0] - mel).abs()
        figures["bf16_mel_error"] = {"mean": off.mean().item(), "max": off.max().item()}
        print(f"bf16 against fp32 log-mel: mean {off.mean():.4f}, max {off.max():.4f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
