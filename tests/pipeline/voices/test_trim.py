"""Silence goes, speech stays; long recordings become an excerpt of whole phrases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from omnitts.audio import Waveform, join, rms_dbfs, silence
from omnitts.pipeline.voices.trim import MARGIN_S, SpeechSpan, speech_spans, trim

Clip = Callable[[str], Waveform]


def test_head_and_tail_go(clip: Clip) -> None:
    voice = clip("clara")
    padded = join([silence(1.5, 24_000), voice, silence(2.0, 24_000)])
    kept = trim(padded, speech_spans(padded), longest_s=20.0, excerpt_s=15.0)
    assert not kept.is_excerpt
    assert kept.waveform.duration_s == pytest.approx(voice.duration_s, abs=0.35)
    assert kept.start_s == pytest.approx(1.5, abs=0.2)
    spans = speech_spans(kept.waveform)
    assert spans[0].start_s < 2 * MARGIN_S + 0.05
    assert kept.waveform.duration_s - spans[-1].end_s < 2 * MARGIN_S + 0.15


def test_an_excerpt_begins_and_ends_in_pauses(clip: Clip) -> None:
    long = join([part for name in ("hugh", "walter", "owen") for part in (clip(name), silence(0.8, 24_000))])
    kept = trim(long, speech_spans(long), longest_s=20.0, excerpt_s=15.0)
    assert kept.is_excerpt
    assert 8.0 < kept.waveform.duration_s <= 15.0 + 2 * MARGIN_S
    for edge in (kept.waveform.slice_s(0, 0.04), kept.waveform.slice_s(kept.waveform.duration_s - 0.04, 99)):
        assert rms_dbfs(edge.samples) < -38.0


def test_the_fullest_run_of_phrases_is_kept() -> None:
    sound = Waveform(np.full(60 * 1000, 0.1, np.float32), 1000)
    spans = [SpeechSpan(0, 3), SpeechSpan(20, 26), SpeechSpan(27, 33), SpeechSpan(34, 40), SpeechSpan(50, 52)]
    kept = trim(sound, spans, longest_s=20.0, excerpt_s=15.0)
    assert (kept.start_s, kept.end_s) == (pytest.approx(20 - MARGIN_S), pytest.approx(33 + MARGIN_S))


def test_a_phrase_without_end_is_cut_where_it_is_quietest() -> None:
    samples = np.full(40 * 1000, 0.5, np.float32)
    samples[12_300:12_400] = 0.01
    kept = trim(Waveform(samples, 1000), [SpeechSpan(0.0, 40.0)], longest_s=20.0, excerpt_s=15.0)
    assert kept.end_s == pytest.approx(12.35, abs=0.05)


def test_without_speech_nothing_is_cut() -> None:
    quiet = silence(5.0, 24_000)
    assert speech_spans(quiet) == []
    kept = trim(quiet, [], longest_s=20.0, excerpt_s=15.0)
    assert (kept.waveform.duration_s, kept.is_excerpt) == (5.0, False)
    assert speech_spans(silence(0.01, 24_000)) == []
