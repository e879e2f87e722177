"""Fetches a model from the hub when a person asks for it: resumable, checked byte by byte, pinned to a commit.

A hub id in, a complete folder with its lock file out. The only file that downloads models. Progress goes out as events
from the calling thread.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from omnitts.errors import ModelError
from omnitts.models.hub import DEFAULT_REVISION, KNOWN_MODELS, check_repo, find_known, store_folder
from omnitts.models.layout import MANIFEST_FILE, check_layout, kind_of
from omnitts.models.manifest import Manifest, git_blob_id, read_manifest, sha256_of, write_manifest
from omnitts.progress import Event, Progress, Silent

ANSWER_TIMEOUT_S = 8.0
POLL_S = 0.25
SPARE_BYTES = 500_000_000  # left free on the disk
_UNWANTED = (".gitattributes", "*.md", "*.png", "*.jpg", "*.mp4", "assets/*")


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    name: str
    size_bytes: int
    sha256: str  # of files in LFS, else empty
    blob_id: str


def pull(reference: str, revision: str | None = None, progress: Progress | None = None) -> Path:
    """Downloads a model into omnitts' store and returns its folder. Interrupted, it goes on where it stopped.

    ``reference`` is a short name or hub id; ``revision`` a branch, tag or commit, resolved to a commit first and
    recorded. Emits ``download`` events (``file``, ``done_bytes``, ``total_bytes``) and one ``check`` event per file.
    Raises `ModelError` when the hub cannot be reached (within seconds), does not have it, the disk is too full, or a
    file arrives damaged.
    """
    progress = progress or Silent()
    repo = check_repo(reference)
    known = find_known(repo)
    asked = revision or (known.revision if known else DEFAULT_REVISION)
    commit, files = _look_up(repo, asked)
    if "config.json" not in {file.name for file in files}:
        raise ModelError("this is no model: it has no config.json", where=repo, hint="check the name")
    folder = store_folder(repo, asked)
    _check_space(folder, files)
    with _hub_errors(repo):
        _fetch_config(repo, commit, folder)
        _download(repo, commit, folder, files, progress)
    sha256 = _check_files(folder, files, progress)
    write_manifest(folder, Manifest(repo, asked, commit, sha256))
    missing = check_layout(folder)
    if missing:
        raise ModelError(
            f"the hub's copy is not a complete model: {', '.join(missing)} missing",
            where=repo,
            hint="try another model",
        )
    return folder


def hub_fault() -> str:
    """Why the hub cannot be used from here; empty when it answers. Goes out to the network, for seconds at most."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with _hub_errors("hub"):
            HfApi(endpoint=_endpoint()).model_info(KNOWN_MODELS[0].repo, timeout=ANSWER_TIMEOUT_S)
    except ModelError as error:
        has_answered = isinstance(error.__cause__, RepositoryNotFoundError)
        return "" if has_answered else error.what
    return ""


def _look_up(repo: str, revision: str) -> tuple[str, list[_RemoteFile]]:
    """The commit a revision is now, and its files."""
    from huggingface_hub import HfApi

    with _hub_errors(repo, revision):
        info = HfApi(endpoint=_endpoint()).model_info(
            repo, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_S
        )
    siblings = [s for s in info.siblings or () if not any(fnmatch(s.rfilename, pattern) for pattern in _UNWANTED)]
    files = [_RemoteFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else "", s.blob_id or "") for s in siblings]
    if not files or not info.sha:
        raise ModelError("the hub lists no files", where=f"{repo}@{revision}", hint="check the name and the revision")
    return info.sha, files


def _check_space(folder: Path, files: Sequence[_RemoteFile]) -> None:
    there = sum(min(f.size_bytes, (folder / f.name).stat().st_size) for f in files if (folder / f.name).is_file())
    needed = sum(file.size_bytes for file in files) - there
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed + SPARE_BYTES > free:
        raise ModelError(
            f"the download needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            where=str(existing),
            hint="free some space, or set OMNITTS_HOME to a larger disk",
        )


