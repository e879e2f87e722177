"""Slots against the plain batch, the feed table against the plain feed: row for row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.feed_table import CLOSES_CHUNK, CLOSES_TEXT, FeedTable, State, schedule
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import Entry, SpeechSlots, prefill
from omnitts.models.mgm_omni.text_feed import Failure, TextFeed
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenRun
from tests.models.mgm_omni.conftest import speech_run
from tests.models.mgm_omni.test_generate import sampling_of, wrong_rows
from tests.models.mgm_omni.utterances import make_entries, spoken_alone

MAX_ROWS = 8192


def random_texts(vocabulary: SpeechVocabulary, number: int) -> list[tuple[int, ...]]:
    """Texts of nothing, of blanks, of one token, of several chunks; blanks and sentence ends are common in them."""
    random = torch.Generator().manual_seed(5)
    ends = [i for i, flag in enumerate(vocabulary.ends_sentence) if flag]
    blanks = [i for i, flag in enumerate(vocabulary.is_blank_text) if flag]
    kinds = torch.tensor([ends[0], blanks[0], ends[-1], blanks[-1]])
    texts = [(), tuple(blanks[:3])]
    while len(texts) < number:
        length = int(torch.randint(1, 260, (1,), generator=random))
        plain = torch.randint(20, 400, (length,), generator=random)
        special = kinds[torch.randint(0, 4, (length,), generator=random)]
        chance = torch.rand(length, generator=random) < 0.15
        texts.append(tuple(torch.where(chance, special, plain).tolist()))
    return texts


def codes_for(vocabulary: SpeechVocabulary, num_steps: int, num_rows: int) -> Tensor:
    """(T, B, K) codes with long runs of blanks and, now and then, eos everywhere."""
    random = torch.Generator().manual_seed(6)
    codes = torch.randint(0, vocabulary.speech_eos, (num_steps, num_rows, 4), generator=random)
    blank = torch.rand(num_steps // 8 + 1, num_rows, 1, generator=random).repeat_interleave(8, 0)[:num_steps] < 0.3
    codes = torch.where(blank, min(vocabulary.blank_codes), codes)
    ended = torch.rand(num_steps, num_rows, 1, generator=random) < 0.05
    return torch.where(ended, vocabulary.speech_eos, codes)


def test_the_table_does_what_the_plain_feeds_do(tiny_mouth: Mouth) -> None:
    vocabulary = tiny_mouth.vocabulary
    texts = random_texts(vocabulary, 60)
    limits = [MAX_ROWS if i % 3 else 5 + 7 * i for i in range(len(texts))]
    feeds = [TextFeed(vocabulary, text, max_rows=limit) for text, limit in zip(texts, limits, strict=True)]
    spoken = [schedule(vocabulary, text) for text in texts]
    assert [feed.is_finished for feed in feeds] == [not text.ids for text in spoken]

    chosen = [i for i, text in enumerate(spoken) if text.ids]
    table = FeedTable(vocabulary, num_slots=len(chosen), max_rows=2500)
    table.enter(range(len(chosen)), [spoken[i] for i in chosen], [limits[i] + 1 for i in chosen])
    want: list[list[tuple[int, ...]]] = [[] for _ in chosen]
    for codes in codes_for(vocabulary, 2500, len(chosen)):
        if bool((table.states == State.FINISHED).all()):
            break
        _, active = table.advance(codes)
        for place, i in enumerate(chosen):
            assert bool(active[place]) is not feeds[i].is_finished
            if not feeds[i].is_finished:
                want[place].append(feeds[i].next_row(codes[place].tolist()))
    for place, i in enumerate(chosen):
        assert feeds[i].is_finished
        rows, failures = table.rows_and_failures(place)
        assert rows.tolist() == [list(row) for row in want[place]]
        assert failures == tuple(feeds[i].failures)
        assert len(rows) <= min(spoken[i].most_rows, limits[i] + 1)
    kinds = {failure for i in chosen for failure in feeds[i].failures}
    assert kinds == {Failure.BLANK_RUN, Failure.LENGTH, Failure.ROW_LIMIT}, "every rule was met"


def test_a_schedule_marks_where_chunks_and_text_close(tiny_mouth: Mouth) -> None:
    vocabulary = tiny_mouth.vocabulary
    blank = vocabulary.is_blank_text.index(1)
    word = next(
        i for i in range(vocabulary.text_size) if not (vocabulary.ends_sentence[i] or vocabulary.is_blank_text[i])
    )
    text = schedule(vocabulary, [blank, *[word] * 101, blank, word, blank])
    assert text.ids == (*[word] * 102, blank), "blanks are left out where a chunk begins, and only there"
    assert [place for place, close in enumerate(text.closes) if close] == [100, 102]
    assert (text.closes[100], text.closes[102]) == (CLOSES_CHUNK, CLOSES_TEXT)
    assert schedule(vocabulary, [*[word] * 101, blank]).closes[-1] == CLOSES_TEXT, "blanks left over open no chunk"


def through_slots(slots: SpeechSlots, entries: list[Entry], front: int) -> list[SpeechResult]:
    """As a scheduler would, in the simplest way: a slot that is free takes the next; all ``front`` slots step."""
    waiting = list(range(len(entries)))
    tenants: dict[int, int] = {}
    results: dict[int, SpeechResult] = {}
    while waiting or tenants:
        for slot in range(front):
            if slot not in tenants and waiting:
                tenants[slot] = waiting.pop(0)
                slots.enter([slot], [entries[tenants[slot]]])
        slots.step(front, slots.max_length)
        for slot in [slot for slot in tenants if slots.states[slot] == State.FINISHED]:
            results[tenants.pop(slot)] = slots.result(slot)
    return [results[i] for i in range(len(entries))]


@pytest.mark.parametrize("front", [64, 5])
def test_slots_say_what_single_sequences_say(tiny_mouth: Mouth, calm_model: SpeechLM, front: int) -> None:
    """64 sequences in three voices, in 64 slots (they leave at other times) and in 5 (they also join late)."""
    want = spoken_alone(calm_model, tiny_mouth.vocabulary, 64)
    slots = SpeechSlots(calm_model, tiny_mouth.vocabulary, num_slots=front, max_length=128)
    got = through_slots(slots, make_entries(calm_model, tiny_mouth.vocabulary, 64), front)
    for i in range(64):
        assert torch.equal(got[i].rows, want[i].rows), f"sequence {i} of {front} at once"
        assert got[i].failures == want[i].failures


def test_a_sequence_goes_on_where_it_is_moved(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:
    want = spoken_alone(calm_model, tiny_mouth.vocabulary, 3)[2]
    for on_device in (False, True):
        slots = SpeechSlots(calm_model, tiny_mouth.vocabulary, num_slots=4, max_length=128, on_device=on_device)
        entry = make_entries(calm_model, tiny_mouth.vocabulary, 3)[2]
        slots.enter([3, 1], [entry, entry])
        for _ in range(3):
            slots.step(4, 128)
        slots.move(3, 0)
        while slots.states[0] != State.FINISHED:
            slots.step(2, 128)
        moved, stayed = slots.result(0), slots.result(1)
        assert torch.equal(moved.rows, stayed.rows), "a draw depends on the seed, not on the slot"
        if not on_device:
            assert torch.equal(moved.rows, want.rows)


def test_a_slot_that_is_too_small_is_refused(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:
    slots = SpeechSlots(calm_model, tiny_mouth.vocabulary, num_slots=1, max_length=10)
    with pytest.raises(ValueError, match="positions"):
        slots.enter([0], make_entries(calm_model, tiny_mouth.vocabulary, 3)[:1])


@pytest.mark.golden("speechlm-generate")
def test_recorded_runs_in_slots(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    """The reference's rows, seed for seed, through prefix, feed table and slots."""
    run = speech_run(golden_run)
    vocabulary = run.mouth.vocabulary
    [prefix] = prefill(run.mouth.model, [run.prompt.rows])
    text = schedule(vocabulary, run.prompt.text_ids)
    entry = Entry(prefix, text, sampling_of(run), run.meta["max_new_tokens"] + 1)
    slots = SpeechSlots(run.mouth.model, vocabulary, num_slots=2, max_length=entry.most_positions)
    slots.enter([1], [entry])
    while slots.states[1] != State.FINISHED:
        slots.step(2, slots.max_length)
    result = slots.result(1)
    golden_record("rows in a slot", wrong_rows(result.rows, run.tensors["sequences"]), 0)
    assert bool({Failure.BLANK_RUN, Failure.LENGTH} & set(result.failures)) == run.meta["tts_error"]
