"""Makes as many hours of one voice as wanted, with the draft narrator (PyPI hibari-tts), at twenty times real time.

    python training/corpora/hibari_corpus.py SENTENCES OUT --hours 5

SENTENCES is one sentence a line, or a table whose last column is the sentence. OUT gets clips/ID.flac and speech.jsonl
for `omnitts train corpus`. Sentences are read in their order; a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from omnitts.audio import load
from omnitts.engines.base import SpeechRequest
from omnitts.engines.registry import open_engine
from omnitts.training.manifest import plain, read_sentences

VOICE = "hibari-heart"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--hold-out-sentences", type=Path, help="sentences never to read")
    options = parser.parse_args()
    held_out = (
        {plain(line) for line in read_sentences(options.hold_out_sentences)} if options.hold_out_sentences else set()
    )
    engine = open_engine("draft")
    clips = options.out / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    lines, seconds = [], 0.0
    for number, text in enumerate(read_sentences(options.sentences)):
        if seconds >= options.hours * 3600:
            break
        if plain(text) in held_out:
            continue
        path = clips / f"h{number:06d}.flac"
        if not path.is_file():
            speech = next(iter(engine.speak([SpeechRequest(path.stem, text, seed=number)])))
            if speech.failure:
                continue
            speech.waveform.save(path)
        seconds += load(path).duration_s
        lines.append({"id": path.stem, "audio": f"clips/{path.name}", "text": text, "speaker": VOICE})
    manifest = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (options.out / "speech.jsonl").write_text(manifest, encoding="utf-8")
    sys.stdout.write(f"{len(lines)} clips, {seconds / 3600:.2f} h in {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
