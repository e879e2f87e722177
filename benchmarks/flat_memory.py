"""Memory of the engine's road while it speaks thousands of requests: prints resident megabytes as they go by.

    python benchmarks/flat_memory.py --requests 10000

Random weights of the tiny configuration, pieces of under a second: what grows with the number of requests shows, and
nothing else does. Exits with 1 when the highest of the second half is over 32 MB above that of the first. Linux only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from omnitts.engines.bench import Bench, BenchParts
from omnitts.models.published import published, random_codec, random_mouth

ALLOWED_MB = 32


def resident_mb() -> float:
    """Memory of this process that is really there."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def memory_while_speaking(requests: int, chunks: int = 10, batch: int = 16) -> Iterator[float]:
    """Resident megabytes after each tenth of the requests."""
    tiny = published("tiny")
    model = random_mouth(tiny.mouth(), dtype=torch.float32)
    parts = BenchParts(model, tiny.vocabulary(), 1, random_codec(is_tiny=True), voice_rows=8, prompt_tokens=4)
    bench = Bench(parts, piece_s=0.8)
    for _ in range(chunks):
        bench.speak_overlapped(batch, max(requests // chunks, batch))
        yield resident_mb()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    taken = []
    for number, megabytes in enumerate(memory_while_speaking(options.requests), start=1):
        taken.append(megabytes)
        print(f"{number * options.requests // 10:7d} requests  {megabytes:7.1f} MB", flush=True)
    half = len(taken) // 2
    growth = max(taken[half:]) - max(taken[:half])
    print(f"highest of the second half against the first: {growth:+.1f} MB")
    sys.exit(growth > ALLOWED_MB)


if __name__ == "__main__":
    main()
