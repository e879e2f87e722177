"""How assembly scales: hours of book against seconds of work and peak memory.

    python benchmarks/assembly.py --hours 0.5 1 4 --format m4b
    python benchmarks/assembly.py --hours 60 --json

Each length runs in a process of its own, over one clip repeated, so that the peak of one does not hide that of another.
Peak memory counts this process; ffmpeg's own is listed beside it. Needs POSIX.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import by_the_hour
import numpy as np

from omnitts import audio
from omnitts.pipeline.master import load_master, master
from omnitts.pipeline.stitch import ChapterAudio, PieceAudio, stitch
from omnitts.pipeline.tags import Tags

RATE = 24_000
CLIP_S = 10.0
PIECES_PER_CHAPTER = 120  # twenty minutes


def clip(folder: Path) -> Path:
    """Ten seconds of something like speech: noise and tone in syllables, with a few peaks."""
    generator = np.random.default_rng(0)
    t_s = np.arange(round(CLIP_S * RATE)) / RATE
    syllables = np.abs(np.sin(np.pi * 4 * t_s)) ** 2
    samples = (0.08 * np.sin(2 * np.pi * 150 * t_s) + 0.02 * generator.standard_normal(len(t_s))) * syllables
    samples[generator.integers(0, len(t_s), 20)] *= 5
    path = folder / "clip.flac"
    audio.save(audio.Waveform(samples.astype(np.float32), RATE), path)
    return path


def assemble(hours: float, suffix: str, folder: Path) -> by_the_hour.Row:
    """Stitches and masters a book of so many hours; returns one row of the table."""
    file = clip(folder)
    count = max(1, round(hours * 3600 / (CLIP_S + 0.5)))
    pieces = [PieceAudio(f"p{idx}", file, 0.5) for idx in range(count)]
    chapters = [
        ChapterAudio(f"Chapter {start // PIECES_PER_CHAPTER + 1}", pieces[start : start + PIECES_PER_CHAPTER])
        for start in range(0, count, PIECES_PER_CHAPTER)
    ]
    memory = by_the_hour.PeakMemory()
    started_s = time.perf_counter()
    timeline = stitch(chapters, RATE)
    stitched_s = time.perf_counter()
    mastered = master(timeline, Tags("A long book"), folder / f"book.{suffix}", load_master("audiobook"))
    ended_s = time.perf_counter()
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "hours": round(timeline.duration_s / 3600, 2),
        "chapters": len(timeline.chapters),
        "stitch_s": round(stitched_s - started_s, 1),
        "master_s": round(ended_s - stitched_s, 1),
        "cpu_s": round(sum(usage.ru_utime + usage.ru_stime for usage in (own, children)), 1),
        "times_real_time": round(timeline.duration_s / (ended_s - started_s)),
        **memory.columns(),
        "file_mb": round(mastered.files[0].stat().st_size / 1e6, 1),
        "lufs": mastered.loudness_after.integrated_lufs,
        "dbtp": mastered.loudness_after.true_peak_dbtp,
    }


if __name__ == "__main__":
    by_the_hour.main(__file__, __doc__, assemble)
