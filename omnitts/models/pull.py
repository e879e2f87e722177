"""Fetches a model from the hub when a person asks for it: checked byte by byte, pinned to a commit.

A short name or hub id in, a complete folder with its lock file out. Progress goes out as events. How the bytes come is
in `transfer`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from omnitts.errors import ModelError
from omnitts.models.hub import (
    BUNDLED,
    DEFAULT_REVISION,
    KNOWN_MODELS,
    check_repo,
    find_folder,
    find_known,
    store_folder,
)
from omnitts.models.layout import MANIFEST_FILE, PARTIAL_DIR, check_layout, kind_of
from omnitts.models.manifest import Manifest, read_manifest, write_manifest
from omnitts.models.transfer import RemoteFile, Transfer, hub_endpoint, hub_errors
from omnitts.progress import Progress, Silent

ANSWER_TIMEOUT_S = 8.0
SPARE_BYTES = 500_000_000  # left free on the disk
_UNWANTED = (".gitattributes", "*.md", "*.png", "*.jpg", "*.mp4", "assets/*")


def pull(reference: str, revision: str | None = None, progress: Progress | None = None) -> Path:
    """Downloads a model into omnitts' store and returns its folder. Interrupted, it goes on at the byte it came to.

    ``revision`` is a branch, tag or commit; it is resolved to a commit first, and that is recorded. Emits ``download``
    events (``model``, ``done_bytes``, ``total_bytes``) and ``check`` events (``file``). Raises `ModelError` when the
    hub cannot be reached (within seconds), does not have it, the disk is too full, a file arrives damaged, or it is
    another kind of model (said before gigabytes come).
    """
    repo = check_repo(reference)
    known = find_known(repo)
    if known is BUNDLED:
        find_folder(reference)  # says so when this installation has none
        raise ModelError("it comes with omnitts, there is nothing to fetch", where=reference, hint="--model small")
    asked = revision or (known.revision if known else DEFAULT_REVISION)
    commit, files = _look_up(repo, asked)
    folder = store_folder(repo, asked)
    _check_space(folder, files)
    previous = read_manifest(folder)
    if previous is not None and previous.commit != commit:
        (folder / MANIFEST_FILE).unlink()  # from here on the folder is neither the old commit nor yet the new one
    transfer = Transfer(repo, commit, folder, sum(file.size_bytes for file in files), progress or Silent())
    sha256 = {}
    for file in sorted(files, key=lambda file: (file.name != "config.json", file.name)):
        sha256[file.name] = transfer.bring(file)
        if file.name == "config.json":
            _refuse_other_kinds(folder)
    shutil.rmtree(folder / PARTIAL_DIR, ignore_errors=True)
    write_manifest(folder, Manifest(repo, asked, commit, sha256))
    missing = check_layout(folder)
    if missing:
        what = f"the hub's copy is not a complete model: {', '.join(missing)} missing"
        raise ModelError(what, where=repo, hint="give the folder of a complete copy with --model")
    return folder


def hub_fault() -> str:
    """Why the hub cannot be used from here; empty when it answers. Goes out to the network, for seconds at most."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with hub_errors("hub"):
            HfApi(endpoint=hub_endpoint()).model_info(KNOWN_MODELS[0].repo, timeout=ANSWER_TIMEOUT_S)
    except ModelError as error:
        has_answered = isinstance(error.__cause__, RepositoryNotFoundError)
        return "" if has_answered else error.what
    return ""


def _look_up(repo: str, revision: str) -> tuple[str, list[RemoteFile]]:
    """The commit a revision is now, and its files."""
    from huggingface_hub import HfApi

    with hub_errors(repo, revision):
        api = HfApi(endpoint=hub_endpoint())
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_S)
    siblings = [s for s in info.siblings or () if not any(fnmatch(s.rfilename, pattern) for pattern in _UNWANTED)]
    files = [RemoteFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else "", s.blob_id or "") for s in siblings]
    if not info.sha or "config.json" not in {file.name for file in files}:
        raise ModelError("this is no model: it has no config.json", where=f"{repo}@{revision}", hint="check the name")
    return info.sha, files


def _check_space(folder: Path, files: Sequence[RemoteFile]) -> None:
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = sum(file.size_bytes for file in files) - held
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed + SPARE_BYTES > free:
        raise ModelError(
            f"the download needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            where=str(existing),
            hint="free some space, or set OMNITTS_HOME to a folder on a larger disk",
        )


def _refuse_other_kinds(folder: Path) -> None:
    try:
        kind_of(folder)
    except ModelError:
        (folder / "config.json").unlink()
        shutil.rmtree(folder / PARTIAL_DIR, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
