"""Speech-like sounds that the assembly tests share: bursts of a harmonic tone with silences, from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from omnitts.engines.base import SpeechRequest
from omnitts.engines.fake import tone
from omnitts.pipeline.stitch import ChapterAudio, PieceAudio, Timeline, stitch

RATE = 24_000
TEXTS = ("It was a bright cold day in April.", "The clocks were striking thirteen.", "Yes.")


def write_spoken(path: Path, text: str, level: float = 1.0) -> Path:
    samples = tone(SpeechRequest("k", text)).samples * np.float32(level)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


def book(folder: Path, titles: tuple[str, ...] = ("One", "Two"), speed: float = 1.0, level: float = 1.0) -> Timeline:
    """A timeline of short chapters over three clips."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = [write_spoken(folder / f"{idx}.flac", text, level) for idx, text in enumerate(TEXTS)]
    pieces = [PieceAudio(f"p{idx}", clip, 0.4) for idx, clip in enumerate(clips)]
    return stitch([ChapterAudio(title, pieces) for title in titles], RATE, speed=speed)
