"""Joint generation against the reference: brain tokens, rows, draws and codes of every recorded run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.brain.joint import JointGeneration, SpokenRow, TextDelta
from omnitts.models.mgm_omni.brain.prompt import encode_template
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.mgm_omni.speech_rows import speech_codes
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenRun
from tests.models.mgm_omni.brain.conftest import golden_brain, media_of, patched_mouth


class RecordedDraws:
    """Chooses what the reference drew, and refuses a draw that our scores rule out."""

    def __init__(self, draws: torch.Tensor, sizes: torch.Tensor) -> None:
        self._draws = draws.split(sizes.tolist())
        self.num_used = 0

    def __call__(self, logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
        drawn = self._draws[self.num_used]
        self.num_used += 1
        scores = sampler.process_scores(logits, rows)[0]
        assert len(drawn) == len(scores), "a brain draw where a mouth draw was recorded, or the other way round"
        assert scores.gather(-1, drawn[:, None]).isfinite().all(), "a recorded draw is not possible"
        return drawn[None]

    @property
    def is_used_up(self) -> bool:
        return self.num_used == len(self._draws)


def sampling_of(run: GoldenRun) -> Sampling:
    given = dict(run.meta.get("kwargs", {}))
    if not run.meta.get("do_sample", False):
        given["temperature"] = 0.0
    given.setdefault("temperature", run.meta.get("generation_config", {}).get("temperature", 1.0))
    if run.meta.get("seed") is not None:
        given["seed"] = run.meta["seed"]
    known = {name: value for name, value in given.items() if name in Sampling.__dataclass_fields__}
    return Sampling.from_generation_config(run.meta.get("generation_config", {}), **known)


def start(run: GoldenRun, tensors: dict[str, torch.Tensor], choose: object = sampler.sample) -> JointGeneration:
    brain = golden_brain(run.case)
    mouth = patched_mouth(run.case, tensors)
    media = media_of(run.case, brain.network, tensors, run.meta["prompt"])
    voice_rows = mouth.prompts.voice_rows(run.meta["text_refer"], tensors["ref_tokens"].flatten().tolist())
    return JointGeneration(
        brain,
        brain.network.embed(tensors["input_ids"][0].tolist(), media),
        mouth,
        voice_rows,
        sampling_of(run),
        max_new_tokens=run.meta["max_new_tokens"],
        choose=choose,  # type: ignore[arg-type]
    )


@pytest.mark.golden("omni-generate")
def test_rows_and_tokens_are_the_references(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    tensors = golden_run.tensors()
    mouth = patched_mouth(golden_run.case, tensors)
    is_sampled = "multinomial_draws" in tensors
    draws = RecordedDraws(tensors["multinomial_draws"], tensors["multinomial_sizes"]) if is_sampled else None
    joint = start(golden_run, tensors, draws or sampler.sample)
    events = list(joint)
    assert joint.tokens == [event.token for event in events if isinstance(event, TextDelta)]
    golden_record("brain tokens", differences(torch.tensor(joint.tokens), tensors["output_ids"][0]), 0)
    rows = joint.speech().rows
    assert rows.tolist() == [list(event.row) for event in events if isinstance(event, SpokenRow)]
    golden_record("speech rows", differences(with_its_silences(rows, tensors, mouth), tensors["speech_sequences"]), 0)
    if draws is not None:
        assert draws.is_used_up
        seeded = start(golden_run, tensors)  # brain and mouth draw in turn from one generator, as torch's own there
        list(seeded)
        golden_record("rows from the seed alone", differences(seeded.speech().rows, rows), 0)
    codes = speech_codes(rows, mouth.vocabulary, mouth.config.dropped_rows)
    golden_record("codes to the codec", differences(codes, tensors["token2wav_tokens"][0]), 0)


@pytest.mark.golden("omni-generate")
def test_the_prompt_is_tokenised_alike(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    tensors, brain = golden_run.tensors(), golden_brain(golden_run.case)
    ids = torch.tensor(encode_template(brain.tokenizer, golden_run.meta["prompt"]))
    golden_record("prompt ids", differences(ids, tensors["input_ids"][0]), 0)


def with_its_silences(rows: torch.Tensor, tensors: dict[str, torch.Tensor], mouth: Mouth) -> torch.Tensor:
    """The reference's rows have silence where an id inside a kept range is no sound (trap 11); ours stay as made."""
    wanted = tensors["speech_sequences"]
    if rows.shape != wanted.shape:
        return rows
    silenced = (rows >= mouth.vocabulary.speech_eos) & (wanted == mouth.vocabulary.silence_code)
    silenced[:, 0] = False
    return torch.where(silenced, wanted, rows)


def differences(got: torch.Tensor, want: torch.Tensor) -> int:
    assert got.shape == want.shape, f"shape {tuple(got.shape)} is not {tuple(want.shape)}"
    return int((got != want).sum())
