"""Planning speed and memory: synthetic books of growing size through `plan`, each in a process of its own.

    python benchmarks/plan.py [--words 100000 300000 1000000] [--json FILE]

The books are made of the sentences below, shuffled by a fixed seed, with more dialogue, numbers and abbreviations
than most novels have. With --file, a book is read from the disk instead, so that reading is measured too. Prints
seconds by the wall, seconds of processor time (imports included) and peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SENTENCES = (
    "No one would have believed that the old house by the river was watched so keenly and so long.",
    "He walked slowly down the road, and the dust rose behind him like smoke.",
    "“I don’t know what you mean,” she said, “and I should rather not be told.”",
    "It was raining.",
    "The captain, who had been silent all evening, put down his glass and looked out of the window at the harbour.",
    "“Yes.”",
    "Mr. Harding came back at 5 p.m. with Dr. Lyle and a letter from St. Albans.",
    "There were three men in the boat, and none of them could swim; they held on to the mast and prayed.",
    "Nobody had lived there since 1887, when the last of the family sold it for £4,200 and went to Canada.",
    "She laughed—not unkindly—and shook her head.",
    "What could he have meant by it?",
    "“Never!” cried the boy.",
    "In the morning the snow had covered everything: the gate, the garden, the little bench under the apple tree.",
    "They had been friends for a long time, though neither of them would have said so, and they parted without a word.",
    "He thought of the sea . . . and then of nothing at all.",
    "Chapter after chapter of his life had closed in just this way, with a door, a lamp and a silence.",
)
CHAPTER_WORDS = 4_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--file", type=Path, help="plan this book instead")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one, arguments.file)))
        return
    sizes = [0] if arguments.file else arguments.words
    rows = [_in_its_own_process(num_words, arguments.file) for num_words in sizes]
    print(f"{'words':>10} {'pieces':>8} {'hours':>7} {'wall s':>8} {'cpu s':>8} {'s per million':>14} {'peak MB':>8}")
    for row in rows:
        print(
            f"{row['words']:>10} {row['pieces']:>8} {row['audio_s'] / 3600:>7.1f} {row['wall_s']:>8.2f} "
            f"{row['cpu_s']:>8.2f} {row['cpu_s'] / row['words'] * 1e6:>14.2f} {row['peak_mb']:>8.0f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure(num_words: int, file: Path | None) -> dict[str, Any]:
    """Plans one book in this process; imports count, making a synthetic book does not."""
    wall, cpu = time.perf_counter(), time.process_time()
    from omnitts.pipeline.plan import PlanOptions, SoundSettings, plan

    if file is None:
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        book = synthetic_book(num_words)
        wall += time.perf_counter() - wall_before
        cpu += time.process_time() - cpu_before
    else:
        from omnitts.pipeline.read.reader import read_book

        book = read_book(file)
    planned = plan(book, {"": None}, PlanOptions(SoundSettings("fake", "benchmark")))
    return {
        "words": planned.words,
        "pieces": len(planned.utterances),
        "audio_s": planned.audio_s,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def synthetic_book(num_words: int) -> Any:
    """A book of about ``num_words`` words, the same for the same number."""
    from omnitts.types import Block, BlockKind, Book, Chapter

    generator = random.Random(num_words)
    chapters: list[Chapter] = []
    total = 0
    while total < num_words:
        title = f"CHAPTER {len(chapters) + 1}"
        blocks = [Block(BlockKind.HEADING, title, "line 1", level=1)]
        in_chapter = 0
        while in_chapter < CHAPTER_WORDS and total + in_chapter < num_words:
            text = " ".join(generator.choices(SENTENCES, k=generator.randint(1, 8)))
            blocks.append(Block(BlockKind.PARAGRAPH, text, f"line {len(blocks) + 1}"))
            in_chapter += len(text.split())
        total += in_chapter
        chapters.append(Chapter(title, tuple(blocks)))
    return Book("Synthetic", tuple(chapters), language="en")


def _in_its_own_process(num_words: int, file: Path | None) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(num_words), *(["--file", str(file)] if file else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
