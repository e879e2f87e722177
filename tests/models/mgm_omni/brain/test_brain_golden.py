"""The whole brain against the reference: features, positions, embeddings, logits, greedy tokens (golden brain-lm)."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from omnitts.models.mgm_omni.brain.answer import AnswerBatch, answer
from omnitts.models.mgm_omni.brain.positions import GridSpan
from omnitts.models.mgm_omni.brain.prompt import encode_template
from omnitts.models.mgm_omni.brain.vision_input import PatchConfig, image_patches
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenCase, max_error
from tests.models.mgm_omni.brain.conftest import golden_brain, media_of

LOGITS = 1e-3  # the case's own tolerance
FLOATS = 1e-4
GREEDY = Sampling(temperature=0.0)


def tensors_of(case: GoldenCase, run: str) -> dict[str, torch.Tensor]:
    (file,) = case.runs
    return {name.removeprefix(f"{run}."): t for name, t in file.tensors().items() if name.startswith(f"{run}.")}


@pytest.mark.golden("brain-lm")
def test_every_prompt_is_understood_alike(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    brain = golden_brain(golden_case)
    for run, meta in golden_case.meta["runs"].items():
        io = tensors_of(golden_case, run)
        ids = io["input_ids"][0].tolist()
        assert encode_template(brain.tokenizer, meta["prompt"]) == ids
        media = media_of(golden_case, brain.network, io, meta["prompt"])
        for medium in media:
            name = "vision_features" if isinstance(medium.span, GridSpan) else "speech_features"
            golden_record(f"{run} {name}", max_error(medium.features, io[name].flatten(0, -2)), FLOATS)
        prompt = brain.network.embed(ids, media)
        golden_record(f"{run} embeddings", max_error(prompt.embeds, io["inputs_embeds"][0]), FLOATS)
        positions = io["prefill_position_ids"].reshape(-1, len(prompt.embeds)).expand(3, -1)
        golden_record(f"{run} positions", max_error(prompt.positions, positions), 0)
        assert prompt.rope_delta == (meta["rope_deltas"] or [0])[0]

        logits, state = brain.network.prefill([prompt])
        worst, tokens = 0.0, []
        for i, wanted in enumerate(io["logits"]):
            worst = max(worst, max_error(logits[0], wanted))
            tokens.append(int(logits[0].argmax()))
            if i < io["decode_position_ids"].shape[-1]:
                assert io["decode_position_ids"][:, 0, i].tolist() == state.next_position.tolist() * 3
                logits = brain.network.step(torch.tensor(tokens[-1:]), state)
        golden_record(f"{run} logits", worst, LOGITS)
        assert tokens == io["output_ids"][0].tolist() == meta["out"]


@pytest.mark.golden("brain-lm")
def test_all_prompts_together_get_the_same_answers(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    brain = golden_brain(golden_case)
    prompts, wanted = [], []
    for run, meta in golden_case.meta["runs"].items():
        io = tensors_of(golden_case, run)
        media = media_of(golden_case, brain.network, io, meta["prompt"])
        prompts.append(brain.network.embed(io["input_ids"][0].tolist(), media))
        wanted.append(meta["out"])
    samplers = [RowSampler(GREEDY) for _ in prompts]
    batch = AnswerBatch(brain.network, prompts, samplers, eos_ids=brain.eos_ids, max_new_tokens=max(map(len, wanted)))
    differing = sum(got != want for got, want in zip(answer(batch), wanted, strict=True))
    golden_record("answers of the batch", differing, 0)


@pytest.mark.golden("brain-lm")
def test_a_picture_becomes_the_references_patches(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    (file,) = golden_case.runs
    io = file.tensors()
    config = PatchConfig.from_dict(golden_case.meta["preprocessor"])
    patches = image_patches(Image.fromarray(io["preproc.image_u8"].numpy()), config)
    recorded = [t for name, t in io.items() if name.endswith(".pixel_values") and len(t) == len(patches.values)]
    golden_record("pixels", min(max_error(patches.values, wanted) for wanted in recorded), 1e-5)
