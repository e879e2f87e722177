"""Brings files of a hub repository to disk. File names, sizes and digests in, whole files out, counting bytes.

The hub's library finds the addresses and signs the requests; the bytes are read here, because the library throws a
half-fetched file away when the program ends, and a file of gigabytes must go on where it stopped. Knows nothing of what
the files are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omnitts.errors import ModelError, OutputError
from omnitts.models.layout import PARTIAL_DIR
from omnitts.models.manifest import git_blob_id, sha256_of
from omnitts.progress import Event, Progress

STALL_TIMEOUT_S = 30.0
ATTEMPTS = 4  # in a row that bring no byte
PAUSE_S = 1.0
BLOCK_BYTES = 1 << 20
EVENT_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """``sha256`` is known of files in LFS and else empty; ``blob_id`` is git's id of all others."""

    name: str
    size_bytes: int
    sha256: str
    blob_id: str

    def is_in(self, path: Path, sha256: str) -> bool:
        """Whether a file on disk, of which ``sha256`` is the digest, has the hub's bytes."""
        return sha256 == self.sha256 if self.sha256 else git_blob_id(path) == self.blob_id


class Transfer:
    """Fetches one repository's files at one commit into a folder, one after the other."""

    def __init__(self, repo: str, commit: str, folder: Path, total_bytes: int, progress: Progress) -> None:
        self.repo, self.commit, self.folder = repo, commit, folder
        self.total_bytes, self.done_bytes = total_bytes, 0
        self._progress, self._told_at = progress, 0.0

    def bring(self, file: RemoteFile) -> str:
        """Fetches a file unless it is there already; returns its sha256.

        Raises `ModelError` when the hub fails or the file comes damaged, `OutputError` when it cannot be written.
        """
        path = self.folder / file.name
        if path.is_file():
            digest = self._sha256(path)
            if file.is_in(path, digest):
                self._count(file.size_bytes)
                return digest
        try:
            self._fetch(file, path)
        except OSError as error:
            hint = "check the folder and the free space; the same command goes on where it stopped"
            raise OutputError(f"cannot write ({error.strerror or error})", where=str(path), hint=hint) from error
        digest = self._sha256(path)
        if not file.is_in(path, digest):
            path.unlink()
            raise ModelError(
                f"{file.name} arrived damaged (its digest is not the hub's) and was deleted",
                where=str(self.folder),
                hint="pull again: whole files are not fetched twice",
            )
        return digest

    def _fetch(self, file: RemoteFile, path: Path) -> None:
        """Into a partial file named by its digest, then renamed; what is there of it already is not fetched again."""
        partial = self.folder / PARTIAL_DIR / (file.sha256 or file.blob_id)
        for parent in (partial.parent, path.parent):
            parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        self._count(partial.stat().st_size)
        failures = 0
        while (have := partial.stat().st_size) < file.size_bytes:
            try:
                self._append(file, partial)
            except ModelError:
                failures = failures + 1 if partial.stat().st_size <= have else 0
                if failures >= ATTEMPTS:
                    raise
                time.sleep(PAUSE_S)
        partial.replace(path)

    def _append(self, file: RemoteFile, partial: Path) -> None:
        """Reads the rest of a file until it is whole or the connection breaks, which is a `ModelError`."""
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        start = partial.stat().st_size
        url = hf_hub_url(self.repo, file.name, revision=self.commit, endpoint=hub_endpoint())
        headers = {**build_hf_headers(), "Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        with partial.open("ab") as out, hub_errors(self.repo):
            request = get_session().stream("GET", url, headers=headers, timeout=STALL_TIMEOUT_S, follow_redirects=True)
            with request as response:
                hf_raise_for_status(response)
                if start and response.status_code != 206:  # the server sends the whole file again
                    out.truncate(0)
                    self._count(-start)
                for block in response.iter_bytes(BLOCK_BYTES):
                    out.write(block)
                    self._count(len(block))

    def _sha256(self, path: Path) -> str:
        self._progress.emit(Event("check", {"file": path.relative_to(self.folder).as_posix()}))
        return sha256_of(path)

    def _count(self, num_bytes: int) -> None:
        self.done_bytes += num_bytes
        now = time.monotonic()
        if now - self._told_at >= EVENT_EVERY_S or self.done_bytes >= self.total_bytes:
            self._told_at = now
            data = {"model": self.repo, "done_bytes": self.done_bytes, "total_bytes": self.total_bytes}
            self._progress.emit(Event("download", data))


def hub_endpoint() -> str | None:
    """A mirror of the hub (``HF_ENDPOINT``), or None; read when needed, so that a script may set it after importing."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def hub_errors(repo: str, revision: str = "") -> Iterator[None]:
    """Turns what the hub's library and its HTTP client raise into `ModelError`s that say what to do."""
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
    except transport_error as error:
        cause = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        hint = (
            "check the connection, set HF_ENDPOINT to a mirror, or copy the model here and give its folder as --model"
        )
        raise ModelError(f"the model hub cannot be reached ({cause})", where=repo, hint=hint) from error
