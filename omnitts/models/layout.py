"""The files of a checkpoint folder: which must be there, whether they are whole, and a digest that names them.

A folder in, names of missing files or a hex digest out. Reads no tensors: a file's header tells how long it must be.
Sources: specification 1.1 (file names), the safetensors format (8 bytes of header length, JSON, then data).
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any, Literal

from omnitts.errors import ModelError

Kind = Literal["mouth", "brain"]

CODEC_FILES = ("cosyvoice2.yaml", "flow.pt", "hift.pt", "campplus.onnx", "speech_tokenizer_v2.onnx")
CODEC_DIR = "cosyvoice2"
MANIFEST_FILE = "omnitts.lock.json"
PARTIAL_DIR = ".partial"  # files still arriving
_INDEX_FILE = "model.safetensors.index.json"
_KINDS: dict[str, Kind] = {"MGMTTS": "mouth", "MGMOmni": "brain"}
_SMALL_BYTES = 1 << 16
_SAMPLES, _SAMPLE_BYTES = 16, 1 << 14
_LARGEST_HEADER = 100_000_000  # the safetensors format's own limit


def kind_of(folder: Path) -> Kind:
    """``mouth`` or ``brain``, by ``model_type`` in config.json. Raises `ModelError` when it is neither."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError("config.json is missing", where=str(folder), hint="is this the folder of a checkpoint?")
    model_type = _read_json(path).get("model_type")
    if model_type not in _KINDS:
        known = " or ".join(_KINDS)
        raise ModelError(f"model_type is {model_type!r}, not {known}", where=str(path), hint="give another model")
    return _KINDS[model_type]


def check_layout(folder: Path, kind: Kind | None = None) -> list[str]:
    """Names of the files that are missing, relative to ``folder``; empty when all are there.

    Knows sharded weights (each shard of the index) and both forms of tokenizer. ``kind`` is read from config.json when
    not given; without a config.json that is the one thing missing. Raises `ModelError` for JSON that cannot be read.
    """
    if not (folder / "config.json").is_file():
        return ["config.json"]
    kind = kind or kind_of(folder)
    wanted = [*_weight_names(folder), "tokenizer_config.json"]
    if not (folder / "tokenizer.json").is_file():
        wanted += ["vocab.json", "merges.txt"]
    if kind == "mouth":
        wanted += [f"{CODEC_DIR}/{name}" for name in CODEC_FILES]
    return [name for name in wanted if not (folder / name).is_file()]


def cut_short(folder: Path) -> list[str]:
    """Safetensors files whose size is not what their header promises, relative to ``folder``: broken downloads."""
    return [
        path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.safetensors")) if not _is_whole(path)
    ]


def model_revision(folder: Path) -> str:
    """A digest (16 hex digits) that changes when the checkpoint does, in milliseconds whatever its size.

    Covers every file's name and size, small files whole, large ones by 16 samples of 16 KiB spread over them, and the
    commit recorded when it was pulled. Retrained weights differ everywhere, so samples see them; `verify` reads it all.
    """
    digest = hashlib.sha256()
    files = model_files(folder)
    if not files:
        raise ModelError(
            "the folder holds no model", where=str(folder), hint="`omnitts models list` shows what there is"
        )
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _SMALL_BYTES:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    manifest = folder / MANIFEST_FILE
    if manifest.is_file():
        digest.update(str(_read_json(manifest).get("commit", "")).encode())
    return digest.hexdigest()[:16]


def model_files(folder: Path) -> list[Path]:
    """The checkpoint's own files, sorted: no hidden ones, no manifest, no documents."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != MANIFEST_FILE
        and path.suffix.lower() != ".md"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _weight_names(folder: Path) -> list[str]:
    index = folder / _INDEX_FILE
    if index.is_file():
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelError("the index lists no weights", where=str(index), hint=_again(folder))
        return sorted({str(name) for name in weight_map.values()})
    single = sorted(path.name for path in folder.glob("*.safetensors"))
    return single or ["model.safetensors"]


def _is_whole(path: Path) -> bool:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8:
            return False
        (length,) = struct.unpack("<Q", head)
        if length > min(_LARGEST_HEADER, size - 8):
            return False
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return False
    if not isinstance(header, dict):
        return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return bool(size == 8 + length + max(ends, default=0))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read as JSON ({error})", where=str(path), hint=_again(path.parent)) from error
    if not isinstance(data, dict):
        raise ModelError("is not a JSON object", where=str(path), hint=_again(path.parent))
    return data


def _again(folder: Path) -> str:
    return f"fetch the model again (omnitts models pull), or check {folder}"
