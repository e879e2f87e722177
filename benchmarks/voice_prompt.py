"""What a stored voice prompt saves: seconds to get a voice's prompt from its clip, and from its file.

    python benchmarks/voice_prompt.py --model FOLDER [--voice clara] [--repeats 5]

From the clip means: read and resampled, its features, the two ONNX front ends (opened before), and the file written.
Medians; each repeat does both in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from omnitts.engines.checkpoints import find_checkpoint
from omnitts.engines.voice_prompt import stored_prompt
from omnitts.models.codec.loading import load_codec
from omnitts.pipeline.cast import ready_voice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--voice", default="clara")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    voice = ready_voice(arguments.voice)
    started_s = time.perf_counter()
    listen = load_codec(find_checkpoint(arguments.model) / "cosyvoice2").front_end.listen
    opened_s = time.perf_counter() - started_s
    times: dict[str, list[float]] = {"from the clip": [], "from its file": []}
    with tempfile.TemporaryDirectory() as home:
        os.environ["OMNITTS_HOME"] = home
        for _ in range(arguments.repeats):
            for stored in Path(home).rglob("prompt-*.safetensors"):
                stored.unlink()
            for seconds in times.values():
                started_s = time.perf_counter()
                stored_prompt(voice, "benchmark", listen)
                seconds.append(time.perf_counter() - started_s)
    print(f"{'opening codec and front ends':<30} {opened_s:.3f} s")
    for name, seconds in times.items():
        print(f"{name:<30} {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
