"""A few sentences of two people, as a manifest to measure with: what the synthetic corpora cannot tell.

    apt-get install pocketsphinx-testdata
    python training/corpora/human_clips.py /usr/share/pocketsphinx/test/data human

Each folder of SOURCE with a ``*transcription`` (lines of ``<s> words </s> (name)``) and ``name.wav`` files is one
speaker: in that Debian package a LibriVox reader (public domain) and a reader of playing cards. OUT gets
``speech.jsonl``, which names the sounds where they lie.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_LINE = re.compile(r"(?:<s>)?\s*(?P<words>.*?)\s*(?:</s>)?\s*\((?P<name>[^()]+)\)\s*")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    entries = [entry for listing in sorted(options.source.glob("*/*transcription")) for entry in clips_of(listing)]
    if not entries:
        sys.stderr.write(f"error: {options.source} has no folder with a transcription and its .wav files\n")
        return 4
    options.out.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    (options.out / "speech.jsonl").write_text(lines, encoding="utf-8")
    sys.stdout.write(f"{len(entries)} clips in {options.out / 'speech.jsonl'}\n")
    return 0


def clips_of(listing: Path) -> Iterator[dict[str, str]]:
    """Manifest entries of one folder; lines without a sound are left out."""
    speaker = listing.parent.name
    for line in listing.read_text(encoding="utf-8").splitlines():
        found = _LINE.fullmatch(line)
        if not found:
            continue
        sound = listing.parent / f"{found['name']}.wav"
        if sound.is_file():
            text = f"{found['words'][:1].upper()}{found['words'][1:]}."
            name = f"{speaker}-{found['name']}"
            yield {"id": name, "audio": str(sound.resolve()), "text": text, "speaker": speaker, "accent": "en-us"}


if __name__ == "__main__":
    sys.exit(main())
