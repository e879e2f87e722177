"""The recogniser's encoder: transformers' own numbers, from weights as CTranslate2 stores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import ModelError, UsageError
from omnitts.models.codec.features import whisper_log_mel
from omnitts.training.onnx_export import round_matrices
from omnitts.training.recogniser import Recogniser, open_recogniser
from tests.training.tiny_whisper import WIDTH, tiny_encoder, write_whisper


def test_states_are_those_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_encoder()
    recogniser = open_recogniser(write_whisper(tmp_path, encoder))
    monkeypatch.setattr(recogniser, "as_whisper_hears", lambda mel: mel)
    mel = torch.randn(2, 80, 100, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = encoder(mel, output_hidden_states=True)
        states = recogniser.layers_heard(mel)
        assert torch.allclose(states[0], expected.hidden_states[1], atol=1e-4)
        assert torch.allclose(recogniser.norm(states[-1]), expected.last_hidden_state, atol=1e-4)
        assert torch.equal(recogniser.lower(2)(mel), states[1])


def test_wider_bands_hear_what_whisper_hears() -> None:
    time = torch.arange(32_000) / 16_000
    tone = sum(torch.sin(2 * torch.pi * 140 * k * time) / k for k in range(1, 40))
    noise = torch.randn(32_000, generator=torch.Generator().manual_seed(0))
    wave = (tone * (time < 1) + noise * (time >= 1)) * 0.1 * (1 + torch.sin(2 * torch.pi * 3 * time))
    mel = whisper_log_mel(wave, 128)[None]
    heard = Recogniser(1, 16, 2).as_whisper_hears(mel)[0]
    off = (heard - whisper_log_mel(wave, 80)).abs()
    assert float(off.mean()) < 0.01
    assert float(off.max()) < 0.3


def test_any_length_and_beyond_half_a_minute(tmp_path: Path) -> None:
    recogniser = open_recogniser(write_whisper(tmp_path, tiny_encoder()))
    with torch.no_grad():
        for num_frames in (3, 64, 99, 3100):
            assert recogniser(torch.zeros(1, 128, num_frames)).shape == (1, (num_frames + 1) // 2, WIDTH)
    assert torch.equal(recogniser.places(1550)[1500:], recogniser.places(1500)[-1:].expand(50, WIDTH))


def test_positions_that_are_not_whispers(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    with torch.no_grad():
        encoder.embed_positions.weight.add_(0.1)
    with pytest.raises(ModelError, match="sinusoids"):
        open_recogniser(write_whisper(tmp_path, encoder))


def test_rounded_matrices_hear_nearly_the_same(tmp_path: Path) -> None:
    recogniser = open_recogniser(write_whisper(tmp_path, tiny_encoder()))
    mel = whisper_log_mel(torch.randn(16_000, generator=torch.Generator().manual_seed(0)))[None]
    with torch.no_grad():
        before = recogniser(mel)
        round_matrices(recogniser)
        after = recogniser(mel)
    weight = recogniser.layers[0].qkv.weight.detach().numpy()
    assert all(len(np.unique(row)) <= 255 for row in weight)
    off = (after - before).norm() / before.norm()
    assert 0 < float(off) < 0.02


@pytest.mark.parametrize("layers", [0, 4])
def test_layers_it_does_not_have(tmp_path: Path, layers: int) -> None:
    with pytest.raises(UsageError, match="has 3 layers"):
        open_recogniser(write_whisper(tmp_path, tiny_encoder())).lower(layers)


@pytest.mark.parametrize("keep", [0, 30, 5000])
def test_a_file_cut_short(tmp_path: Path, keep: int) -> None:
    path = write_whisper(tmp_path, tiny_encoder()) / "model.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="cannot be read"):
        open_recogniser(tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        open_recogniser(tmp_path)
