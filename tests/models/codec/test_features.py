"""Features against the reference extractors, and at their borders."""

from __future__ import annotations

import math

import pytest
import torch

from omnitts.audio import Waveform, resample
from omnitts.models.codec.features import (
    kaldi_fbank,
    resample_sinc,
    sinc_kernel,
    slaney_filters,
    vocoder_mel,
    whisper_log_mel,
)
from tests.models.golden_cases import GoldenRun, max_error


@pytest.mark.golden("features")
def test_features_agree_with_the_reference(golden_run: GoldenRun, golden_record) -> None:
    want = golden_run.tensors()
    wav16 = want["wav16"]
    got = {
        "resample_kernel": sinc_kernel(2, 3)[0],
        "wav24": resample_sinc(wav16, 16_000, 24_000),
        "wav24_to_16": resample_sinc(want["wav24"], 24_000, 16_000),
        "wav44_to_16": resample_sinc(wav16, 44_100, 16_000),
        "whisper_mel_filters128": slaney_filters(16_000, 400, 128, 0.0, 8000.0),
        "mel_basis": slaney_filters(24_000, 1920, 80, 0.0, 8000.0),
        "whisper_logmel128": whisper_log_mel(wav16),
        "mel24": vocoder_mel(want["wav24"]),
        "speech_feat": vocoder_mel(want["wav24"]).transpose(1, 2),
        "kaldi_fbank80": kaldi_fbank(wav16[0]),
    }
    got["kaldi_fbank80_meansub"] = got["kaldi_fbank80"] - got["kaldi_fbank80"].mean(dim=0, keepdim=True)
    assert got.keys() & want.keys(), "a features case without any feature"
    for name, value in got.items():
        if name in want:
            golden_record(name, max_error(value, want[name]), 1e-4)


@pytest.mark.golden("features")
def test_reference_clips_are_read_as_the_reference_reads_them(golden_run: GoldenRun, golden_record) -> None:
    want = golden_run.tensors()
    got = resample(Waveform(want["wav16"][0].numpy(), 44_100), 16_000)
    golden_record(
        "soxr 44.1 to 16 kHz", max_error(torch.from_numpy(got.samples), want["librosa_44100_to_16000_soxr_hq"]), 1e-4
    )


def test_resampling_keeps_a_tone() -> None:
    time = torch.arange(16_000) / 16_000
    tone = torch.sin(2 * math.pi * 440 * time)
    back = resample_sinc(resample_sinc(tone, 16_000, 24_000), 24_000, 16_000)
    assert back.shape == tone.shape
    assert max_error(back[200:-200], tone[200:-200]) < 5e-3


def test_same_rate_is_the_same_sound() -> None:
    wave = torch.randn(1, 100)
    assert resample_sinc(wave, 16_000, 16_000) is wave


@pytest.mark.parametrize("num_samples", [0, 1, 399])
def test_less_than_one_frame_has_no_filter_bank(num_samples: int) -> None:
    assert kaldi_fbank(torch.zeros(num_samples)).shape == (0, 80)


def test_frame_counts() -> None:
    assert kaldi_fbank(torch.zeros(400)).shape == (1, 80)
    assert whisper_log_mel(torch.zeros(16_000)).shape == (128, 100)
    assert vocoder_mel(torch.zeros(2, 24_000)).shape == (2, 80, 50)
    assert torch.isfinite(whisper_log_mel(torch.zeros(16_000))).all()
