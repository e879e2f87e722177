"""Planted faults: how many bad takes the checks catch, and how many good ones they reject.

    python benchmarks/planted_faults.py [--texts FILE] [--clips FOLDER] [--good 100] [--bad 100] [--json]

The draft narrator reads pieces of a book; from such takes five kinds of bad ones are made: a dropped sentence, a
repeated phrase, a cut tail, another voice, foreign words at the head. Every take is judged as `narrate` would judge it.
Texts are ``.txt`` files or ``source<TAB>sentence`` tables. Recordings of other voices are the presets, or a folder with
a ``*.jsonl`` file of ``{"id", "text"}`` lines beside ``<id>.opus``, ``.flac`` or ``.wav``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.pipeline.check.judge import Checker, QualityOptions, rejudge, similarity_band
from omnitts.presets import presets
from omnitts.types import Verdict, Voice

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("dropped sentence", "repeated phrase", "cut tail", "another voice", "foreign head")
REFERENCE_TEXT = (
    "The morning was clear and cold, and the old road ran straight between the fields until it reached the river. "
    "Nobody had come that way for a long time."
)
Piece = tuple[str, ...]  # the sentences of one utterance


@dataclass(frozen=True)
class Take:
    kind: str  # "good" or one of KINDS
    text: str
    waveform: Waveform


class Narrator:
    """The draft voice."""

    def __init__(self) -> None:
        from hibari import Hibari

        self._hibari = Hibari(threads=1)

    def say(self, text: str, seed: int = 0) -> Waveform:
        return Waveform(np.asarray(self._hibari(text, seed=seed), dtype=np.float32), self._hibari.sample_rate)


def read_pieces(path: Path, rng: random.Random) -> Iterator[Piece]:
    """Two to four consecutive sentences a piece, as a plan would pack them (60 to 250 letters), in random order."""
    if path.suffix == ".tsv":
        sentences = [line.split("\t")[1] for line in path.read_text("utf-8").splitlines() if "\t" in line]
    else:
        flat = re.sub(r"\s+", " ", path.read_text("utf-8"))
        sentences = re.findall(r"[A-Z“\"][^.!?]{15,250}[.!?][”\"]?(?=\s|$)", flat)
    sentences = [s.strip() for s in sentences if len(s.split()) >= 4 and not re.search(r"[_*\[\]{}|<>]|--", s)]
    pieces, at = [], 0
    while at < len(sentences):
        size, letters = 0, rng.choice((60, 120, 180))
        while at + size < len(sentences) and sum(map(len, sentences[at : at + size])) < letters:
            size += 1
        pieces.append(tuple(sentences[at : at + size]))
        at += size
    rng.shuffle(pieces)
    yield from pieces


def other_voices(folder: Path | None) -> list[tuple[str, Waveform]]:
    """(text, recording) in voices that are not the draft narrator's."""
    found: list[tuple[str, Waveform]] = []
    if folder is None:
        for home in presets("voices").values():
            if (home / "voice.json").is_file():
                card = json.loads((home / "voice.json").read_text("utf-8"))
                found.append((card["transcript"], audio.load(home / "clip.flac")))
        return found
    for table in sorted(folder.glob("*.jsonl")):
        for line in table.read_text("utf-8").splitlines():
            row = json.loads(line)
            for suffix in (".opus", ".flac", ".wav"):
                if (path := folder / f"{row['id']}{suffix}").is_file():
                    found.append((row["text"], audio.load(path)))
    return found


class Planter:
    """Makes bad takes, each kind from fresh pieces."""

    def __init__(
        self, narrator: Narrator, pieces: Iterator[Piece], others: list[tuple[str, Waveform]], rng: random.Random
    ) -> None:
        self._narrator, self._pieces, self._rng, self._others = narrator, pieces, rng, others
        self._next_other = 0

    def make(self, kind: str) -> Take:
        makers: dict[str, Callable[[], tuple[str, Waveform]]] = {
            "dropped sentence": self._dropped,
            "repeated phrase": self._repeated,
            "cut tail": self._cut,
            "another voice": self._other,
            "foreign head": self._foreign,
        }
        return Take(kind, *makers[kind]())

    def _dropped(self) -> tuple[str, Waveform]:
        piece = next(piece for piece in self._pieces if len(piece) > 1)
        gone = self._rng.randrange(len(piece))
        return " ".join(piece), self._narrator.say(" ".join(s for i, s in enumerate(piece) if i != gone))

    def _repeated(self) -> tuple[str, Waveform]:
        text = " ".join(next(piece for piece in self._pieces if len(" ".join(piece).split()) > 10))
        words = text.split()
        length = self._rng.randint(3, 7)
        at = self._rng.randrange(len(words) - length)
        return text, self._narrator.say(" ".join(words[: at + length] + words[at:]))

    def _cut(self) -> tuple[str, Waveform]:
        """0.4 to 1.5 s of speech are gone; every second cut is faded out and followed by silence."""
        text = " ".join(next(self._pieces))
        whole = self._narrator.say(text)
        loud = np.flatnonzero(np.abs(whole.samples) > 0.02)
        end = int(loud[-1]) - round(self._rng.uniform(0.4, 1.5) * whole.sample_rate)
        cut = Waveform(whole.samples[:end], whole.sample_rate)
        if self._rng.random() < 0.5:
            cut = audio.join([audio.fade(cut, out_s=0.05), audio.silence(0.3, cut.sample_rate)])
        return text, cut

    def _other(self) -> tuple[str, Waveform]:
        self._next_other += 1
        return self._others[self._next_other % len(self._others)]

    def _foreign(self) -> tuple[str, Waveform]:
        """The end of another text, in the same voice or another, then the right text."""
        text, words = " ".join(next(self._pieces)), " ".join(next(self._pieces)).split()
        speech = self._narrator.say(text)
        if self._rng.random() < 0.5:
            stray = self._narrator.say(" ".join(words[-self._rng.randint(3, 6) :]))
        else:
            sound = audio.resample(self._rng.choice(self._others)[1], speech.sample_rate)
            stray = sound.slice_s(sound.duration_s - self._rng.uniform(1.2, 2.5), sound.duration_s)
        return text, audio.join([stray, audio.silence(0.1, speech.sample_rate), speech])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, help="book text to read (default: the first text in examples/)")
    parser.add_argument("--clips", type=Path, help="folder of recordings in other voices (default: the presets)")
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--bad", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--asr", default="", help="recogniser, as for omnitts narrate")
    parser.add_argument("--max-wer", type=float)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--dump", type=Path, help="write every verdict to this file, one JSON line each")
    options = parser.parse_args()
    texts = options.texts or next(iter(sorted((ROOT / "examples").glob("*.txt"))), None)
    if texts is None:
        parser.error("examples/ holds no text; give --texts FILE")
    result = run(options, texts)
    print(json.dumps(result, indent=2) if options.json else table(result))


