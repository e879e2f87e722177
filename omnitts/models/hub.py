"""Where models are: a folder, a short name or a hub id in, a checkpoint folder out. Looks on this machine only.

Fetches nothing: what is not here is a `ModelError` with the command that gets it (`omnitts.models.pull`).
The hub's commits are not known to this source, so no revision is pinned in the table below: ``main`` is resolved to a
commit when a model is pulled, and the lock file beside the model records it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from omnitts import paths
from omnitts.errors import ModelError, UsageError
from omnitts.models.layout import MANIFEST_FILE, PARTIAL_DIR, Kind, check_layout, model_revision
from omnitts.models.manifest import Manifest, Verification, read_manifest, verify
from omnitts.presets import preset_dir

__all__ = [
    "BUNDLED", "KNOWN_MODELS", "KnownModel", "StoredModel", "Verification", "bundled_model", "check_layout",
    "check_repo", "find_folder", "find_known", "list_models", "locate_model", "model_revision", "remove_model",
    "store_folder", "verify",
]  # fmt: skip

DEFAULT_REVISION = "main"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model.

    ``size_gb`` is an estimate from its parameter count in 16 bits (decimal gigabytes); ``revision`` is what `pull` asks
    for when nobody says otherwise.
    """

    short_name: str
    repo: str
    kind: Kind
    size_gb: float
    note: str
    revision: str = DEFAULT_REVISION


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A checkpoint on this machine. ``missing`` names what it lacks.

    ``place`` is ``store``, ``hub cache`` or ``bundled``.
    """

    repo: str
    folder: Path
    place: str
    commit: str
    size_bytes: int
    missing: tuple[str, ...]


KNOWN_MODELS = (
    KnownModel("0.6b", "wcy1122/MGM-Omni-TTS-0.6B", "mouth", 2.6, "smallest: a GPU of 6 GB, or patience on a CPU"),
    KnownModel("2b", "wcy1122/MGM-Omni-TTS-2B-0927", "mouth", 5.5, "the usual choice"),
    KnownModel("4b", "wcy1122/MGM-Omni-TTS-4B", "mouth", 10.0, "a little more accurate, half as fast"),
    KnownModel("7b", "wcy1122/MGM-Omni-7B", "brain", 19.0, "understands text, images, sound; answers through a mouth"),
    KnownModel("32b", "wcy1122/MGM-Omni-32B", "brain", 69.0, "the larger brain"),
)
BUNDLED = KnownModel("small", "omnitts-small", "mouth", 0.06, "English, comes with omnitts: for trying it, for tests")
"""Not on the hub: a preset of the package."""


def find_known(reference: str) -> KnownModel | None:
    """The published or bundled model of that short name or hub id."""
    wanted = reference.casefold()
    models = (*KNOWN_MODELS, BUNDLED)
    return next((model for model in models if wanted in (model.short_name, model.repo.casefold())), None)


def check_repo(reference: str) -> str:
    """The hub id meant by a short name or hub id, else `UsageError`."""
    known = find_known(reference)
    if known is None and not _HUB_ID.fullmatch(reference):
        names = ", ".join(model.short_name for model in KNOWN_MODELS)
        raise UsageError("this names no model", where=reference, hint=f"give a hub id (owner/name) or one of: {names}")
    return known.repo if known else reference


def locate_model(reference: str, *, revision: str | None = None) -> Path:
    """The complete checkpoint folder of a model on this machine; nothing is fetched.

    ``reference`` is a folder, a short name (``2b``) or a hub id. Looked for in omnitts' own store, then in the Hugging
    Face cache; ``small`` is the bundled one.
    ``revision`` is a commit (or its beginning), branch or tag; without it the one that was pulled.
    Raises `ModelError` naming what is missing and the command to get it.
    """
    folder = find_folder(reference, revision=revision)
    missing = check_layout(folder)
    if missing:
        manifest = read_manifest(folder)
        hint = _pull_hint(manifest.repo, manifest.revision) if manifest else "copy the missing files into the folder"
        raise ModelError(f"{', '.join(missing)} missing", where=str(folder), hint=hint)
    return folder


def find_folder(reference: str, *, revision: str | None = None) -> Path:
    """Like `locate_model`, but the folder may be incomplete."""
    folder, known = Path(reference).expanduser(), find_known(reference)
    if folder.is_dir() and (known is None or (folder / "config.json").is_file()):
        if revision is not None and not _is_revision(read_manifest(folder), revision):
            what = f"the folder is not known to hold revision {revision}"
            raise ModelError(what, where=str(folder), hint="leave the revision out")
        return folder
    if known is None and not _HUB_ID.fullmatch(reference):
        names = ", ".join(model.short_name for model in KNOWN_MODELS)
        hint = f"give a folder, a hub id (owner/name) or one of: {names}"
        raise ModelError("no model folder of this name", where=reference, hint=hint)
    if known is BUNDLED:
        if bundled_model() is None:
            hint = "get a full one: omnitts models pull 2b (5.5 GB), or give a folder with --model"
            raise ModelError("this installation came without the small model", where=reference, hint=hint)
        return bundled_folder()
    repo = known.repo if known else reference
    for candidate in (store_folder(repo, revision), store_folder(repo, None)):
        if (candidate / MANIFEST_FILE).is_file() and _is_revision(read_manifest(candidate), revision):
            return candidate
    cached = _in_hub_cache(repo, revision)
    if cached is not None:
        return cached
    at = f" at revision {revision}" if revision else ""
    raise ModelError(f"the model is not on this machine{at}", where=repo, hint=_pull_hint(repo, revision))


def list_models() -> list[StoredModel]:
    """All MGM-Omni checkpoints fetched to this machine, whole or not: omnitts' store, then the Hugging Face cache."""
    return [*_stored(), *_cached()]


