"""Makes the preset voices from a corpus of synthetic speech: a folder per voice, and README.md.

    python presets/voices/make.py CORPUS

CORPUS holds ``voices.tar`` (clips ``<id>.opus``) and ``voices.jsonl`` (``{"id", "text"}`` a line), from Kokoro-82M.
Clips of a voice are trimmed to speech and joined with a pause as between sentences; their texts are the exact
transcript. The voices were chosen to be unlike each other: the largest cosine is printed and put in the README.
"""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from omnitts import __version__, audio
from omnitts.audio import Waveform
from omnitts.pipeline.voices.card import CLIP_FILE, VoiceCard, file_sha256, write_card
from omnitts.pipeline.voices.inspection import inspect
from omnitts.pipeline.voices.speakers import embed
from omnitts.pipeline.voices.trim import speech_spans, trim

SAMPLE_RATE = 24_000
BETWEEN_S = 0.25  # beside the margins that trimming leaves
LICENCE = (
    "Apache-2.0. Synthetic speech of Kokoro-82M (Apache-2.0), in which no person's voice is in question; the words are "
    "in the public domain."
)
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Preset:
    name: str
    kokoro: str
    clips: tuple[int, ...]
    gender: str
    accent: str
    note: str


PRESETS = (
    Preset("clara", "af_bella", (1,), "female", "American", "warm, expressive"),
    Preset("june", "af_alloy", (0, 1), "female", "American", "level, matter-of-fact"),
    Preset("walter", "am_michael", (0, 2), "male", "American", "calm, low"),
    Preset("owen", "am_fenrir", (0, 1), "male", "American", "lively, clear"),
    Preset("beatrice", "bf_emma", (0, 1), "female", "British", "composed, precise"),
    Preset("imogen", "bf_isabella", (0, 2), "female", "British", "gentle, light"),
    Preset("edmund", "bm_george", (0, 2), "male", "British", "measured, classic narrator"),
    Preset("hugh", "bm_lewis", (1, 2), "male", "British", "deep, dark"),
)


def main(corpus: Path) -> None:
    lines = (corpus / "voices.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {item["id"]: item["text"] for item in map(json.loads, lines)}
    rows, vectors = [], {}
    with tempfile.TemporaryDirectory() as folder, tarfile.open(corpus / "voices.tar") as archive:
        archive.extractall(folder, filter="data")
        for preset in PRESETS:
            ids = [f"{preset.kokoro}_{clip}" for clip in preset.clips]
            waveform = joined([audio.load(Path(folder, f"{name}.opus"), SAMPLE_RATE) for name in ids])
            transcript = " ".join(texts[name] for name in ids)
            seconds = write(preset, waveform, transcript)
            vectors[preset.name] = embed(waveform)
            rows.append((preset, seconds))
    likeness = max(
        (float(vectors[a.name] @ vectors[b.name]), a.name, b.name) for a in PRESETS for b in PRESETS if a.name < b.name
    )
    (HERE / "README.md").write_text(readme(rows, likeness), encoding="utf-8")
    sys.stdout.write(f"{len(rows)} voices; most alike: {likeness[1]} and {likeness[2]}, cosine {likeness[0]:.2f}\n")


def joined(clips: list[Waveform]) -> Waveform:
    spoken = [trim(clip, speech_spans(clip), longest_s=20.0, excerpt_s=15.0).waveform for clip in clips]
    pause = audio.silence(BETWEEN_S, SAMPLE_RATE)
    return audio.join([part for clip in spoken for part in (pause, clip)][1:])


def write(preset: Preset, waveform: Waveform, transcript: str) -> float:
    """Stores one voice and returns its seconds; stops when the clip is not fit to be a reference."""
    found = inspect(waveform, transcript)
    if found.findings or not 6.0 <= waveform.duration_s <= 12.0:
        sys.exit(f"{preset.name} is unfit: {waveform.duration_s:.1f} s, {[finding.what for finding in found.findings]}")
    folder = HERE / preset.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    audio.save(waveform, folder / CLIP_FILE)
    card = VoiceCard(
        name=preset.name,
        transcript=transcript,
        language="en",
        clip_sha256=file_sha256(folder / CLIP_FILE),
        licence=LICENCE,
        source=f"Kokoro-82M voice {preset.kokoro}",
        created_by=f"omnitts {__version__}",
        gender=preset.gender,
        accent=preset.accent,
        note=preset.note,
    )
    write_card(folder, card)
    return waveform.duration_s


def readme(rows: list[tuple[Preset, float]], likeness: tuple[float, str, str]) -> str:
    table = "\n".join(
        f"| `{preset.name}` | {preset.gender} | {preset.accent} | {preset.note} | {seconds:.1f} s | {preset.kokoro} |"
        for preset, seconds in rows
    )
    return f"""# Preset voices

Reference voices that ship with omnitts: `omnitts narrate book.epub --voice clara`. A voice of
your own with the same name goes first.

| name | gender | accent | sound | clip | Kokoro-82M voice |
|---|---|---|---|---|---|
{table}

All are synthetic: clips of [Kokoro-82M](https://huggingface.co/hexgrad/Kokoro-82M) (weights and voices Apache-2.0)
reading sentences of public-domain books, so that no person's consent is in question. Each folder holds `clip.flac`
(24 kHz, mono) and `voice.json` (transcript, language, licence, source). No two are alike: the closest pair,
{likeness[1]} and {likeness[2]}, has a resemblyzer cosine of {likeness[0]:.2f} (clips of one voice: 0.89 to 0.96).

`make.py` made them, and this page.
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
