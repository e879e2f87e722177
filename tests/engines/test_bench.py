"""The bench on the tiny random model: every stage has a figure, and the pool was really filled."""

from __future__ import annotations

import pytest
import torch

from omnitts.engines.bench import Bench, BenchParts, peak_memory_bytes
from omnitts.errors import UsageError
from omnitts.models.published import CONFIGS, published, random_codec, random_mouth


@pytest.fixture(scope="module")
def parts() -> BenchParts:
    tiny = published("tiny")
    model = random_mouth(tiny.mouth(), dtype=torch.float32)
    return BenchParts(model, tiny.vocabulary(), 1, random_codec(is_tiny=True), voice_rows=12, prompt_tokens=25)


def test_every_stage_has_its_figure(parts: BenchParts) -> None:
    bench = Bench(parts, piece_s=2.0)
    bench.warm_up(2)
    row, sounds = bench.measure(2, pieces=3)
    assert (row.batch, row.pieces, len(sounds)) == (2, 3, 3)
    assert row.audio_s == pytest.approx(sum(sound.duration_s for sound in sounds), abs=0.01)
    assert 3 <= row.audio_s <= 6
    assert min(row.decode, row.flow, row.vocoder, row.end_to_end, row.step_ms) > 0
    assert row.end_to_end < row.decode + row.flow + row.vocoder
    assert row.tokens_per_s == pytest.approx(25 * row.decode)
    assert set(row.utilisation) == {"decode", "flow", "vocoder"}
    assert all(0 < share <= 1.01 for share in row.utilisation.values())
    assert bench.prefill_s(1) > 0
    assert bench.first_audio_s() > 0
    assert peak_memory_bytes(torch.device("cpu")) > 50e6


def test_sizes_are_those_that_are_known() -> None:
    """The 2B has the 2.08 B parameters that were published; sizes build on the meta device alone."""
    from omnitts.models.mgm_omni.speech_lm import SpeechLM

    with torch.device("meta"):
        counts = {
            name: sum(parameter.numel() for parameter in SpeechLM(config.mouth()).parameters())
            for name, config in CONFIGS.items()
        }
    assert counts["2b"] == pytest.approx(2.08e9, rel=0.005)
    assert counts["tiny"] < 3e6 < counts["0.6b"] < counts["2b"] < counts["4b"]


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(UsageError, match="7b"):
        published("7b")
