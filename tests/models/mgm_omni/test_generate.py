"""Whole generations: recorded runs token for token, alone, together, and replayed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.generate import Choose, SpeechBatch, SpeechResult, SpeechSequence, generate
from omnitts.models.mgm_omni.prompt import SpeechPrompt
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_rows import sounding_rows, speech_codes
from omnitts.models.mgm_omni.text_feed import CONVERSATION, Failure
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenCase, GoldenRun, max_error, scaled_error
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
    return SpeechSequence.start(run.prompt, run.mouth.vocabulary, sampling_of(run), max_rows=run.meta["max_new_tokens"])


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
    dropped_rows, vocabulary = run.mouth.config.dropped_rows, run.mouth.vocabulary
    codes = speech_codes(result.rows, vocabulary, dropped_rows)
    golden_record("speech codes", max_error(codes, run.tensors["token2wav_tokens"].flatten()), 0)
    # The reference puts silence into its rows while it cuts them; the rows here stay as they are (trap 11).
    altered = result.rows.clone()
    for chunk in sounding_rows(altered, vocabulary, dropped_rows):
        altered[chunk, 1:] = altered[chunk, 1:].masked_fill(altered[chunk, 1:] >= 6561, vocabulary.silence_code)
    golden_record("altered rows", wrong_rows(altered, run.tensors["returned_speech_ids_after_token2audio"]), 0)
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


def random_sequences(mouth: Mouth, number: int) -> list[SpeechSequence]:
    """Utterances of other lengths, prompts, settings and seeds; built anew at each call."""
    random = torch.Generator().manual_seed(11)
    sequences = []
    for i in range(number):
        num_prompt, num_text = (int(n) for n in torch.randint(3, 40, (2,), generator=random))
        prompt = SpeechPrompt(
            rows=torch.randint(0, 800, (num_prompt, 5), generator=random),
            text_ids=tuple(torch.randint(20, 800, (num_text,), generator=random).tolist()),
        )
        sampling = Sampling(
            temperature=(0.0, 0.3, 0.8)[i % 3],
            top_k=(50, 0, 20)[i % 3],
            top_p=(1.0, 0.9)[i % 2],
            repetition_penalty=(1.0, 1.0, 1.1)[i % 3],
            seed=i,
        )
        sequences.append(SpeechSequence.start(prompt, mouth.vocabulary, sampling, max_rows=4 + i % 13))
    return sequences


def rows_of(model: SpeechLM, sequences: list[SpeechSequence], num_rows: int) -> list[Tensor]:
    results = dict(generate(model, sequences, num_rows=num_rows))
    return [results[i].rows for i in range(len(sequences))]


def test_a_row_says_the_same_alone_and_beside_others(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:
    """64 at once (they leave at other times), and five at a time (they also join late), token for token."""
    alone = [rows_of(calm_model, [sequence], 1)[0] for sequence in random_sequences(tiny_mouth, 64)]
    for num_rows in (64, 5):
        together = rows_of(calm_model, random_sequences(tiny_mouth, 64), num_rows)
        for i in range(64):
            assert torch.equal(alone[i], together[i]), f"sequence {i} of {num_rows} at once"


@pytest.mark.golden("speechlm-generate")
def test_recorded_runs_spoken_together(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    """All runs of the unpatched weights in one batch of four rows, joining and leaving, still token for token."""
    runs = [speech_run(run) for run in golden_case.runs if "patch_row_index" not in run.tensors()]
    results = dict(generate(runs[0].mouth.model, [sequence_of(run) for run in runs], num_rows=4))
    wrong = sum(wrong_rows(results[i].rows, run.tensors["sequences"]) for i, run in enumerate(runs))
    golden_record("rows of all runs in one batch", wrong, 0)


def test_an_empty_text_is_a_result_with_its_reason(tiny_mouth: Mouth) -> None:
    """Trap 28: the reference crashes."""
    prompt = tiny_mouth.prompts.build("", "Hello.", list(range(40)))
    sequence = SpeechSequence.start(prompt, tiny_mouth.vocabulary, Sampling())
    ((place, result),) = generate(tiny_mouth.model, [sequence])
    assert place == 0
    assert result.rows.shape == (0, 5)
    assert result.failures == (Failure.EMPTY_TEXT,)
    assert speech_codes(result.rows, tiny_mouth.vocabulary, 1).numel() == 0


def test_a_waiting_conversation_is_not_hurried_by_its_neighbour(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:
    """A row that waits for the brain's text idles, then says what it says alone."""
    prompt = SpeechPrompt(torch.full((4, 5), 7), ())

    def talk(neighbour_rows: int) -> list[tuple[int, ...]]:
        batch = SpeechBatch(calm_model, num_rows=2, max_length=80)
        sampling = Sampling(temperature=0.5, seed=3)
        speaker = SpeechSequence.start(prompt, tiny_mouth.vocabulary, sampling, max_rows=20, rules=CONVERSATION)
        other = SpeechSequence.start(
            SpeechPrompt(prompt.rows, (30,) * 60), tiny_mouth.vocabulary, Sampling(seed=4), max_rows=60
        )
        batch.join([other, speaker] if neighbour_rows else [speaker])
        speaker.feed.push([40, 41])
        for _ in range(2):
            batch.step()
        for _ in range(neighbour_rows):  # no text for the speaker: only the neighbour goes on
            batch.step()
        speaker.feed.push([42, 43, 44])
        for _ in range(3):
            batch.step()
        return speaker.rows

    assert talk(neighbour_rows=0) == talk(neighbour_rows=7)


def test_joining_is_refused_where_it_cannot_work(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:
    sequences = random_sequences(tiny_mouth, 2)
    with pytest.raises(ValueError, match="1 rows are free"):
        SpeechBatch(calm_model, num_rows=1, max_length=500).join(sequences)
    with pytest.raises(ValueError, match="positions"):
        SpeechBatch(calm_model, num_rows=2, max_length=10).join(sequences)
