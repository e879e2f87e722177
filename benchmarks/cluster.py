"""Two Ray nodes against one process on the same cores: wall time of the same book, then a worker killed in the middle.

    python benchmarks/cluster.py [--engine draft] [--copies 5] [--runs 1] [--json] [BOOK]

Speaks the book unchecked (several times over, with another seed each, so that starting up does not drown the rest): in
this process, and on two Ray nodes of one core each, in turn. Wall time depends on who else uses the cores; processor
time (of this process and all it started, with the services of Ray; Linux) shows what the cluster costs. Then kills a
worker in the middle and compares every clip. Exits non-zero when a clip is lost or differs. Needs the extra `cluster`.

"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from omnitts.engines.base import SpeechRequest
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.fleet.base import LOCAL, RAY, FleetOptions, open_fleet
from omnitts.fleet.ray import RayFleet
from omnitts.pipeline.narrate import NarrateOptions, survey

EXAMPLE = Path(__file__).parent.parent / "examples" / "aesop-four-fables.epub"
NUM_NODES = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--engine", default="draft")
    parser.add_argument("--copies", type=int, default=5, help="how often the book is spoken over")
    parser.add_argument("--runs", type=int, default=1, help="of each side, in turn; the median counts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    options = NarrateOptions(source=str(arguments.book), engine=arguments.engine)
    utterances = survey(options).plan.utterances
    pieces = {piece.id: piece for piece in utterances}.values()
    requests = [
        SpeechRequest(f"{piece.id} {copy}", piece.text, None, piece.language, seed=copy)
        for copy in range(arguments.copies)
        for piece in pieces
    ]
    result = measure(arguments.engine, requests, arguments.runs)
    print(json.dumps(result) if arguments.json else table(result))
    return 0 if result["same_clips"] and result["kill"]["same_clips"] else 1


def measure(engine: str, requests: list[SpeechRequest], runs: int) -> dict[str, Any]:
    """Everything that is printed; the cluster lives as long as this call."""
    folder = Path(tempfile.mkdtemp(prefix="omnitts-b-"))
    os.environ.update(RAY_TMPDIR=str(folder), RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0")
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.urandom(32).hex(), RAY_DEDUP_LOGS_SKIP_REGEX=".")
    from ray.cluster_utils import Cluster

    started_s = time.perf_counter()
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 200 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(NUM_NODES - 1):
            cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
        cluster_start_s = time.perf_counter() - started_s
        here, there = [], []
        for _ in range(runs):
            here.append(speak(engine, requests, LOCAL))
            there.append(speak(engine, requests, RAY, cluster.address))
        kill = speak(engine, requests, RAY, cluster.address, kill_at=len(requests) // 3)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    one, two = side(here), side(there)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return {
        "hardware": f"{machine}, load {os.getloadavg()[0]:.1f}",
        "engine": engine,
        "pieces": len(requests),
        "audio_s": here[0]["audio_s"],
        "cluster_start_s": cluster_start_s,
        "one_process": one,
        "two_nodes": two,
        "speedup": one["spoken_s"] / two["spoken_s"],
        "processor_overhead": two["processor_s"] / one["processor_s"] - 1,
        "same_clips": all(run["digests"] == here[0]["digests"] for run in [*here, *there]),
        "kill": {
            "spoken_s": kill["spoken_s"],
            "killed": kill["killed"],
            "spoken": kill["spoken"],
            "lost": len(requests) - len(kill["digests"]),
            "same_clips": kill["digests"] == here[0]["digests"],
        },
    }


def side(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in ("ready_s", "spoken_s", "processor_s")}


def speak(
    engine: str, requests: list[SpeechRequest], kind: str, address: str = "", kill_at: int | None = None
) -> dict[str, Any]:
    """What was spoken, and the seconds it took once everybody was there (``ready_s``: workers, weights)."""
    options = EngineOptions()
    digests: dict[str, str] = {}
    spoken, audio_s, killed = 0, 0.0, 0
    started_s = time.perf_counter()
    with open_fleet(open_engine(engine, options), kind, FleetOptions(options, address)) as fleet:
        while True:
            list(fleet.speak([SpeechRequest(str(idx), "Ready.") for idx in range(4 * NUM_NODES)]))
            if not isinstance(fleet, RayFleet) or len(fleet.workers) == NUM_NODES:
                break
        ready_s, ready_processor_s = time.perf_counter() - started_s, processor_s()
        for speech in fleet.speak(requests):
            spoken += 1
            audio_s += speech.waveform.duration_s
            digests[speech.key] = hashlib.sha256(speech.waveform.samples.tobytes()).hexdigest()
            if spoken == kill_at and isinstance(fleet, RayFleet):
                killed += 1
                os.kill(fleet.workers[0][1], signal.SIGKILL)
        spoken_s = time.perf_counter() - started_s - ready_s
        used_s = processor_s() - ready_processor_s
    return {
        "ready_s": ready_s,
        "spoken_s": spoken_s,
        "processor_s": used_s,
        "audio_s": audio_s,
        "digests": digests,
        "spoken": spoken,
        "killed": killed,
    }


def processor_s() -> float:
    """Seconds of processor time of this process and all that descend from it and still live."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(stat.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    total = 0
    for pid in ticks:
        ancestor = pid
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        total += ticks[pid] if ancestor == os.getpid() else 0
    return total / os.sysconf("SC_CLK_TCK")


def table(result: dict[str, Any]) -> str:
    one, two, kill = result["one_process"], result["two_nodes"], result["kill"]

    def row(name: str, times: dict[str, float]) -> str:
        return f"{name:16}{times['spoken_s']:9.1f}{times['processor_s']:13.1f}{times['ready_s']:9.1f}"

    return "\n".join(
        [
            f"{result['hardware']}; {result['engine']}, {result['pieces']} pieces, {result['audio_s']:.0f} s of audio",
            "                   wall s  processor s  ready s",
            row("one process", one),
            row("two Ray nodes", two) + f"   (and {result['cluster_start_s']:.1f} for the nodes themselves)",
            f"speedup {result['speedup']:.2f}, processor time {result['processor_overhead']:+.0%}, "
            f"same clips: {'yes' if result['same_clips'] else 'NO'}",
            f"{kill['killed']} worker killed in the middle: {kill['spoken_s']:.1f} s, {kill['spoken']} clips, "
            f"{kill['lost']} lost, same clips: {'yes' if kill['same_clips'] else 'NO'}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
