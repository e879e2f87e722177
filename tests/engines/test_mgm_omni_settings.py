"""Settings of the engine's own: what is taken, what is refused, and that they are part of the revision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnitts.engines.memory import cache_budget, is_out_of_memory
from omnitts.engines.mgm_omni_settings import USUAL_PARTICLES, Settings
from omnitts.errors import EngineError, UsageError
from omnitts.models.codec.prompt import VoicePrompt
from tests.engines.test_mgm_omni import checkpoint, engine_of  # noqa: F401 - a fixture

CPU = torch.device("cpu")


def test_a_prompt_is_cut_to_its_end() -> None:
    prompt = VoicePrompt(torch.arange(100), torch.arange(200).view(200, 1), torch.ones(3))
    heard = Settings.parse({"prompt_s": 2}).heard(prompt)
    assert heard.tokens.tolist() == list(range(50, 100))
    assert heard.mel[:, 0].tolist() == list(range(100, 200))
    assert Settings().heard(prompt).tokens.tolist() == list(range(25, 100))
    assert Settings.parse({"prompt_s": 30}).heard(prompt) is prompt
    assert Settings.parse({"prompt_s": 0.001}).heard(prompt).tokens.tolist() == [99], "the least there is, not all"
    short = VoicePrompt(torch.arange(60), torch.arange(120).view(120, 1), torch.ones(3))
    assert Settings().heard(short) is short


def test_the_flow_follows_the_mouth_unless_told() -> None:
    assert Settings().flow_dtype_beside(torch.float32, CPU) == torch.float32
    assert Settings().flow_dtype_beside(torch.bfloat16, torch.device("cuda")) == torch.bfloat16
    told = Settings.parse({"flow_dtype": "fp32"})
    assert told.flow_dtype_beside(torch.bfloat16, torch.device("cuda")) == torch.float32


def test_memory_is_as_given_or_a_share_of_what_is_free() -> None:
    assert Settings.parse({"memory_gb": "1.5"}).cache_budget(CPU) == 1_500_000_000
    assert 0 < Settings().cache_budget(CPU) <= cache_budget(CPU) * 1.5


def test_particles_need_a_reader(tmp_path: Path) -> None:
    reader = tmp_path / "reader"
    assert Settings().num_particles(reader) == Settings.parse({"particles": 1}).num_particles(reader) == 1
    with pytest.raises(EngineError, match="no spelling reader"):
        Settings.parse({"particles": 4}).num_particles(reader)
    reader.touch()
    assert Settings().num_particles(reader) == USUAL_PARTICLES
    assert Settings.parse({"particles": "4"}).num_particles(reader) == 4
    assert Settings.parse({"particles": 1}).num_particles(reader) == 1


@pytest.mark.parametrize(
    "extra",
    [
        {"prompt_s": -1},
        {"prompt_s": "x"},
        {"memory_gb": "inf"},
        {"flow_dtype": "fp8"},
        {"pronouncer": "maybe"},
        {"flow_steps": 0.5},
        {"flow_steps": 101},
        {"particles": 2.5},
        {"particles": -1},
        {"particles": 1000},
    ],
)
def test_values_that_cannot_be_are_refused(extra: dict[str, str | float]) -> None:
    with pytest.raises(UsageError):
        Settings.parse(extra)
    with pytest.raises(EngineError, match="no setting 'speed'"):
        Settings.parse({"speed": 2})


def test_what_changes_the_sound_changes_the_revision(checkpoint: Path) -> None:  # noqa: F811
    plain = engine_of(checkpoint).revision
    assert engine_of(checkpoint, extra={"flow_dtype": "bf16"}).revision != plain
    assert engine_of(checkpoint, extra={"prompt_s": 5}).revision != plain
    assert engine_of(checkpoint, extra={"prompt_s": 3}).revision == plain  # as by itself
    assert engine_of(checkpoint, extra={"flow_steps": 4}).revision != plain
    assert engine_of(checkpoint, extra={"memory_gb": 1}).revision == plain


def test_errors_of_memory_are_told_from_others() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("not enough memory"))
