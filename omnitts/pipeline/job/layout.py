"""Layout of a job folder: where the store, the clips and the lock are, and which folder belongs to which narration.

    <jobs>/<slug>-<8 hex>/
        job.sqlite           the store (WAL)
        job.lock             held while somebody works in the folder
        clips/ab/abcd....flac

Knows paths, not contents.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from omnitts.paths import jobs_dir

STORE_NAME = "job.sqlite"


@dataclass(frozen=True, slots=True)
class JobFolder:
    path: Path

    @property
    def store(self) -> Path:
        return self.path / STORE_NAME

    @property
    def lock(self) -> Path:
        return self.path / "job.lock"

    @property
    def clips(self) -> Path:
        return self.path / "clips"

    def clip(self, file: str) -> Path:
        return self.clips / file

    @property
    def name(self) -> str:
        return self.path.name


def job_folder_for(output: Path) -> JobFolder:
    """The folder of the narration that makes ``output``.

    The source is not part of it: an edited book, or the book's edited spoken text, finds the earlier work.
    """
    key = hashlib.sha256(str(output.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    slug = re.sub(r"[^\w-]+", "-", output.stem, flags=re.UNICODE).strip("-")[:40] or "book"
    return JobFolder(jobs_dir() / f"{slug}-{key}")


def find_jobs(folder: Path | None = None) -> list[JobFolder]:
    """All job folders, newest work first."""
    root = folder or jobs_dir()
    stores = sorted(root.glob(f"*/{STORE_NAME}"), key=lambda store: store.stat().st_mtime, reverse=True)
    return [JobFolder(store.parent) for store in stores]


def clip_name(data: bytes) -> str:
    """File name of a clip, relative to ``clips/``: the sha256 of its bytes, in one of 256 folders."""
    digest = hashlib.sha256(data).hexdigest()
    return f"{digest[:2]}/{digest}.flac"
