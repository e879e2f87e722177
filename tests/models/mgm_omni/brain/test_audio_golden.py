"""Audio towers and projectors against the reference (golden brain-audio, features)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from omnitts.models.mgm_omni.brain.audio_input import mel_blocks
from omnitts.models.mgm_omni.brain.audio_towers import AudioTowers
from omnitts.models.mgm_omni.brain.config import ProjectorConfig
from omnitts.models.mgm_omni.brain.projector import build_projector
from omnitts.models.weights import load_module
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenCase, max_error

TOLERANCE = 1e-4


def part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@pytest.mark.golden("brain-audio")
def test_both_towers(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    for run in golden_case.runs:
        io, config = run.tensors(), golden_case.config
        towers = load_module(
            lambda config=config: AudioTowers("dual", config["audio_encoder"], config["whisper_aux"]),
            part(golden_case.weights(), "speech_tower."),
            where=golden_case.name,
        )
        main, aux = towers(io["mel"].float())
        golden_record("main tower", max_error(main, io["main"]), TOLERANCE)
        golden_record("auxiliary tower", max_error(aux, io["aux"]), TOLERANCE)


@pytest.mark.golden("brain-audio")
def test_every_projector(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    for run in golden_case.runs:
        io = run.tensors()
        main, aux = io["main"], io["aux"]
        for name, raw in golden_case.config["projectors"].items():
            config = ProjectorConfig.from_dict(raw)
            weights = part(golden_case.weights(), f"proj.{name}.")
            projector = load_module(lambda config=config: build_projector(config), weights, where=name)
            # type2 has one width for both towers; the reference was fed the first of the auxiliary channels
            frames = aux[..., : main.shape[-1]] if config.kind == "dual_mlp_type2" else aux
            with torch.no_grad():
                got = projector(main, frames if config.takes_two_towers else None)
            want = io.get(f"proj.{name}.out", main)  # the identity has no recording: it must return its input
            golden_record(f"projector {name}", max_error(got, want), TOLERANCE)


@pytest.mark.golden("features")
def test_log_mel_of_a_short_clip(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    for run in golden_case.runs:
        io = run.tensors()
        wav = next(tensor for name, tensor in io.items() if name.startswith("wav") and "16" in name)
        mel = mel_blocks(wav.flatten().numpy())[0]
        golden_record("first mel frames", max_error(mel[:, :200], io["hf_whisper_features_first200"]), TOLERANCE)
        golden_record("last mel frames", max_error(mel[:, -2:], io["hf_whisper_features_last2"]), TOLERANCE)
