"""How long a plan will take on this machine: seconds of audio in, seconds of waiting out.

The figure is this machine's own where it has finished a job with the engine before (kept in the cache folder, newer
jobs weighing more), else a typical one, and says which. Knows no engine but by its name.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from omnitts.paths import cache_dir

_FILE: Final = "speeds.json"
# Seconds of work for a second of audio, checks included, measured on two x86-64 cores without a GPU.
_TYPICAL: Final = MappingProxyType({"draft": 0.12, "fake": 0.05, "mgm-omni": 4.0})
_TYPICAL_OTHER: Final = 1.0
_FADE: Final = 0.5  # weight of all earlier jobs against the one just finished
_LEAST_AUDIO_S: Final = 30.0  # a shorter job says more about loading than about speaking

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """``seconds`` to wait; ``is_measured`` on this machine, or a typical figure."""

    seconds: float
    is_measured: bool


def estimate_time(audio_s: float, engine: str) -> TimeEstimate:
    """How long speaking and checking ``audio_s`` seconds of audio with an engine will take here."""
    past = _read().get(engine)
    if past is None:
        return TimeEstimate(audio_s * _TYPICAL.get(engine, _TYPICAL_OTHER), is_measured=False)
    return TimeEstimate(audio_s * past[1] / past[0], is_measured=True)


def remember_speed(engine: str, audio_s: float, work_s: float) -> None:
    """Keeps what a finished job took: seconds of audio it spoke, and seconds it worked on them. Short jobs are ignored.

    A cache folder that cannot be written costs no more than the next estimate.
    """
    if audio_s < _LEAST_AUDIO_S or work_s <= 0:
        return
    speeds = _read()
    past_audio_s, past_work_s = speeds.get(engine, (0.0, 0.0))
    speeds[engine] = (past_audio_s * _FADE + audio_s, past_work_s * _FADE + work_s)
    file = _file()
    aside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(speeds), encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        logger.info("the speed of this job is not kept: %s", error)
        aside.unlink(missing_ok=True)


def _file() -> Path:
    return cache_dir() / _FILE


def _read() -> dict[str, tuple[float, float]]:
    """Engine to (seconds of audio, seconds of work); what is damaged is as if it had never been."""
    try:
        stored = json.loads(_file().read_text(encoding="utf-8"))
        speeds = {str(engine): (float(audio_s), float(work_s)) for engine, (audio_s, work_s) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return {engine: speed for engine, speed in speeds.items() if speed[0] > 0 and speed[1] > 0}
