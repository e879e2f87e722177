"""The vocoder against the reference, against torch's own transforms, and in batches of several lengths."""

from __future__ import annotations

import math

import pytest
import torch

from omnitts.models.codec.config import HiftConfig
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.loading import Codec, fill, fold_weight_norm, hift_state
from omnitts.models.codec.source import SourceDraws
from omnitts.models.codec.spectrum import inverse_stft, stft
from tests.models.codec.tiny_codec import hift_config_of, published_hift_state
from tests.models.golden_cases import GoldenCase, max_error


def golden_hift(case: GoldenCase) -> Hift:
    with torch.device("meta"):
        hift = Hift(hift_config_of(case.config))
    return fill(hift, hift_state(case.weights()), where=case.name, device="cpu", dtype=torch.float32)


@pytest.mark.golden("hift")
def test_vocoder_agrees_with_the_reference(golden_case: GoldenCase, golden_record) -> None:
    hift, io = golden_hift(golden_case), golden_case.runs[0].tensors()
    mel = io["mel"][0]
    golden_record("f0 in Hz", max_error(hift.pitch(mel), io["f0"][0]), 5e-4)
    given = SourceDraws(io["sine_noise"][0])
    golden_record("source given f0 and noise", max_error(hift.source(io["f0"][0], given), io["source"][0, 0]), 1e-3)
    wave = hift.decode([mel], [io["source"][0, 0]])[0]
    golden_record("wave given source", max_error(wave, io["wav_given_source"][0]), 1e-4)
    sines = hift.m_source.sines(io["sinegen.f0"][0], SourceDraws(io["sinegen.noise_draw"][0]))
    golden_record("sines", max_error(sines, io["sinegen.sine_waves"][0]), 1e-3)
    cached = io["cached.cache_source"][0, 0]
    wave = hift.decode([mel], [io["cached.source"][0, 0]])[0]
    golden_record("cached: wave given source", max_error(wave, io["cached.wav"][0]), 1e-4)
    golden_record(
        "cached: source begins with the cache", max_error(io["cached.source"][0, 0, : len(cached)], cached), 0
    )


@pytest.mark.golden("hift")
def test_seeds_give_the_references_sound(golden_case: GoldenCase, golden_record) -> None:
    hift, io = golden_hift(golden_case), golden_case.runs[0].tensors()
    seeds = golden_case.meta["seeds"]
    generator = torch.Generator().manual_seed(seeds["inference"])
    vocoded = hift([io["mel"][0]], [generator])[0]
    golden_record("seeded source", max_error(vocoded.source, io["source"][0, 0]), 1e-3)
    generator = torch.Generator().manual_seed(seeds["cached"])
    vocoded = hift([io["mel"][0]], [generator], [io["cached.cache_source"][0, 0]])[0]
    golden_record("seeded cached source", max_error(vocoded.source, io["cached.source"][0, 0]), 1e-3)
    generator = torch.Generator().manual_seed(seeds["sinegen"])
    sines = hift.m_source.sines(io["sinegen.f0"][0], generator)
    golden_record("seeded sines", max_error(sines, io["sinegen.sine_waves"][0]), 1e-3)


@pytest.mark.golden("hift")
def test_rows_of_several_lengths_sound_as_alone(golden_case: GoldenCase, golden_record) -> None:
    hift, mel = golden_hift(golden_case), golden_case.runs[0].tensors()["mel"][0]
    mels = [mel, mel[:, :17], mel[:, :1], mel[:, 5:35]]
    together = hift(mels, [torch.Generator().manual_seed(row) for row in range(len(mels))])
    for row, one in enumerate(mels):
        alone = hift([one], [torch.Generator().manual_seed(row)])[0]
        assert len(together[row].wave) == one.shape[1] * hift.config.samples_per_frame
        golden_record("batched source", max_error(together[row].source, alone.source), 0.0)
        golden_record("batched wave", max_error(together[row].wave, alone.wave), 1e-5)


def test_transforms_agree_with_torchs_own() -> None:
    waves = [torch.randn(length, generator=torch.Generator().manual_seed(length)) for length in (96, 40, 16)]
    spectrum, steps = stft(waves, 16, 4)
    window = torch.hann_window(16)
    sound = inverse_stft(torch.complex(*spectrum.chunk(2, dim=1)), steps, 16, 4)
    for row, wave in enumerate(waves):
        plain = torch.stft(wave, 16, 4, window=window, return_complex=True)
        assert max_error(spectrum[row, :, : steps[row]], torch.cat((plain.real, plain.imag))) < 1e-5
        assert not spectrum[row, :, steps[row] :].any()
        back = torch.istft(plain, 16, 4, window=window)
        assert max_error(sound[row, : len(wave)], back) < 1e-5


def test_a_cache_longer_than_the_source_ends_with_it(codec: Codec) -> None:
    hift, mel = codec.detokenizer.hift, torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    cached = torch.full((5000,), 0.25)
    vocoded = hift([mel], [torch.Generator().manual_seed(0)], [cached])[0]
    assert len(vocoded.wave) == 1440
    assert torch.equal(vocoded.source, cached[:1440])


def test_draws_follow_the_generator_only() -> None:
    first = SourceDraws.take(torch.Generator().manual_seed(5), 960, 9).noise
    torch.randn(10)
    assert torch.equal(first, SourceDraws.take(torch.Generator().manual_seed(5), 960, 9).noise)
    assert not torch.equal(first, SourceDraws.take(torch.Generator().manual_seed(6), 960, 9).noise)


def test_every_spelling_of_weight_norm_is_the_same_vocoder(codec: Codec) -> None:
    plain = codec.detokenizer.hift.state_dict()
    for spelling in ("parametrizations", "plain", "folded"):
        read = hift_state(published_hift_state(plain, spelling))
        assert read.keys() == plain.keys()
        assert all(max_error(read[name], plain[name]) < 1e-6 for name in plain), spelling


def test_folding_is_torchs_weight_norm() -> None:
    for layer in (torch.nn.Conv1d(3, 5, 3), torch.nn.ConvTranspose1d(3, 5, 4)):
        normed = torch.nn.utils.parametrizations.weight_norm(layer)
        state = normed.state_dict()
        folded = fold_weight_norm(
            state["parametrizations.weight.original0"] * 2, state["parametrizations.weight.original1"]
        )
        assert max_error(folded, normed.weight.detach() * 2) < 1e-6


def test_published_size() -> None:
    config = HiftConfig(
        mel_bins=80,
        channels=512,
        f0_channels=512,
        num_harmonics=8,
        rate_hz=24_000,
        sine_amplitude=0.1,
        noise_std=0.003,
        voiced_hz=10.0,
        upsample_rates=(8, 5, 3),
        upsample_kernels=(16, 11, 7),
        n_fft=16,
        hop=4,
        block_kernels=(3, 7, 11),
        block_dilations=((1, 3, 5),) * 3,
        source_kernels=(7, 7, 11),
        source_dilations=((1, 3, 5),) * 3,
    )
    with torch.device("meta"):
        hift = Hift(config)
    assert config.samples_per_frame == 480
    assert sum(parameter.numel() for parameter in hift.parameters()) == pytest.approx(20.8e6, rel=2e-3)
    shapes = {name: tuple(value.shape) for name, value in hift.state_dict().items()}
    assert shapes["conv_pre.weight"] == (512, 80, 7)
    assert shapes["ups.0.weight"] == (512, 256, 16)
    assert shapes["source_downs.0.weight"] == (256, 18, 30)
    assert shapes["resblocks.8.activations2.2.alpha"] == (64,)
    assert math.prod(shapes["m_source.l_linear.weight"]) == 9
