"""Speech to inspect: the preset clips, which are in the repository, and a home folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.pipeline.voices.card import CLIP_FILE, read_card
from omnitts.presets import preset_dir
from omnitts.types import Timing


@dataclass
class Heard:
    """A transcript as the recogniser gives it."""

    text: str
    words: tuple[Timing, ...] = ()
    language: str = "en"
    no_speech: float = 0.0


@dataclass
class Ear:
    """Stands in for a recogniser: hears what it is told to, and remembers what it was given."""

    text: str
    given: list[tuple[Waveform, str]] = field(default_factory=list)

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Heard:
        self.given.append((waveform, language))
        return Heard(self.text)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def clip() -> Callable[[str], Waveform]:
    return lambda name: audio.load(preset_dir("voices") / name / CLIP_FILE)


@pytest.fixture(scope="session")
def text() -> Callable[[str], str]:
    return lambda name: read_card(preset_dir("voices") / name).transcript


@pytest.fixture
def ear() -> type[Ear]:
    return Ear


@pytest.fixture(scope="session")
def noise() -> Callable[[Waveform, float], Waveform]:
    """Adds white noise at a ratio in dB."""

    def add(waveform: Waveform, ratio_db: float) -> Waveform:
        level = float(np.sqrt(np.mean(np.square(waveform.samples)))) * 10 ** (-ratio_db / 20)
        samples = np.random.default_rng(1).standard_normal(len(waveform)) * level
        return Waveform((waveform.samples + samples).astype(np.float32), waveform.sample_rate)

    return add
