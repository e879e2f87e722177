"""Makes a multi-speaker corpus: sentences of public-domain books in Kokoro's voices and in mixtures of them.

    python training/corpora/kokoro_corpus.py KOKORO SENTENCES OUT --hours 30 --hold-out af_nova ... [--device cuda]

KOKORO is what fetch_kokoro.py made, SENTENCES one sentence a line or a table whose last column is the sentence. OUT
gets clips/ID.flac and speech.jsonl for `omnitts train corpus`. Phonemes are hibari's. Which sentence is read by whom
and how fast depends on the seed alone; a stopped run goes on.

Every speaker reads several sentences (``--per-speaker``), so that a reference of the same speaker exists for each:
half of the speakers are single English voices, half weighted sums of two or three voices of any language. With
``--only`` and the held-out sentences it makes clips to measure with: the teacher reading what the model will read.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hibari.g2p import G2P

from omnitts.audio import Waveform
from omnitts.training.manifest import plain, read_sentences

Array = np.ndarray[Any, Any]

RATE = 24_000
MOST_SYMBOLS = 500
MIXED_SHARE = 0.5
SPEEDS = (0.9, 1.15)


class Kokoro:
    """The network, its voices and its symbols."""

    def __init__(self, folder: Path, threads: int, device: str = "cpu") -> None:
        self._speak = load_network(folder / "kokoro.onnx", threads, device)
        self._symbols: dict[str, int] = json.loads((folder / "symbols.json").read_text(encoding="utf-8"))
        self.voices = {
            path.stem: np.fromfile(path, np.float32).reshape(-1, 1, 256)
            for path in sorted((folder / "voices").glob("*.bin"))
        }
        self._phonemizers = {british: G2P(british=british) for british in (False, True)}

    def read(self, text: str, speaker: dict[str, float], speed: float, british: bool) -> Array | None:
        """(N,) float32 at 24 kHz; None when the text has no symbols or too many."""
        phonemes = str(self._phonemizers[british](text))
        ids = [self._symbols[symbol] for symbol in phonemes if symbol in self._symbols]
        if not 2 < len(ids) < MOST_SYMBOLS:
            return None
        style = sum(weight * self.voices[name][len(ids)] for name, weight in speaker.items())
        tokens = np.array([[0, *ids, 0]], np.int64)
        return self._speak(tokens, np.asarray(style, np.float32), np.array([speed], np.float32)).reshape(-1)


def load_network(path: Path, threads: int, device: str) -> Callable[[Array, Array, Array], Array]:
    """Tokens (1, S), style (1, 256) and speed (1,) to float32 samples: onnxruntime for "cpu", torch elsewhere."""
    if device == "cpu":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options)
        names = [entry.name for entry in session.get_inputs()]
        return lambda *given: np.asarray(session.run(None, dict(zip(names, given, strict=True)))[0], np.float32)
    from onnx_on_torch import TorchGraph

    graph = TorchGraph(path, device)
    return lambda *given: graph.run(**dict(zip(graph.inputs, given, strict=True)))[0].cpu().numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kokoro", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--hold-out", nargs="*", default=[], metavar="VOICE", help="voices never to use")
    parser.add_argument("--only", nargs="*", default=[], metavar="VOICE", help="these voices alone, unmixed")
    parser.add_argument("--hold-out-sentences", type=Path, help="sentences never to read")
    parser.add_argument("--per-speaker", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime, with --device cpu")
    parser.add_argument("--device", default="cpu", help='"cuda" reads in float32 with torch, for many hours of speech')
    options = parser.parse_args()
    kokoro = Kokoro(options.kokoro, options.threads, options.device)
    held_out = (
        {plain(line) for line in read_sentences(options.hold_out_sentences)} if options.hold_out_sentences else set()
    )
    sentences = [line for line in read_sentences(options.sentences) if plain(line) not in held_out]
    names = [name for name in kokoro.voices if name not in options.hold_out]
    clips = options.out / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    seconds, turn = 0.0, 0
    while seconds < options.hours * 3600:
        rng = random.Random(f"{options.seed} {turn}")
        chance = random.Random(f"{options.seed} speaker {turn // options.per_speaker}")
        speaker = {chance.choice(options.only): 1.0} if options.only else draw_speaker(names, chance)
        text, name = rng.choice(sentences), f"k{options.seed}-{turn:06d}"
        british = max(speaker, key=speaker.__getitem__).startswith("b")
        path = clips / f"{name}.flac"
        if not path.is_file():
            samples = kokoro.read(text, speaker, rng.uniform(*SPEEDS), british)
            if samples is not None:
                Waveform(samples, RATE).save(path)
        turn += 1
        if path.is_file():
            seconds += clip_seconds(path)
            lines.append(
                {
                    "id": name,
                    "audio": f"clips/{path.name}",
                    "text": text,
                    "speaker": label(speaker),
                    "accent": "en-gb" if british else "en-us",
                }
            )
            if len(lines) % 100 == 0:
                sys.stderr.write(f"{len(lines)} clips, {seconds / 3600:.2f} h\n")
    manifest = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (options.out / "speech.jsonl").write_text(manifest, encoding="utf-8")
    sys.stdout.write(f"{len(lines)} clips, {seconds / 3600:.2f} h in {options.out}\n")
    return 0


def draw_speaker(names: Sequence[str], rng: random.Random) -> dict[str, float]:
    """One English voice, or weights of two or three voices of any language that sum to 1."""
    if rng.random() >= MIXED_SHARE:
        return {rng.choice([name for name in names if name[0] in "ab"]): 1.0}
    chosen = rng.sample(list(names), rng.choice((2, 3)))
    shares = [rng.uniform(0.2, 1.0) for _ in chosen]
    return {name: round(share / sum(shares), 3) for name, share in zip(chosen, shares, strict=True)}


def label(speaker: dict[str, float]) -> str:
    """One name for one speaker: ``af_bella`` or ``af_bella*0.252+am_michael*0.748``."""
    if len(speaker) == 1:
        return next(iter(speaker))
    return "+".join(f"{name}*{weight}" for name, weight in sorted(speaker.items()))


def clip_seconds(path: Path) -> float:
    import soundfile

    return float(soundfile.info(str(path)).duration)


if __name__ == "__main__":
    sys.exit(main())
