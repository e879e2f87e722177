"""How far above the hardware's floor each stage runs on a GPU; on a CPU the same arithmetic, for a look at the script.

    python benchmarks/gpu.py --config 2b --batch 1 8 64 256 512 --json gpu.json
    python benchmarks/gpu.py --config tiny --batch 1 4 --device cpu

Measures the machine first: memory bandwidth by copying, matrix rate by a large product. A decode step reads all weights
once and every sequence's keys and values, and does two operations per weight and sequence: the larger of the two times
is its floor. The flow's floor is its matrix products alone. Prints for a ten-hour book what decoding, flow and vocoder
take together at the best batch size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from omnitts.engines.bench import Bench, BenchParts
from omnitts.models.linear_layout import Layout, usual_layout
from omnitts.models.published import CONFIGS, published, random_codec, random_mouth
from omnitts.pipeline.bench import hardware

BOOK_S = 10 * 3600


def best_s(run: Callable[[], Any], device: torch.device, repeats: int = 5) -> float:
    """Least seconds of a call, the device having finished."""

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    run()
    taken = []
    for _ in range(repeats):
        finish()
        started_s = time.perf_counter()
        run()
        finish()
        taken.append(time.perf_counter() - started_s)
    return min(taken)


def bandwidth(device: torch.device) -> float:
    """Bytes read a second, by copying (each byte is read and written)."""
    source = torch.zeros((1 << 30) if device.type == "cuda" else (1 << 27), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / best_s(lambda: target.copy_(source), device)


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / best_s(lambda: left @ right, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=list(CONFIGS), default="2b")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 64, 128, 256, 512])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound in one piece")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    device = torch.device(options.device)
    is_tiny = options.config == "tiny"
    dtype = torch.float32 if is_tiny else torch.bfloat16
    chosen = published(options.config)
    config = chosen.mouth()
    bytes_per_s, ops_per_s = bandwidth(device), matrix_rate(dtype, device)

    model = random_mouth(config, dtype=dtype, device=device, layout=Layout.PLAIN)  # whose parameters can be counted
    table = model.model.embed_tokens.weight
    head = config.codes_per_row * config.codebook_size * config.backbone.hidden_size
    used = sum(parameter.numel() for parameter in model.parameters()) - table.numel() + head
    model.lay_out(usual_layout(dtype, device))
    parts = BenchParts(
        model, chosen.vocabulary(), config.dropped_rows, random_codec(is_tiny=is_tiny, flow_dtype=dtype, device=device)
    )
    bench = Bench(parts, options.seconds)
    bench.warm_up(max(options.batch))
    mean_length = parts.voice_rows + options.seconds * 25 / config.codes_per_row / 2
    per_frame = _flow_ops_per_frame(parts)
    prompt_share = 1 + parts.prompt_tokens / (options.seconds * 25)

    rows = []
    for batch in options.batch:
        figures, _ = bench.measure(batch, 2 * batch)  # two fillings: some join late
        read = used * table.element_size() + batch * mean_length * model.bytes_per_position
        floor_ms = 1000 * max(read / bytes_per_s, 2 * used * batch / ops_per_s)
        flow_floor = ops_per_s / (50 * per_frame * prompt_share)
        rows.append(
            {
                "batch": batch,
                "step_ms": figures.step_ms,
                "step_floor_ms": floor_ms,
                "above_floor": figures.step_ms / floor_ms,
                "decode": figures.decode,
                "flow": figures.flow,
                "flow_above_floor": flow_floor / figures.flow,
                "vocoder": figures.vocoder,
                "end_to_end": figures.end_to_end,
                "book_s": BOOK_S / figures.end_to_end,
            }
        )
        print(
            f"batch {batch:4d}  step {figures.step_ms:8.2f} ms = {figures.step_ms / floor_ms:5.2f} x floor"
            f"  decode {figures.decode:8.1f}  flow {figures.flow:7.1f} (1/{flow_floor / figures.flow:.1f} of its floor)"
            f"  vocoder {figures.vocoder:7.1f}  end to end {figures.end_to_end:7.1f} s of sound per second",
            flush=True,
        )
    best = min(rows, key=lambda row: row["book_s"])
    print(f"measured: {bytes_per_s / 1e9:.0f} GB/s, {ops_per_s / 1e12:.2f} T operations a second ({dtype})")
    print(f"a ten-hour book: {best['book_s']:.0f} s of decoding, flow and vocoder at batch {best['batch']}")
    if options.json:
        report = {
            "hardware": hardware(device),
            "config": options.config,
            "sizes_presumed_from": chosen.base,
            "bytes_per_s": bytes_per_s,
            "ops_per_s": ops_per_s,
            "batches": rows,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _flow_ops_per_frame(parts: BenchParts) -> float:
    """Operations per mel frame: the estimator's weights, twice a step (guidance), and the encoder's once."""
    flow = parts.detokenizer.flow
    estimator = sum(parameter.numel() for parameter in flow.decoder.estimator.parameters())
    encoder = sum(parameter.numel() for parameter in flow.encoder.parameters())
    return 2 * (2 * flow.config.num_steps * estimator + encoder)


if __name__ == "__main__":
    main()