def bundled_folder() -> Path:
    """Where the bundled model lies, if this installation has it."""
    return preset_dir("models") / BUNDLED.short_name


def bundled_model() -> StoredModel | None:
    """The small model that comes with the package; None in a stripped installation."""
    folder = bundled_folder()
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    missing = tuple(check_layout(folder))
    return StoredModel(BUNDLED.repo, folder, "bundled", manifest.commit, _size_bytes(folder), missing)


def remove_model(reference: str, *, revision: str | None = None) -> Path:
    """Deletes a pulled checkpoint and returns its former folder. Only omnitts' own store is touched."""
    folder = store_folder(check_repo(reference), revision)
    if not folder.is_dir():
        raise ModelError("not in omnitts' store", where=reference, hint="`omnitts models list` shows what there is")
    shutil.rmtree(folder)
    return folder


def store_folder(repo: str, revision: str | None) -> Path:
    """Where a model is pulled to; another revision than the usual one gets a folder of its own."""
    suffix = "" if revision in (None, DEFAULT_REVISION) else f"@{revision}"
    return paths.models_dir() / (repo + suffix).replace("/", "--")


def _is_revision(manifest: Manifest | None, revision: str | None) -> bool:
    if manifest is None:
        return False
    return (
        revision is None
        or revision == manifest.revision
        or (len(revision) >= 7 and manifest.commit.startswith(revision))
    )


def _pull_hint(repo: str, revision: str | None) -> str:
    known = find_known(repo)
    size = f" (about {known.size_gb:.0f} GB)" if known else ""
    at = f" --revision {revision}" if revision not in (None, DEFAULT_REVISION) else ""
    return f"omnitts models pull {known.short_name if known else repo}{at}{size}, or --model FOLDER"


def _in_hub_cache(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _stored() -> list[StoredModel]:
    """Pulled models, and those whose pull was interrupted."""
    root = paths.models_dir()
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not any((folder / sign).exists() for sign in (MANIFEST_FILE, PARTIAL_DIR)):
            continue
        repo, commit = folder.name.split("@")[0].replace("--", "/", 1), ""
        missing: tuple[str, ...] = ("the rest of the download",)
        try:
            manifest = read_manifest(folder)
            if manifest is not None:
                repo, commit, missing = manifest.repo, manifest.commit, tuple(check_layout(folder))
        except ModelError as error:
            missing = (str(error),)
        found.append(StoredModel(repo, folder, "store", commit, _size_bytes(folder), missing))
    return found


def _cached() -> list[StoredModel]:
    found = []
    for model in KNOWN_MODELS:
        folder = _in_hub_cache(model.repo, None)
        if folder is not None:
            try:
                missing = tuple(check_layout(folder, model.kind))
            except ModelError as error:
                missing = (str(error),)
            found.append(StoredModel(model.repo, folder, "hub cache", folder.name, _size_bytes(folder), missing))
    return found


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
