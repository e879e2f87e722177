"""How a whole narration scales: hours of book against seconds of work and peak memory, from text to finished audio.

    python benchmarks/hours.py --hours 0.5 1 10
    python benchmarks/hours.py --hours 60 --json

The fake engine speaks (tones as long as speech would be) and nothing is checked, so what is timed is all that omnitts
itself does: reading, planning, the job's records, clips, stitching, mastering, encoding. Each length runs in a process
of its own; ffmpeg's peak memory is listed beside it (Linux). Needs POSIX.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import by_the_hour
from plan import synthetic_book

from omnitts.progress import Silent

WORDS_PER_HOUR = 9_000  # of the fake engine with pauses, about


def write_book(num_words: int, path: Path) -> None:
    """A synthetic book as a plain text file with chapter headings."""
    chapters = synthetic_book(num_words).chapters
    text = "\n\n".join(block.text for chapter in chapters for block in chapter.blocks)
    path.write_text(text + "\n", encoding="utf-8")


def narrate_hours(hours: float, suffix: str, folder: Path) -> by_the_hour.Row:
    """Narrates a book of so many hours in this process; returns one row of the table."""
    os.environ["OMNITTS_HOME"] = str(folder / "home")
    from omnitts.pipeline.check.judge import QualityOptions
    from omnitts.pipeline.narrate import narrate
    from omnitts.pipeline.narrate_options import NarrateOptions

    source, out = folder / "book.txt", folder / f"book.{suffix}"
    write_book(round(hours * WORDS_PER_HOUR), source)
    memory = by_the_hour.PeakMemory()
    started_s = time.perf_counter()
    options = NarrateOptions(str(source), out=out, engine="fake", quality=QualityOptions(check=False))
    report = narrate(options, Silent()).report
    wall_s = time.perf_counter() - started_s
    return {
        "hours": round(report["duration_s"] / 3600, 2),
        "pieces": report["num_pieces"],
        "wall_s": round(wall_s, 1),
        "speak_s": round(report["seconds"]["speak_s"], 1),
        "assemble_s": round(report["seconds"]["assemble_s"], 1),
        "times_real_time": round(report["duration_s"] / wall_s),
        **memory.columns(),
        "file_mb": round(out.stat().st_size / 1e6, 1),
    }


if __name__ == "__main__":
    by_the_hour.main(__file__, __doc__, narrate_hours)