def run(options: argparse.Namespace, texts: Path) -> dict[str, object]:
    rng = random.Random(options.seed)
    narrator, pieces = Narrator(), read_pieces(texts, rng)
    planter = Planter(narrator, pieces, other_voices(options.clips), rng)
    good = [
        Take("good", " ".join(piece), narrator.say(" ".join(piece)))
        for piece, _ in zip(pieces, range(options.good), strict=False)
    ]
    bad = [planter.make(KINDS[number % len(KINDS)]) for number in range(options.bad)]
    quality = QualityOptions(asr=options.asr, max_wer=options.max_wer)
    checker = Checker(quality, "en")
    with tempfile.TemporaryDirectory() as folder:
        voice = reference(narrator, Path(folder))
        checker.judge("A few words to warm up.", narrator.say("A few words to warm up."), voice)
        started = time.perf_counter()
        verdicts = [checker.judge(take.text, take.waveform, voice) for take in good + bad]
        judged_s = time.perf_counter() - started
    band = similarity_band(verdicts[: len(good)], quality)
    verdicts = [rejudge(verdict, quality, min_sim=band) for verdict in verdicts]
    if options.dump:
        dump(options.dump, good + bad, verdicts)
    return summary(good + bad, verdicts, judged_s, band)


def reference(narrator: Narrator, folder: Path) -> Voice:
    path = folder / "reference.wav"
    audio.save(narrator.say(REFERENCE_TEXT, seed=7), path)
    return Voice("draft", path, hashlib.sha256(path.read_bytes()).hexdigest(), REFERENCE_TEXT, "en")


def summary(takes: list[Take], verdicts: list[Verdict], judged_s: float, band: float) -> dict[str, object]:
    made, rejected = Counter(take.kind for take in takes), Counter[str]()
    for take, verdict in zip(takes, verdicts, strict=True):
        rejected[take.kind] += not verdict.accepted
    bad, caught = sum(made[kind] for kind in KINDS), sum(rejected[kind] for kind in KINDS)
    accepted_text = [
        (t.text, v.reasons) for t, v in zip(takes, verdicts, strict=True) if (t.kind == "good") != v.accepted
    ]
    audio_s = sum(take.waveform.duration_s for take in takes)
    clean = [v for t, v in zip(takes, verdicts, strict=True) if t.kind == "good"]
    return {
        "caught": {kind: [rejected[kind], made[kind]] for kind in KINDS if made[kind]},
        "bad_caught_share": round(caught / bad, 4) if bad else None,
        "good_rejected": [rejected["good"], made["good"]],
        "good_rejected_share": round(rejected["good"] / made["good"], 4) if made["good"] else None,
        "good_wer": round(sum(v.errors for v in clean) / max(1, sum(v.words for v in clean)), 4),
        "similarity_line": band,
        "audio_minutes": round(audio_s / 60, 1),
        "check_rtf": round(judged_s / audio_s, 4),
        "wrong": [{"text": text, "reasons": reasons} for text, reasons in accepted_text],
    }


def table(result: dict[str, object]) -> str:
    caught, good = result["caught"], result["good_rejected"]
    assert isinstance(caught, dict)
    assert isinstance(good, list)
    lines = [f"{kind:18} caught {hit:4d} of {total}" for kind, (hit, total) in caught.items()]
    lines.append(f"{'all bad takes':18} caught {result['bad_caught_share']:.1%}")
    lines.append(f"{'good takes':18} rejected {good[0]} of {good[1]}")
    lines.append(
        f"WER of good takes {result['good_wer']:.2%}, similarity line {result['similarity_line']}, "
        f"{result['audio_minutes']} minutes checked at a real-time factor of {result['check_rtf']}"
    )
    return "\n".join(lines)


def dump(path: Path, takes: list[Take], verdicts: list[Verdict]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for take, verdict in zip(takes, verdicts, strict=True):
            row = {
                "kind": take.kind,
                "text": take.text,
                "accepted": verdict.accepted,
                "reasons": verdict.reasons,
                "heard": verdict.heard,
                "wer": verdict.wer,
                "similarity": verdict.similarity,
                "signal": verdict.signal,
                "details": {k: v for k, v in verdict.details.items() if k != "timings"},
                "errors": [step for step in verdict.alignment if step[0] != "equal"],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
