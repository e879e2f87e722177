"""The two ONNX networks: what they are given, blocks of 30 s, and the prompt made of a clip."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnitts.errors import ModelError, VoiceError
from omnitts.models.codec.campplus import CamPlus
from omnitts.models.codec.features import kaldi_fbank, resample_sinc, vocoder_mel
from omnitts.models.codec.loading import Codec
from omnitts.models.codec.s3_tokenizer import BLOCK_SAMPLES, S3Tokenizer
from tests.models.golden_cases import max_error


def _noise(num_samples: int) -> torch.Tensor:
    return torch.randn(num_samples, generator=torch.Generator().manual_seed(num_samples)) * 0.1


def test_blocks_of_30_s_are_tokenised_by_themselves(codec: Codec) -> None:
    clip = _noise(BLOCK_SAMPLES + 16_000)
    tokenizer = codec.front_end.tokenizer
    ids = tokenizer.tokens(clip)
    assert ids.dtype == torch.int32
    assert len(ids) == 750 + 25
    assert torch.equal(ids[:750], tokenizer.tokens(clip[:BLOCK_SAMPLES]))
    assert torch.equal(ids[750:], tokenizer.tokens(clip[BLOCK_SAMPLES:]))


def test_a_rest_without_a_frame_has_no_token(codec: Codec) -> None:
    clip = _noise(BLOCK_SAMPLES)
    longer = torch.cat((clip, torch.zeros(5)))
    assert torch.equal(codec.front_end.tokenizer.tokens(longer), codec.front_end.tokenizer.tokens(clip))
    assert len(codec.front_end.tokenizer.tokens(torch.zeros(10))) == 0


def test_the_speaker_encoder_hears_the_mean_free_bank(codec: Codec) -> None:
    """The tiny encoder's vector is linear in the mean magnitude, which only the mean-free bank gives."""
    clip = _noise(16_000)
    bank = kaldi_fbank(clip)
    bank = bank - bank.mean(dim=0)
    vector = codec.front_end.speaker.embed(clip)
    assert vector.shape == (192,)
    louder = codec.front_end.speaker.embed(clip * 2)
    assert max_error(vector, louder) < 1e-3, "a gain is a constant in the logarithm and leaves with the mean"
    assert bank.abs().mean() > 0.1


def test_a_clip_becomes_a_prompt(codec: Codec) -> None:
    clip = _noise(20_000)
    prompt = codec.front_end.listen(clip)
    mel = vocoder_mel(resample_sinc(clip[None], 16_000, 24_000))[0].T
    ids = codec.front_end.tokenizer.tokens(clip)
    length = min(len(mel) // 2, len(ids))
    assert prompt.num_tokens == length > 20
    assert torch.equal(prompt.tokens, ids[:length].long())
    assert torch.equal(prompt.mel, mel[: 2 * length])
    wave = codec.detokenizer.speak([prompt.tokens], [prompt], [0])[0]
    assert len(wave) == 960 * length


@pytest.mark.parametrize("num_samples", [0, 1, 1599])
def test_too_short_a_clip_is_refused(codec: Codec, num_samples: int) -> None:
    with pytest.raises(VoiceError, match=r"0\.1 s"):
        codec.front_end.listen(torch.zeros(num_samples))


def test_a_clip_shorter_than_a_frame_has_no_speaker(codec: Codec) -> None:
    with pytest.raises(VoiceError, match="25 ms"):
        codec.front_end.speaker.embed(torch.zeros(100))


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        CamPlus(tmp_path / "campplus.onnx")
    (tmp_path / "campplus.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"campplus\.onnx"):
        CamPlus(tmp_path / "campplus.onnx")


def test_the_other_network_is_refused(codec: Codec) -> None:
    with pytest.raises(ModelError, match="1 inputs, not 2"):
        S3Tokenizer(codec.folder / "campplus.onnx")
    with pytest.raises(ModelError, match="2 inputs, not 1"):
        CamPlus(codec.folder / "speech_tokenizer_v2.onnx")
