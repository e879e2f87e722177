"""Command line of the benchmarks that measure growing hours of book: each length in a process of its own.

So the peak memory of one length does not hide that of another. ``measure(hours, suffix, folder)`` does the work in that
process and returns a row of the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

Row = dict[str, float | int | str]


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
