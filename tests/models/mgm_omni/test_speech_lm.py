"""The mouth's network against the reference's tensors, and against its own plain forms."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace

import pytest
import torch

from omnitts.models.linear_layout import Layout
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.packed_linear import can_pack
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenRun, max_error, scaled_error
from tests.models.mgm_omni.conftest import mouth_of, with_pre_pad

FLOATS = 1e-4  # logits reach 90 here, where fp32 itself is 5e-4 from the exact value: their error is taken over 1 + |x|
SAME = 1e-5
needs_packing = pytest.mark.skipif(
    not can_pack(torch.bfloat16, "cpu"), reason="this processor multiplies no packed bf16 weights"
)


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
def test_rows_of_other_lengths_beside_it_change_nothing(calm_model: SpeechLM) -> None:
    """Prefill of several lengths at once, then a step, against each sequence alone."""
    model, random = calm_model, torch.Generator().manual_seed(1)
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
def test_cached_steps_agree_with_one_pass_over_everything(calm_model: SpeechLM) -> None:
    model = calm_model
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
def test_an_idle_row_keeps_its_place(calm_model: SpeechLM) -> None:
    """A row with count 0 writes to the scratch position only, so what it says later does not change."""
    model = calm_model
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


@torch.inference_mode()
def test_trap_12_embedding_leaves_the_rows_alone(calm_model: SpeechLM) -> None:
    """The reference turns the codes into global ids in place."""
    rows = torch.randint(0, 800, (1, 4, 5))
    before = rows.clone()
    calm_model.embed_rows(rows)
    assert torch.equal(rows, before)


@torch.inference_mode()
def test_trap_1_the_adapter_hears_the_normed_hidden_states(calm_model: SpeechLM) -> None:
    """Scaling the final norm's weight changes what the adapter is given, hence the logits."""
    rows = torch.randint(0, 800, (1, 4, 5))
    before = calm_model(rows, calm_model.new_cache(1, 8))
    louder = copy.deepcopy(calm_model)
    louder.model.norm.weight.mul_(3)
    assert max_error(louder(rows, louder.new_cache(1, 8)), before) > 1e-2
    assert not any("norm" in name for name in calm_model.tts_adapter.state_dict() if "layers" not in name)


@torch.inference_mode()
def test_bf16_stays_within_its_rounding(calm_model: SpeechLM) -> None:
    """Bound: 2 % of the logits' spread on average, over prefill and eight steps (bf16 keeps eight bits: 0.4 %)."""
    small = copy.deepcopy(calm_model).bfloat16()
    rows = torch.randint(0, 800, (3, 28, 5), generator=torch.Generator().manual_seed(4))
    wide_cache, small_cache = calm_model.new_cache(3, 32), small.new_cache(3, 32)
    start = 20
    for part in (rows[:, :start], *(rows[:, t : t + 1] for t in range(start, 28))):
        wide, narrow = calm_model(part, wide_cache), small(part, small_cache)
        assert narrow.dtype == torch.float32
        assert ((wide - narrow).abs().mean() / wide.std()).item() < 0.02
        wide_cache.advance(part.shape[1])
        small_cache.advance(part.shape[1])


@torch.inference_mode()
def test_at_one_batch_shape_neighbours_change_nothing_even_in_bf16(calm_model: SpeechLM) -> None:
    """Bit for bit: what other rows hold never enters a row's sums."""
    model = copy.deepcopy(calm_model).bfloat16()
    rows = torch.randint(0, 800, (8, 12, 5), generator=torch.Generator().manual_seed(8))
    others = rows.flip(1)
    others[3] = rows[3]
    got = []
    for batch in (rows, others):
        cache = model.new_cache(8, 16)
        prefill = model(batch[:, :11], cache, span=16)[3]
        cache.advance(11)
        got.append((prefill, model(batch[:, 11:], cache, span=16)[3]))
    assert all(torch.equal(first, second) for first, second in zip(*got, strict=True))


@pytest.mark.parametrize("layout", [pytest.param(Layout.PACKED, marks=needs_packing), Layout.WIDENED])
@torch.inference_mode()
def test_laid_out_weights_agree_with_plain_ones(calm_model: SpeechLM, layout: Layout) -> None:
    """Same bound as bf16 itself; the state of both caches is as close."""
    plain = copy.deepcopy(calm_model).bfloat16()
    other = copy.deepcopy(plain)
    other.lay_out(layout)
    rows = torch.randint(0, 800, (3, 20, 5), generator=torch.Generator().manual_seed(6))
    plain_cache, other_cache = plain.new_cache(3, 32), other.new_cache(3, 32)
    for part in (rows[:, :16], rows[:, 16:17], rows[:, 17:18]):
        want, got = plain(part, plain_cache), other(part, other_cache)
        assert ((want - got).abs().mean() / want.std()).item() < 0.02
        plain_cache.advance(part.shape[1])
        other_cache.advance(part.shape[1])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@torch.inference_mode()
def test_a_compiled_step_agrees_with_the_eager_one(tiny_mouth: Mouth) -> None:
    """One fixed shape for every step: all rows, the whole span. One layer of each kind, for the compiler's time."""
    config = tiny_mouth.config
    torch.manual_seed(0)
    model = SpeechLM(
        replace(
            config,
            backbone=replace(config.backbone, num_hidden_layers=1),
            adapter=replace(config.adapter, num_hidden_layers=1),
        )
    ).requires_grad_(False)
    compiled = torch.compile(model, fullgraph=True, dynamic=False)
    rows = torch.randint(0, 800, (3, 12, 5), generator=torch.Generator().manual_seed(5))
    eager_cache, compiled_cache = model.new_cache(3, 16), model.new_cache(3, 16)
    for cache in (eager_cache, compiled_cache):
        model(rows[:, :9], cache)
        cache.advance(9)
    counts = torch.tensor([1, 0, 1])
    for t in range(9, 12):
        part = rows[:, t : t + 1]
        got = compiled(part, compiled_cache, counts, 16)
        want = model(part, eager_cache, counts, 16)
        assert scaled_error(got[[0, 2]], want[[0, 2]]) < SAME
        eager_cache.advance(counts)
        compiled_cache.advance(counts)
