"""Question audio: channels, blocks, towers and what projectors keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnitts.models.mgm_omni.brain.audio_input import BLOCK_SAMPLES, as_blocks, count_blocks, mel_blocks
from omnitts.models.mgm_omni.brain.config import ProjectorConfig
from omnitts.models.mgm_omni.brain.loading import LoadedBrain
from omnitts.models.mgm_omni.brain.positions import LineSpan
from omnitts.models.mgm_omni.brain.projector import build_projector
from tests.models.mgm_omni.brain.conftest import brain_from, shipped


def tone(num_samples: int, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / 16_000)).astype(np.float32)


def test_trap_20_the_first_channel_is_heard_not_the_mean() -> None:
    left, right = tone(8000), tone(8000, 900.0)
    assert torch.equal(mel_blocks(np.stack([left, right])), mel_blocks(left))
    assert not torch.equal(mel_blocks(left), mel_blocks((left + right) / 2))


def test_other_rates_are_resampled() -> None:
    at_24k = (0.3 * np.sin(2 * np.pi * 440.0 * np.arange(24_000) / 24_000)).astype(np.float32)
    heard, wanted = mel_blocks(at_24k, 24_000)[0, :, 5:90], mel_blocks(tone(16_000))[0, :, 5:90]
    loud = wanted > 0  # away from the tone both are only rounding noise
    torch.testing.assert_close(heard[loud], wanted[loud], rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("num_samples", "blocks"), [(0, 1), (1, 1), (BLOCK_SAMPLES - 1, 1), (BLOCK_SAMPLES, 2), (BLOCK_SAMPLES + 1, 2)]
)
def test_an_exact_multiple_of_30_s_is_followed_by_an_empty_block(num_samples: int, blocks: int) -> None:
    assert count_blocks(num_samples) == blocks
    assert count_blocks(120 * BLOCK_SAMPLES + 5) == 121


def test_blocks_are_padded_with_silence() -> None:
    mel = mel_blocks(tone(BLOCK_SAMPLES))
    assert mel.shape == (2, 128, 3000)
    assert mel[1].unique().tolist() == [-1.5]  # (log10(1e-10) + 8 - 8 + 4) / 4 of nothing but zeros


def test_mels_of_another_shape_are_refused() -> None:
    assert as_blocks(torch.zeros(128, 3000)).shape == (1, 128, 3000)
    for shape in ((80, 3000), (128, 2999), (1, 1, 128, 3000)):
        with pytest.raises(ValueError, match="expected mel blocks"):
            as_blocks(torch.zeros(*shape))


def test_many_blocks_together_are_as_one_by_one(tiny_brain: LoadedBrain) -> None:
    mel = torch.randn(10, 128, 3000, generator=torch.Generator().manual_seed(0))
    together = tiny_brain.network.encode_audio(mel)
    alone = torch.cat([tiny_brain.network.encode_audio(block).features for block in mel])
    assert together.span == LineSpan(len(alone))
    torch.testing.assert_close(together.features, alone, rtol=0, atol=1e-5)


def test_trap_29_the_position_table_is_read_from_the_weights() -> None:
    case = shipped("brain-lm")
    weights = case.weights()
    name = "model.speech_tower.speech_tower.embed_positions.weight"
    towers = brain_from(case.config, {**weights, name: weights[name] + 1.0}).audio_towers
    assert torch.equal(towers.speech_tower.embed_positions.weight, weights[name] + 1.0)
    mel = torch.zeros(1, 128, 3000)
    assert not torch.equal(towers(mel)[0], brain_from(case.config, weights).audio_towers(mel)[0])


def test_features_can_be_of_length_one(tiny_brain: LoadedBrain) -> None:
    case = shipped("brain-lm")
    network = brain_from({**case.config, "speech_norm": True}, case.weights())
    mel = torch.randn(128, 3000, generator=torch.Generator().manual_seed(0))
    features = network.encode_audio(mel).features
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(features)))
    plain = tiny_brain.network.encode_audio(mel).features
    torch.testing.assert_close(features * plain.norm(dim=-1, keepdim=True), plain)


@pytest.mark.parametrize("kind", ["qwen2a-tiny", "whisper-tiny"])
def test_a_brain_with_one_tower(kind: str) -> None:
    """`simple_mlp` on the main tower alone: 750 or 1500 frames a block, ds_rate of them to an embedding."""
    case = shipped("brain-lm")
    config = {**case.config, "mm_speech_tower": kind, "mm_speech_projector_type": "simple_mlp"}
    width = 48 if "whisper" in kind else 32
    config["speech_encoder_hidden_size"] = width
    projector = build_projector(ProjectorConfig.from_dict(config))
    weights = {name: t for name, t in case.weights().items() if "mm_speech_projector" not in name}
    main, aux = "model.speech_tower.speech_tower.", "model.speech_tower.speech_tower_aux."
    if "whisper" in kind:
        weights = {name: t for name, t in weights.items() if not name.startswith(main)}
        weights = {name.replace(aux, main): t for name, t in weights.items()}
    else:
        weights = {name: t for name, t in weights.items() if not name.startswith(aux)}
    weights |= {f"model.mm_speech_projector.{name}": t for name, t in projector.state_dict().items()}
    network = brain_from(config, weights)
    frames = 1500 if "whisper" in kind else 750
    assert network.encode_audio(torch.zeros(2, 128, 3000)).features.shape == (2 * (frames // 4), 64)


def test_scores_that_are_no_numbers_count_as_zero() -> None:
    """A main frame of infinities makes NaN scores; the mean of both values is then added (spec 6.3)."""
    config = ProjectorConfig("dual_mlp", hidden_size=4, ds_rate=1, encoder_hidden_size=5, main_dim=2, mlp_width=3)
    projector = build_projector(config)
    assert projector(torch.zeros(1, 2, 2), torch.randn(1, 4, 3)).isfinite().all()
    with torch.no_grad():
        projector.dual_query[1].weight.fill_(float("nan"))
        assert projector(torch.zeros(1, 2, 2), torch.randn(1, 4, 3)).isfinite().all()
    with pytest.raises(ValueError, match="auxiliary tower"):
        projector(torch.zeros(1, 2, 2))
