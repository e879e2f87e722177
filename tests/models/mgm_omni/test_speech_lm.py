"""The mouth's network against the reference's tensors, and against its own plain forms."""

from __future__ import annotations

import pytest
import torch

from omnitts.models.mgm_omni.checkpoint import Mouth
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenRun, max_error, scaled_error
from tests.models.mgm_omni.conftest import mouth_of, with_pre_pad

FLOATS = 1e-4  # logits reach 90 here, where fp32 itself is 5e-4 from the exact value: their error is taken over 1 + |x|
SAME = 1e-4


@pytest.mark.golden("speechlm-forward")
@torch.inference_mode()
def test_forward_agrees_with_the_reference(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    mouth, want = mouth_of(golden_run.case), golden_run.tensors()
    model, rows = mouth.model, want["prefill_rows"][None]
    num_prompt, num_steps = rows.shape[1], len(want["decode_rows"])
    cache = model.new_cache(1, num_prompt + num_steps)
    embeds = model.embed_rows(rows)
    hidden = model.hidden_states(embeds, cache, cache.next_positions(num_prompt), num_prompt)
    cache.advance(num_prompt)
    golden_record("prefill embeddings", max_error(embeds, want["prefill_inputs_embeds"]), FLOATS)
    golden_record("prefill hidden", max_error(hidden.backbone, want["prefill_hidden"]), FLOATS)
    golden_record("prefill adapter", max_error(hidden.adapter, want["prefill_adapter_out"]), FLOATS)
    logits = model.speech_logits(hidden.adapter[:, -1])
    golden_record("prefill logits", scaled_error(logits, want["prefill_speech_logits_last"]), FLOATS)

    steps = []
    for row in want["decode_rows"]:
        embeds = model.embed_rows(row.view(1, 1, -1))
        hidden = model.hidden_states(embeds, cache, cache.next_positions(1), cache.max_length)
        cache.advance(1)
        steps.append((embeds[0], hidden.backbone[0], hidden.adapter[0], model.speech_logits(hidden.adapter[:, -1])[0]))
    for name, got in zip(
        ("inputs_embeds", "hidden", "adapter_out", "speech_logits"), zip(*steps, strict=True), strict=True
    ):
        golden_record(f"decode {name}", scaled_error(torch.stack(got), want[f"decode_{name}"]), FLOATS)


@pytest.mark.golden("speechlm-forward")
def test_prompt_agrees_with_the_reference(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    mouth, want, meta = with_pre_pad(mouth_of(golden_run.case), golden_run), golden_run.tensors(), golden_run.case.meta
    prompt = mouth.prompts.build(meta["text"], meta["text_refer"], want["ref_tokens"].flatten().tolist())
    golden_record("prompt rows", max_error(prompt.rows, want["prefill_rows"]), 0)
    golden_record("text ids", max_error(torch.tensor(prompt.text_ids), want["text_buffer"]), 0)


@torch.inference_mode()
def test_rows_of_other_lengths_beside_it_change_nothing(tiny_mouth: Mouth) -> None:
    """Prefill of several lengths at once, then a step, against each sequence alone."""
    model, random = tiny_mouth.model, torch.Generator().manual_seed(1)
    lengths = [5, 17, 1, 64, 33]
    rows = torch.randint(0, 800, (len(lengths), max(lengths) + 1, 5), generator=random)
    counts = torch.tensor(lengths)
    together = model.new_cache(len(lengths), 80)
    first = model(rows[:, : max(lengths)], together, counts)
    together.advance(counts)
    assert together.lengths.tolist() == lengths
    second = model(rows[torch.arange(len(lengths)), counts][:, None], together)
    for i, length in enumerate(lengths):
        alone = model.new_cache(1, 80)
        assert scaled_error(model(rows[i : i + 1, :length], alone), first[i : i + 1]) < SAME
        alone.advance(length)
        assert scaled_error(model(rows[i : i + 1, length : length + 1], alone), second[i : i + 1]) < SAME


@torch.inference_mode()
def test_cached_steps_agree_with_one_pass_over_everything(tiny_mouth: Mouth) -> None:
    model = tiny_mouth.model
    rows = torch.randint(0, 800, (2, 40, 5), generator=torch.Generator().manual_seed(2))
    cache = model.new_cache(2, 64)
    model(rows[:, :20], cache)
    cache.advance(20)
    for t in range(20, 40):
        cached = model(rows[:, t : t + 1], cache)
        cache.advance(1)
        whole = model(rows[:, : t + 1], model.new_cache(2, 64))
        assert scaled_error(cached, whole) < SAME


@torch.inference_mode()
def test_an_idle_row_keeps_its_place(tiny_mouth: Mouth) -> None:
    """A row with count 0 writes to the scratch position only, so what it says later does not change."""
    model = tiny_mouth.model
    rows = torch.randint(0, 800, (2, 12, 5), generator=torch.Generator().manual_seed(3))
    cache, plain = model.new_cache(2, 32), model.new_cache(2, 32)
    for one in (cache, plain):
        model(rows[:, :10], one)
        one.advance(10)
    counts = torch.tensor([1, 0])
    model(rows[:, 10:11], cache, counts)
    cache.advance(counts)
    assert cache.lengths.tolist() == [11, 10]
    late = model(rows[:, 10:11], cache, torch.tensor([0, 1]))
    assert torch.equal(late[1], model(rows[:, 10:11], plain)[1])
