"""Clips to learn from in a test: buzzes of three pitches with a pause in each, and the texts they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from omnitts.audio import FloatArray, Waveform

RATE = 24_000
TEXTS = (
    "The boat went out at dawn.",
    "Nobody saw the light go down.",
    "We walked home, and it rained.",
    "She laughed, then she was still.",
)


def buzz(seconds: float, hertz: float, seed: int = 0) -> FloatArray:
    """A voiced tone that swells three times a second, silent for a quarter of a second in its middle."""
    count = int(seconds * RATE)
    time = np.arange(count) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 9)) * np.sin(1.5 * 2 * np.pi * time) ** 2
    wave[count // 2 : count // 2 + RATE // 4] = 0
    return np.asarray(0.1 * wave + 1e-5 * np.random.default_rng(seed).normal(size=count), dtype=np.float32)


def write_clips(folder: Path, count: int = 12) -> Path:
    """Clips of 1.5 to 2.6 s by three speakers, silence around them, and their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    margin = np.zeros(RATE // 8, np.float32)
    for number in range(count):
        wave = np.concatenate([margin, buzz(1.5 + 0.1 * number, 110 + 30 * (number % 3), number), margin])
        Waveform(wave, RATE).save(folder / f"{number}.wav")
        lines.append({"audio": f"{number}.wav", "text": TEXTS[number % 4], "speaker": f"s{number % 3}"})
    manifest = folder / "clips.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return manifest
