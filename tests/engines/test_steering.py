"""Steered speech spells better than speech drawn blindly, and depends on no neighbour, no pool, no lack of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from omnitts.engines.base import SpeechRequest
from omnitts.engines.scheduler import Scheduler
from omnitts.engines.sequence import Sequence
from omnitts.engines.steering import Particles, Steering, seed_of
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.feed_table import schedule
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_rows import codes_so_far, speech_codes
from omnitts.models.mgm_omni.speech_slots import Entry, Prefix, SpeechSlots, prefill
from omnitts.models.mgm_omni.text_feed import Failure
from omnitts.models.reading.labels import Sounds
from tests.models.mgm_omni.conftest import calm_model, tiny_mouth  # noqa: F401 - fixtures
from tests.models.reading.random_reader import random_text_reader

LEVELS = (3,) * 8  # as many codes as published
DROPPED_ROWS = 2
ROWS = 14


@pytest.fixture(autouse=True)
def _short_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnitts.engines.scheduler.USUAL_POSITIONS", 64)


@pytest.fixture
def prefix(calm_model: SpeechLM) -> Prefix:  # noqa: F811
    [made] = prefill(calm_model, [torch.randint(0, 800, (9, 5), generator=torch.Generator().manual_seed(2))])
    return made


@pytest.fixture
def make(tiny_mouth: Mouth, prefix: Prefix) -> Callable[[int], list[Sequence]]:  # noqa: F811
    """Sequences of some lengths, each with labels for what it should say."""

    def make_sequences(number: int) -> list[Sequence]:
        random = torch.Generator().manual_seed(3)
        made = []
        for i in range(number):
            ids = torch.randint(20, 800, (30,), generator=random).tolist()
            labels = tuple(torch.randint(1, 27, (6 + i % 4,), generator=random).tolist())
            sampling = Sampling(temperature=1.0, repetition_penalty=(1.0, 1.1)[i % 2], seed=i)
            entry = Entry(prefix, schedule(tiny_mouth.vocabulary, ids), sampling, ROWS + i % 5)
            made.append(Sequence(SpeechRequest(str(i), ""), entry, Sounds(labels)))
        return made

    return make_sequences


@pytest.fixture
def open_scheduler(tiny_mouth: Mouth, calm_model: SpeechLM) -> Callable[..., Scheduler]:  # noqa: F811
    def make_scheduler(most_at_once: int, num_particles: int = 4, **options: object) -> Scheduler:
        steering = Steering(random_text_reader(LEVELS), tiny_mouth.vocabulary, DROPPED_ROWS, num_particles)
        options = {"on_device": True, **options}
        return Scheduler(
            calm_model,
            tiny_mouth.vocabulary,
            most_at_once=most_at_once,
            steering=steering,
            **options,  # type: ignore[arg-type]
        )

    return make_scheduler


def run_all(scheduler: Scheduler, sequences: list[Sequence]) -> Iterator[Sequence]:
    scheduler.add(sequences)
    while scheduler.num_open:
        yield from scheduler.step()


def said(finished: Iterator[Sequence]) -> dict[str, list[list[int]]]:
    found = {}
    for sequence in finished:
        assert sequence.result is not None
        found[sequence.request.key] = sequence.result.rows.tolist()
    return found


@pytest.mark.parametrize("on_device", [True, False])
def test_nobody_changes_what_a_neighbour_says(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], on_device: bool
) -> None:
    alone = {
        key: rows
        for sequence in make(9)
        for key, rows in said(run_all(open_scheduler(1, on_device=on_device), [sequence])).items()
    }
    for at_once in (3, 8):
        assert said(run_all(open_scheduler(at_once, on_device=on_device), make(9))) == alone


def test_out_of_memory_changes_nobodys_words(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = said(run_all(open_scheduler(8), make(8)))
    plain_step, num_steps = SpeechSlots.step, 0

    def failing_step(self: SpeechSlots, num_slots: int, span: int) -> None:
        nonlocal num_steps
        num_steps += 1
        plain_step(self, num_slots, span)
        if num_slots > 16 and num_steps % 5 == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SpeechSlots, "step", failing_step)
    scheduler = open_scheduler(8)
    assert said(run_all(scheduler, make(8))) == usual
    assert scheduler.most_at_once == 4


def test_out_of_memory_at_the_end_loses_nothing(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Choosing the best particle reads whole takes: several that finish together, and memory is short at the second."""
    together = [replace(sequence, entry=replace(sequence.entry, row_limit=ROWS)) for sequence in make(4)]
    usual = said(run_all(open_scheduler(4), [replace(sequence) for sequence in together]))
    plain_best, num_chosen = Particles.best, 0

    def failing_best(self: Particles, results: list[SpeechResult]) -> tuple[SpeechResult, float]:
        nonlocal num_chosen
        num_chosen += 1
        if num_chosen == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain_best(self, results)

    monkeypatch.setattr(Particles, "best", failing_best)
    assert said(run_all(open_scheduler(4), together)) == usual
    assert num_chosen > 4


