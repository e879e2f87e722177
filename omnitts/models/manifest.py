"""The lock file beside a pulled checkpoint: which commit it is and what each file's bytes must be.

A folder in, a `Manifest` or a list of faults out. The hub gives the sha256 of files kept in LFS, and git's own blob id
(sha1 over a small header and the bytes) of all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from omnitts.audio import write_atomically
from omnitts.errors import ModelError
from omnitts.models.layout import MANIFEST_FILE, check_layout, cut_short, model_files


@dataclass(frozen=True, slots=True)
class Manifest:
    """``revision`` is what was asked for (branch, tag or commit), ``commit`` what it was then; ``sha256`` by file."""

    repo: str
    revision: str
    commit: str
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. ``faults`` is empty when all is sound; ``has_manifest``: whether bytes were compared."""

    folder: Path
    faults: tuple[str, ...]
    num_files: int
    has_manifest: bool


def read_manifest(folder: Path) -> Manifest | None:
    """None for a folder that was not pulled by omnitts. Raises `ModelError` when the lock file is damaged."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        sha256 = {str(name): str(value) for name, value in data["sha256"].items()}
        return Manifest(str(data["repo"]), str(data["revision"]), str(data["commit"]), sha256)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "pull the model again: files that are whole are not fetched twice"
        raise ModelError("the lock file cannot be read", where=str(path), hint=hint) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"
    write_atomically(folder / MANIFEST_FILE, text.encode())


def verify(folder: Path, on_file: Callable[[str], None] = lambda name: None) -> Verification:
    """Reads a checkpoint through: all files there, none cut short, every byte as pulled. ``on_file`` hears each name.

    Raises `ModelError` for a folder that is no checkpoint at all.
    """
    if not folder.is_dir():
        raise ModelError("no such folder", where=str(folder), hint="`omnitts models list` shows what there is")
    manifest = read_manifest(folder)
    faults = [f"{name} is missing" for name in check_layout(folder)]
    faults += [f"{name} is cut short" for name in cut_short(folder)]
    for name, expected in sorted(manifest.sha256.items() if manifest else ()):
        on_file(name)
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif sha256_of(path) != expected:
            faults.append(f"{name} has changed (sha256 differs)")
    return Verification(folder, tuple(dict.fromkeys(faults)), len(model_files(folder)), manifest is not None)


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    return _digest(path, hashlib.sha256())


def git_blob_id(path: Path) -> str:
    """The id git gives a file's bytes (sha1, hex)."""
    return _digest(path, hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False))


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
