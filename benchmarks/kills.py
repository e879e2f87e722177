"""Kills a narration at random moments and compares the final file with that of an undisturbed run.

    python benchmarks/kills.py [--kills 20] [--seed 1] [--engine draft] [BOOK]

Prints one line a kill and a summary; exits non-zero when a file differs. Without BOOK the example is narrated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "aesop-four-fables.epub"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", default="draft")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        started_s = time.monotonic()
        wanted = narrate(arguments, root / "undisturbed")
        usual_s = time.monotonic() - started_s
        num_kills, num_same, num_different = 0, 0, 0
        while num_kills < arguments.kills:
            home = root / f"run{num_same + num_different}"
            got = None
            while got is None and num_kills < arguments.kills:
                got = narrate(arguments, home, kill_after_s=generator.uniform(0.1 * usual_s, 0.9 * usual_s))
                num_kills += got is None
            got = got or narrate(arguments, home)
            num_same += got == wanted
            num_different += got != wanted
            verdict = "same" if got == wanted else "DIFFERENT"
            print(f"after {num_kills} kills: file {got[:12]}, {verdict}", file=sys.stderr)
    result = {"kills": num_kills, "finished_files": num_same + num_different, "identical": num_same, "run_s": usual_s}
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{num_kills} kills; {num_same} of {num_same + num_different} finished files are the same")
    return 1 if num_different else 0


def narrate(arguments: argparse.Namespace, home: Path, kill_after_s: float | None = None) -> str | None:
    """sha256 of the file that `omnitts narrate` made, or None when it was killed first."""
    home.mkdir(exist_ok=True)
    out = home / "book.m4b"
    command = [sys.executable, "-m", "omnitts.cli.app", "narrate", str(arguments.book), "-o", str(out)]
    environment = {**os.environ, "OMNITTS_HOME": str(home / "home")}
    child = subprocess.Popen([*command, "--engine", arguments.engine, "--quiet"], env=environment)
    try:
        code = child.wait(kill_after_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return None
    if code not in (0, 2):
        raise SystemExit(f"omnitts ended with {code}")
    return hashlib.sha256(out.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
