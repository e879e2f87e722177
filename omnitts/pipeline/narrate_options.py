"""What `omnitts narrate` is told, as one immutable value. Names are the flags'."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omnitts.errors import UsageError
from omnitts.pipeline.check.judge import QualityOptions
from omnitts.pipeline.read import ReadOptions

STDIN = "-"
SPEEDS = (0.5, 2.0)  # what time stretching does without harm


@dataclass(frozen=True)
class NarrateOptions:
    """What `omnitts narrate` is told; names are the flags'. ``source`` is a path or ``-``; ``out`` None is beside it.

    ``sample_s`` speaks only the first stretch; ``job`` None is a folder chosen by source and output. ``title``,
    ``author`` and ``cover`` replace the book's own. ``cluster`` is the address of its workers (`FleetOptions`); empty
    for this process.
    """

    source: str
    out: Path | None = None
    format: str = ""
    split: str = "none"
    master: str = "audiobook"
    report: Path | None = None
    job: Path | None = None
    sample_s: float | None = None
    chapters: str = ""
    title: str = ""
    author: str = ""
    cover: Path | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    lexicon: tuple[Path, ...] = ()
    language: str = ""
    voice: str | None = None
    voice_text: str | None = None
    engine: str = "auto"
    model: str = ""
    device: str = "auto"
    cluster: str = ""
    speed: float = 1.0
    seed: int = 0
    quality: QualityOptions = field(default_factory=QualityOptions)
    profile: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if not SPEEDS[0] <= self.speed <= SPEEDS[1]:  # not a number is refused too
            hint = f"give a speed from {SPEEDS[0]} to {SPEEDS[1]}"
            raise UsageError(f"{self.speed} is no speed", where="--speed", hint=hint)
