"""Figures a small model is judged by, each beside its target: resynthesis, known and held-out voices, speed, a book.

    python benchmarks/quality.py MODEL --clips voices.jsonl --held-out af_nova --held-out am_puck ...
    python benchmarks/quality.py MODEL --book moby.txt --voice ref.wav --voice-text "..." --sample 10m

MODEL is a checkpoint folder. ``--clips`` are recordings of sentences the model never met, several of each voice; the
clips themselves are the yardstick. ``--book`` narrates a stretch of a real book with all checks and looks at the whole:
words, flagged pieces, and whether level and voice are the same from the first minute to the last. Speed is measured
with the threads torch has (OMP_NUM_THREADS). Exit status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omnitts.audio import load, rms_dbfs
from omnitts.cli import app as command_line
from omnitts.pipeline.check.similarity import SpeakerEncoder, cosine
from omnitts.training.evaluate import EvaluateOptions, evaluate
from omnitts.training.manifest import read_recordings

Line = tuple[str, float, str, bool]  # what, value, target in words, whether it is met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--held-out", action="append", default=[])
    parser.add_argument("--human", type=Path)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--book")
    parser.add_argument("--voice")
    parser.add_argument("--voice-text")
    parser.add_argument("--sample", default="10m")
    parser.add_argument("--engine", default="mgm-omni", help="of the book; draft shows the narrator's own figures")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines: list[Line] = []
    if options.clips:
        people = read_recordings(options.human) if options.human else []
        settings = EvaluateOptions(tuple(options.held_out), options.limit, device="cpu")
        lines += list(clip_lines(evaluate(options.model, read_recordings(options.clips), settings, human=people)))
    if options.book:
        lines += list(book_lines(options))
    if options.json:
        print(json.dumps([dict(zip(("what", "value", "target", "met"), line, strict=True)) for line in lines]))
    else:
        for what, value, target, met in lines:
            print(f"{what:46} {value:9.4f}  {target:22} {'' if met else 'MISSED'}")
    return 0 if lines and all(met for *_, met in lines) else 1


def clip_lines(figures: dict[str, Any]) -> Iterator[Line]:
    """Figures of `omnitts train evaluate` against the targets."""
    for group, points, similar in (("known voices", 0.04, 0.80), ("held-out voices", 0.06, 0.72)):
        if f"speech, {group}" not in figures:
            continue
        original, again, speech = (figures[f"{part}, {group}"] for part in ("originals", "resynthesis", "speech"))
        yield f"originals, {group}: WER", original["wer"], "", True
        yield f"originals, {group}: similarity", original.get("similarity", 0.0), "", True
        yield f"resynthesis, {group}: WER", again["wer"], "", True
        yield f"resynthesis, {group}: similarity", again.get("similarity", 0.0), "", True
        most = original["wer"] + points
        yield f"speech, {group}: WER", speech["wer"], f"at most {most:.4f}", speech["wer"] <= most
        likeness = speech.get("similarity", 0.0)
        yield f"speech, {group}: similarity", likeness, f"at least {similar}", likeness >= similar
        if group == "held-out voices":
            own = speech.get("nearest_is_own", 0.0)
            yield f"speech, {group}: nearest is its own", own, "at least 0.8", own >= 0.8
    speed = figures["speed"]["real_time_factor"]
    yield f"real-time factor, {figures['speed']['threads']} threads", speed, "at most 0.35", speed <= 0.35
    if "human references" in figures:
        yield "human references: similarity", figures["human references"]["similarity"], "", True


def book_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Narrates with checks, then measures the finished file minute by minute."""
    with tempfile.TemporaryDirectory() as folder:
        sound, report = Path(folder) / "book.wav", Path(folder) / "report.json"
        arguments = ["narrate", options.book, "--engine", options.engine, "--quiet", "--sample", options.sample]
        arguments += ["--format", "wav", "--out", str(sound)]
        if options.engine == "mgm-omni":
            arguments += ["--model", str(options.model)]
        if options.voice:
            arguments += ["--voice", options.voice]
        if options.voice_text:
            arguments += ["--voice-text", options.voice_text]
        status = command_line.run([*arguments, "--report", str(report), "--job", str(Path(folder) / "job")])
        if status not in (0, 2):
            raise SystemExit(status)
        found = json.loads(report.read_text(encoding="utf-8"))
        wave = load(sound)
    minutes = [wave.slice_s(60 * i, 60 * (i + 1)) for i in range(max(1, int(wave.duration_s // 60)))]
    levels = [rms_dbfs(minute.samples) for minute in minutes]
    encoder = SpeakerEncoder()
    voices = [voice for voice in map(encoder.embed, minutes) if voice is not None]
    drift = min(cosine(voices[0], voice) for voice in voices)
    lost = found["num_sentences"] - found["num_sentences_with_audio"]
    yield f"book, {wave.duration_s / 60:.1f} min: WER", float(found["wer"]), "", True
    yield "book: flagged pieces", float(found["num_flagged"]), "", True
    yield "book: sentences without sound", float(lost), "0", lost == 0
    yield "book: level of minutes, spread in dB", float(np.ptp(levels)), "at most 3", float(np.ptp(levels)) <= 3.0
    yield "book: least likeness to the first minute", drift, "at least 0.85", drift >= 0.85


if __name__ == "__main__":
    sys.exit(main())
