"""Where omnitts keeps things on this machine: models, voices, jobs, caches. One environment variable moves it all."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "OMNITTS_HOME"


def home_dir() -> Path:
    """Root of everything omnitts stores: ``$OMNITTS_HOME``, else the platform's user data folder."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("omnitts", appauthor=False))


def voices_dir() -> Path:
    """The user's library of reference voices."""
    return home_dir() / "voices"


def jobs_dir() -> Path:
    """One folder per book being narrated."""
    return home_dir() / "jobs"


def models_dir() -> Path:
    """Checkpoints that `omnitts models pull` fetched, and ASR models joined from packages."""
    return home_dir() / "models"


def cache_dir() -> Path:
    """Derived data that may be deleted at any time."""
    return home_dir() / "cache"
