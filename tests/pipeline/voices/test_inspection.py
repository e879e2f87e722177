"""Each fault is found where it is planted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from omnitts.audio import Waveform, join, resample, silence
from omnitts.pipeline.voices.inspection import Inspection, Severity, inspect
from omnitts.pipeline.voices.library import list_voices

Clip = Callable[[str], Waveform]
Text = Callable[[str], str]
Noise = Callable[[Waveform, float], Waveform]


def codes(found: Inspection) -> set[str]:
    return {finding.code for finding in found.findings}


@pytest.mark.parametrize("name", [entry.name for entry in list_voices() if entry.is_preset])
def test_presets_are_without_fault(name: str, clip: Clip, text: Text) -> None:
    found = inspect(clip(name), text(name), wer=0.0)
    assert found.is_fit
    assert codes(found) == set()


def test_too_short_and_short(clip: Clip) -> None:
    short = inspect(clip("walter").slice_s(0.0, 2.5))
    assert [(f.code, f.severity) for f in short.findings] == [("too_short", Severity.FATAL)]
    assert codes(inspect(clip("walter").slice_s(0.0, 4.2))) == {"short"}


def test_too_long_is_a_warning(clip: Clip) -> None:
    found = inspect(join([clip("hugh"), clip("hugh")]))
    assert codes(found) == {"too_long"}
    assert found.is_fit


@pytest.mark.parametrize(("gain", "turned_down"), [(2.0, 1.0), (4.0, 1.0), (4.0, 0.4)])
def test_clipping_is_seen_even_when_turned_down(clip: Clip, gain: float, turned_down: float) -> None:
    loud = clip("beatrice")
    samples = np.clip(loud.samples * gain / np.abs(loud.samples).max(), -1, 1) * turned_down
    assert codes(inspect(Waveform(samples.astype(np.float32), loud.sample_rate))) == {"clipped"}


@pytest.mark.parametrize(("ratio_db", "code"), [(8.0, "noisy"), (12.0, "noisy"), (20.0, "some_noise"), (40.0, "")])
def test_noise(clip: Clip, noise: Noise, ratio_db: float, code: str) -> None:
    assert codes(inspect(noise(clip("edmund"), ratio_db))) == ({code} if code else set())


def test_level(clip: Clip) -> None:
    voice = clip("owen")
    assert codes(inspect(Waveform(voice.samples * np.float32(0.1), voice.sample_rate))) == {"quiet"}
    assert codes(inspect(Waveform(voice.samples * np.float32(0.01), voice.sample_rate))) == {"too_quiet"}


@pytest.mark.parametrize("pair", [("clara", "walter"), ("imogen", "beatrice"), ("edmund", "hugh"), ("owen", "june")])
def test_two_speakers_are_heard(clip: Clip, pair: tuple[str, str]) -> None:
    first, second = (clip(name) for name in pair)
    assert "speakers" in codes(inspect(join([first.slice_s(0, 5.5), second.slice_s(0, 5.5)])))
    taking_turns = [first.slice_s(0, 3), second.slice_s(0, 3), first.slice_s(3, 6), second.slice_s(3, 6)]
    assert "speakers" in codes(inspect(join(taking_turns)))


def test_no_speech() -> None:
    time_s = np.arange(8 * 24_000) / 24_000
    chord = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in (220, 277, 330)) * np.exp(-3 * (2 * time_s % 1)) / 8
    hiss = np.random.default_rng(2).standard_normal(len(time_s)) * 0.1
    for samples in (chord, hiss, np.zeros(len(time_s))):
        found = inspect(Waveform(samples.astype(np.float32), 24_000))
        assert [(f.code, f.severity) for f in found.findings] == [("no_speech", Severity.FATAL)]


def test_mostly_silent(clip: Clip) -> None:
    gap = silence(7.0, 24_000)
    assert "mostly_silent" in codes(inspect(join([clip("june").slice_s(0, 4), gap, gap])))


def test_telephone(clip: Clip) -> None:
    assert codes(inspect(resample(clip("june"), 8000))) == {"narrow"}


def test_transcript(clip: Clip, text: Text) -> None:
    voice, said = clip("imogen"), text("imogen")
    assert codes(inspect(voice, said, wer=0.8)) == {"transcript"}
    doubtful = inspect(voice, said, wer=0.3)
    assert codes(doubtful) == {"transcript"}
    assert doubtful.is_fit
    assert codes(inspect(voice, said * 4)) == {"transcript_length"}
    assert codes(inspect(voice, "Two words.")) == {"transcript_length"}
    assert codes(inspect(voice, "房间里的家具都堆在中央他的书房真是一件稀罕事我转身离开没有再看一眼")) == set()


def test_faults_come_first_and_go_out_as_plain_data(clip: Clip, noise: Noise) -> None:
    found = inspect(noise(clip("walter").slice_s(0.0, 4.2), 8.0))
    assert [finding.code for finding in found.findings] == ["noisy", "short"]
    data = found.as_dict()
    assert data["fit"] is False
    assert data["findings"][0]["severity"] == "fault"
    assert data["duration_s"] == pytest.approx(4.2)