def _fetch_config(repo: str, commit: str, folder: Path) -> None:
    """The smallest file first: it tells, before gigabytes come, whether this is a model omnitts can load."""
    from huggingface_hub import hf_hub_download

    is_new = not folder.exists()
    hf_hub_download(
        repo, "config.json", revision=commit, local_dir=folder, endpoint=_endpoint(), tqdm_class=_silent_bar()
    )
    try:
        kind_of(folder)
    except ModelError:
        if is_new:
            shutil.rmtree(folder)
        raise


def _download(repo: str, commit: str, folder: Path, files: Sequence[_RemoteFile], progress: Progress) -> None:
    """snapshot_download in a daemon thread, so that Ctrl-C stops at once; this thread watches the bytes arrive."""
    from huggingface_hub import snapshot_download

    previous = read_manifest(folder)
    if previous is not None and previous.commit != commit:
        (folder / MANIFEST_FILE).unlink()  # from here on the folder is neither the old commit nor yet the new one
    failure: list[Exception] = []

    def work() -> None:
        try:
            snapshot_download(
                repo,
                revision=commit,
                local_dir=folder,
                ignore_patterns=list(_UNWANTED),
                endpoint=_endpoint(),
                tqdm_class=_silent_bar(),
            )
        except Exception as error:  # noqa: BLE001 - raised again in the calling thread
            failure.append(error)

    total = sum(file.size_bytes for file in files)
    thread = threading.Thread(target=work, name="model-download", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
        done = min(_bytes_on_disk(folder), total)
        progress.emit(Event("download", {"model": repo, "done_bytes": done, "total_bytes": total}))
    if failure:
        raise failure[0]


def _bytes_on_disk(folder: Path) -> int:
    """Finished files and those still arriving (kept in a hidden folder by the hub's library)."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.suffix not in (".metadata", ".lock") and path.exists():
                total += path.stat().st_size
    return total


def _check_files(folder: Path, files: Sequence[_RemoteFile], progress: Progress) -> dict[str, str]:
    """sha256 of every file, after comparing it with what the hub says. A damaged file is deleted."""
    digests: dict[str, str] = {}
    for file in files:
        progress.emit(Event("check", {"file": file.name}))
        path = folder / file.name
        if not path.is_file():
            raise ModelError(f"{file.name} did not arrive", where=str(folder), hint="pull again")
        digests[file.name] = sha256_of(path)
        sound = digests[file.name] == file.sha256 if file.sha256 else file.blob_id in ("", git_blob_id(path))
        if not sound:
            path.unlink()
            raise ModelError(
                f"{file.name} arrived damaged (its digest is not the hub's) and was deleted",
                where=str(folder),
                hint="pull again: whole files are not fetched twice",
            )
    return digests


def _endpoint() -> str | None:
    """A mirror of the hub; read when needed, so that a script may set it after importing."""
    return os.environ.get("HF_ENDPOINT") or None


def _silent_bar() -> type[Any]:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class SilentBar(tqdm):  # type: ignore[misc]
        """The hub's library wants a bar; ours is drawn elsewhere."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return SilentBar


@contextmanager
def _hub_errors(repo: str, revision: str = "") -> Iterator[None]:
    """Turns what the hub's library raises into `ModelError`s that say what to do."""
    from huggingface_hub import errors

    # The library's own errors derive from those of the HTTP client it uses (requests, httpx ...): the base tells which.
    transport_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ModelError("fetching is switched off", where=repo, hint="unset HF_HUB_OFFLINE to go online") from error
    except errors.GatedRepoError as error:
        hint = "accept its terms on the hub's web page and log in (hf auth login)"
        raise ModelError("the model's owner asks for agreement first", where=repo, hint=hint) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError("the hub has no such model", where=repo, hint="check the name") from error
    except errors.RevisionNotFoundError as error:
        hint = "check the branch, tag or commit"
        raise ModelError(f"the model has no revision {revision!r}", where=repo, hint=hint) from error
    except (transport_error, errors.LocalEntryNotFoundError, OSError) as error:
        hint = (
            "check the connection, set HF_ENDPOINT to a mirror, or copy the model here and give its folder with --model"
        )
        cause = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(f"the model hub cannot be reached ({cause})", where=repo, hint=hint) from error
