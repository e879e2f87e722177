"""Unpacks a corpus of tar files (``meta.jsonl`` beside ``speech-*.tar``) into clips and manifests for `omnitts train`.

    python training/corpora/unpack_tars.py CORPUS OUT

CORPUS holds meta.jsonl, speech-*.tar, voices.jsonl, voices.tar and heldout_sentences.tsv. OUT gets ``clips/`` and
``speech.jsonl`` (to learn from), ``voices/`` and ``voices.jsonl`` (held-out sentences, to measure with), and
``heldout_sentences.tsv``. A second run unpacks only what is missing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BRITISH = ("bf_", "bm_")  # how Kokoro names its British voices


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    meta = options.corpus / "meta.jsonl"
    if not meta.is_file():
        sys.stderr.write(f"error: {meta} is missing\n")
        return 4
    for tar in sorted(options.corpus.glob("speech-*.tar")):
        unpack(tar, options.out / "clips")
    speech = [
        {
            "id": line["id"],
            "audio": f"clips/{line['id']}.opus",
            "text": line["text"],
            "speaker": speaker_name(line["speaker"]),
            "accent": line["accent"],
        }
        for line in read_lines(meta)
    ]
    write_lines(options.out / "speech.jsonl", speech)
    unpack(options.corpus / "voices.tar", options.out / "voices")
    voices = [
        {
            "id": line["id"],
            "audio": f"voices/{line['id']}.opus",
            "text": line["text"],
            "speaker": line["voice"],
            "accent": "en-gb" if line["voice"].startswith(BRITISH) else "en-us",
        }
        for line in read_lines(options.corpus / "voices.jsonl")
    ]
    write_lines(options.out / "voices.jsonl", voices)
    shutil.copy(options.corpus / "heldout_sentences.tsv", options.out / "heldout_sentences.tsv")
    sys.stdout.write(f"{len(speech)} clips to learn from, {len(voices)} to measure with, in {options.out}\n")
    return 0


def speaker_name(weights: dict[str, float]) -> str:
    """One name for one mixture of voices: ``af_bella`` or ``af_bella*0.252+am_michael*0.748``."""
    if len(weights) == 1:
        return next(iter(weights))
    return "+".join(f"{name}*{weight}" for name, weight in sorted(weights.items()))


def unpack(tar: Path, folder: Path) -> None:
    """Members that are not there yet, none outside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar) as archive:
        for member in archive:
            if member.isfile() and not (folder / member.name).exists():
                archive.extract(member, folder, filter="data")


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
