"""Whole generations: recorded runs token for token, alone, together, and replayed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.generate import Choose, SpeechResult, SpeechSequence, generate
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.mgm_omni.speech_rows import blocks, sounding_rows, speech_codes
from omnitts.models.mgm_omni.text_feed import Failure
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenRun, max_error, scaled_error
from tests.models.mgm_omni.conftest import SpeechRun, speech_run

FLOATS = 1e-4


def sampling_of(run: SpeechRun) -> Sampling:
    """The settings the reference ran with: its generation config, then what was passed."""
    passed = run.meta["generate_kwargs"]
    temperature = passed.get("temperature", 1.0) if passed.get("do_sample") else 0.0
    return Sampling.from_generation_config(
        run.meta["generation_config"], temperature=temperature, seed=run.meta["seed"] or 0
    )


def sequence_of(run: SpeechRun) -> SpeechSequence:
    return SpeechSequence.start(
        run.prompt, run.mouth.vocabulary, sampling_of(run), max_rows=run.meta["max_new_tokens"]
    )


def speak(run: SpeechRun, choose: Choose = sampler.sample) -> SpeechResult:
    ((_, result),) = generate(run.mouth.model, [sequence_of(run)], choose=choose)
    return result


def wrong_rows(got: Tensor, want: Tensor) -> int:
    """Rows that differ, or are missing, or are too many."""
    shared = min(len(got), len(want))
    return int((got[:shared] != want[:shared]).any(-1).sum()) + abs(len(got) - len(want))


@pytest.mark.golden("speechlm-generate")
def test_prompt_rows_and_text_ids(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    run = speech_run(golden_run)
    num_rows = len(run.prompt.rows)
    golden_record("prompt rows", max_error(run.prompt.rows, run.tensors["prompt_rows"][:num_rows]), 0)
    buffer = run.tensors["prompt_rows"][num_rows:-2, 0]
    golden_record("text ids", max_error(torch.tensor(run.prompt.text_ids), buffer), 0)


@pytest.mark.golden("speechlm-generate")
def test_rows_with_the_seed_of_the_run(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    """Greedy and sampled alike: the run's seed gives the run's rows, and the rows give its speech codes."""
    run = speech_run(golden_run)
    result = speak(run)
    golden_record("rows", wrong_rows(result.rows, run.tensors["sequences"]), 0)
    model_knows = {Failure.BLANK_RUN, Failure.LENGTH} & set(result.failures)
    assert bool(model_knows) == run.meta["tts_error"]
    if any(chunk["exceeded_8x"] for chunk in run.meta["chunks"]):
        assert Failure.LENGTH in result.failures


@pytest.mark.golden("speechlm-generate")
def test_processed_scores_while_the_recorded_draws_are_spoken(
    golden_run: GoldenRun, golden_record: GoldenRecord
) -> None:
    run = speech_run(golden_run)
    if "multinomial_draws" not in run.tensors:
        pytest.skip("a greedy run draws nothing")
    draws = list(run.tensors["multinomial_draws"])
    indices, values = run.tensors["processed_topk_indices"].long(), run.tensors["processed_topk_values"]
    errors, num_kept_differently, raw_error = [], 0, []

    def replay(logits: Tensor, rows: Sequence[RowSampler]) -> Tensor:
        nonlocal num_kept_differently
        t = len(errors)
        if t == 0:
            raw_error.append(scaled_error(logits, run.tensors["raw_logits_first"]))
        scores = sampler.process_scores(logits, rows)[0]
        recorded = values[t] > float("-inf")
        got = scores.gather(-1, indices[t])
        is_kept = got > float("-inf")
        num_kept_differently += int((is_kept != recorded).sum())
        num_kept_differently += abs(int((scores > float("-inf")).sum()) - int(recorded.sum()))
        both = is_kept & recorded
        errors.append(scaled_error(got[both], values[t][both]))
        return draws[t][None]

    result = speak(run, choose=replay)
    golden_record("raw logits", raw_error[0], FLOATS)
    golden_record("processed scores", max(errors), FLOATS)
    golden_record("codes kept otherwise than recorded", num_kept_differently, 0)
    golden_record("replayed rows", wrong_rows(result.rows, run.tensors["sequences"]), 0)
