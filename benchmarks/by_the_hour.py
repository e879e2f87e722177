"""Command line of the benchmarks that measure growing hours of book: each length in a process of its own.

So the peak memory of one length does not hide that of another. ``measure(hours, suffix, folder)`` does the work in that
process and returns a row of the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

Row = dict[str, float | int | str]
_LOOK_EVERY_S = 0.2


class PeakMemory:
    """Peaks of this process and, from now on, of the largest of its children.

    What the kernel says of children that have ended will not do: it counts the moment between fork and exec, when a
    child is as large as its parent. So they are looked at while they run (Linux; elsewhere theirs is 0).
    """

    def __init__(self) -> None:
        self._children_kb = 0
        threading.Thread(target=self._watch, name="peak memory", daemon=True).start()

    def columns(self) -> Row:
        own_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"peak_rss_mb": own_kb // 1024, "ffmpeg_rss_mb": self._children_kb // 1024}

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK_EVERY_S):
            for listed in Path("/proc/self/task").glob("*/children"):
                with contextlib.suppress(OSError):  # a thread or child that has just ended
                    for child in listed.read_text().split():
                        self._children_kb = max(self._children_kb, _peak_kb(Path("/proc", child, "status")))


def _peak_kb(status: Path) -> int:
    """Of a program that runs; 0 while it is still a copy of this one."""
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    if "ffmpeg" not in fields["Name"]:
        return 0
    return int(fields.get("VmHWM", "0 kB").split()[0])


def main(script: str, description: str, measure: Callable[[float, str, Path], Row]) -> None:
    """``script``: the benchmark's own ``__file__``, which is run again for every length."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[0.25, 1.0, 4.0])
    parser.add_argument("--format", default="m4b")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.hours[0], options.format, Path(folder))))
        return
    rows: list[Row] = []
    for hours in options.hours:
        command = [sys.executable, script, "--alone", "--hours", str(hours), "--format", options.format]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        if not options.json:
            if len(rows) == 1:
                print("  ".join(f"{name:>15}" for name in rows[0]))
            print("  ".join(f"{value:>15}" for value in rows[-1].values()), flush=True)
    if options.json:
        print(json.dumps({"format": options.format, "rows": rows}, indent=2))