def test_without_labels_a_particle_that_went_well_is_chosen(tiny_mouth: Mouth) -> None:  # noqa: F811
    steering = Steering(random_text_reader(LEVELS), tiny_mouth.vocabulary, DROPPED_ROWS, 2)
    bad, good = (SpeechResult(torch.zeros(1, 5), failures) for failures in ((Failure.BLANK_RUN,), ()))
    assert steering.begin((), 0).best([bad, good])[0] is good


def test_a_reader_who_follows_finds_better_speech(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]]
) -> None:
    def misread(num_particles: int) -> float:
        finished = list(run_all(open_scheduler(12, num_particles), make(12)))
        return sum(sequence.misread for sequence in finished) / len(finished)

    assert misread(16) < 0.85 * misread(1)


def test_drawing_again_helps_more_than_choosing_at_the_end(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def misread() -> float:
        finished = list(run_all(open_scheduler(12, 8), make(24)))
        return sum(sequence.misread for sequence in finished) / len(finished)

    steered = misread()
    monkeypatch.setattr("omnitts.engines.steering._CROWDED", 0.0)
    assert steered < misread()


def test_without_labels_it_speaks_all_the_same(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]]
) -> None:
    sequences = make(3)
    for sequence in sequences:
        sequence.sounds = Sounds()
    found = said(run_all(open_scheduler(2), sequences))
    assert sorted(found) == ["0", "1", "2"]
    assert all(found.values())


def test_slots_go_on_from_another_with_noise_of_their_own(
    tiny_mouth: Mouth,  # noqa: F811
    calm_model: SpeechLM,  # noqa: F811
    prefix: Prefix,
) -> None:
    """Behind a rearrangement each slot has the source's rows, and draws what its own seed draws there."""
    text = schedule(tiny_mouth.vocabulary, range(30, 60))
    for on_device in (True, False):
        samplings = [Sampling(temperature=1.0, repetition_penalty=1.2, seed=seed) for seed in (5, 6, 7)]
        slots = SpeechSlots(calm_model, tiny_mouth.vocabulary, num_slots=4, max_length=64, on_device=on_device)
        slots.enter([1, 2, 3], [Entry(prefix, text, sampling, 20) for sampling in samplings])
        span = slots.span_for(40)
        for _ in range(6):
            slots.step(4, span)
        before = [slots.result(slot).rows for slot in (1, 2, 3)]
        slots.rearrange(1, torch.tensor([2, 1, 2]), prefix.length)
        after = [slots.result(slot).rows for slot in (1, 2, 3)]
        assert [rows.tolist() for rows in after] == [before[source].tolist() for source in (2, 1, 2)]
        assert not torch.equal(before[0], before[2])
        slots.step(4, span)
        first, _, third = (slots.last_row(slot) for slot in (1, 2, 3))
        assert first != third, "one past, other noise"
        for _ in range(20):
            slots.step(4, span)
        assert len(slots.result(1).rows) == 20


def test_what_is_heard_so_far_is_what_is_heard_in_the_end(tiny_mouth: Mouth) -> None:  # noqa: F811
    """Two chunks, rows that are dropped, ends, and rows that another sequence left behind."""
    vocabulary = tiny_mouth.vocabulary
    random = torch.Generator().manual_seed(1)
    rows = torch.randint(0, vocabulary.speech_eos, (2, 16, 5), generator=random)
    rows[..., 0] = vocabulary.text_pad
    rows[0, 5, 1:], rows[0, 6, 0] = vocabulary.speech_eos, vocabulary.audio_sep
    rows[0, 6, 1:] = vocabulary.speech_pad
    rows[0, 12, 1:], rows[0, 13, 0] = vocabulary.speech_eos, vocabulary.audio_end
    counts = torch.tensor([15, 16])  # the first has finished; what stands behind is stale
    codes, lengths, has_ended = codes_so_far(rows, counts, vocabulary, DROPPED_ROWS)
    assert has_ended.tolist() == [True, False]
    assert lengths.tolist() == [13 * 4, 16 * 4]
    heard = [place for place in range(16) if place in (2, 3, 4, 9, 10, 11)]
    whole = speech_codes(rows[0, :15], vocabulary, DROPPED_ROWS)
    assert codes[0].view(16, 4)[heard].flatten().tolist() == whole.tolist()
    silent = [place for place in range(16) if place not in heard]
    assert set(codes[0].view(16, 4)[silent].flatten().tolist()) == {vocabulary.silence_code}
    assert codes[1].view(16, 4)[2:].tolist() == rows[1, 2:, 1:].tolist()


def test_seeds_of_particles_have_nothing_in_common() -> None:
    seeds = [seed_of(seed, place) for seed in range(40) for place in range(-1, 16)]
    assert len(set(seeds)) == len(seeds)
    assert all(seed_of(seed, 0) == seed for seed in range(40))
