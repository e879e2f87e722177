"""Continuous batching over the tiny mouth: what is said depends on no neighbour, on no pool, on no lack of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from omnitts.engines.base import SpeechRequest
from omnitts.engines.prefixes import PrefixStore
from omnitts.engines.scheduler import DECODE, Scheduler
from omnitts.engines.sequence import Sequence
from omnitts.errors import EngineError
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.feed_table import schedule
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import Entry, SpeechSlots
from omnitts.utilisation import Utilisation
from tests.models.mgm_omni.conftest import calm_model, tiny_mouth  # noqa: F401 - fixtures
from tests.models.mgm_omni.utterances import spoken_alone, utterances

NUMBER = 64


@pytest.fixture(autouse=True)
def _short_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnitts.engines.scheduler.USUAL_POSITIONS", 64)


@pytest.fixture(scope="module")
def alone(tiny_mouth: Mouth, calm_model: SpeechLM) -> list[SpeechResult]:  # noqa: F811
    """Every utterance by itself, through the plain loop."""
    return spoken_alone(calm_model, tiny_mouth.vocabulary, NUMBER)


@pytest.fixture
def make(tiny_mouth: Mouth, calm_model: SpeechLM) -> Callable[[int], list[Sequence]]:  # noqa: F811
    def make_sequences(number: int) -> list[Sequence]:
        made = utterances(number)
        store = PrefixStore(calm_model, most=2)
        prefixes = [store.get({str(i % 3): prompt.rows})[str(i % 3)] for i, (prompt, _, _) in enumerate(made)]
        return [
            Sequence(
                SpeechRequest(str(i), ""),
                Entry(prefixes[i], schedule(tiny_mouth.vocabulary, prompt.text_ids), sampling, max_rows + 1),
            )
            for i, (prompt, sampling, max_rows) in enumerate(made)
        ]

    return make_sequences


@pytest.fixture
def open_scheduler(tiny_mouth: Mouth, calm_model: SpeechLM) -> Callable[..., Scheduler]:  # noqa: F811
    def make_scheduler(most_at_once: int, **options: object) -> Scheduler:
        return Scheduler(calm_model, tiny_mouth.vocabulary, most_at_once=most_at_once, **options)  # type: ignore[arg-type]

    return make_scheduler


def run_all(scheduler: Scheduler, sequences: list[Sequence], at_once: int = NUMBER) -> Iterator[Sequence]:
    """Requests come as there is room, as in an engine."""
    source = iter(sequences)
    while True:
        scheduler.add(sequence for _, sequence in zip(range(at_once - scheduler.num_open), source, strict=False))
        if not scheduler.num_open:
            return
        yield from scheduler.step()


def assert_said(finished: list[Sequence], want: list[SpeechResult]) -> None:
    assert sorted(int(sequence.request.key) for sequence in finished) == list(range(len(want)))
    for sequence in finished:
        expected = want[int(sequence.request.key)]
        assert sequence.result is not None
        assert torch.equal(sequence.result.rows, expected.rows), f"sequence {sequence.request.key}"
        assert sequence.result.failures == expected.failures


@pytest.mark.parametrize("slots", [NUMBER, 6])
def test_all_say_what_they_say_alone(
    open_scheduler: Callable[..., Scheduler],
    make: Callable[[int], list[Sequence]],
    alone: list[SpeechResult],
    slots: int,
) -> None:
    """64 rows that join late and leave early, the greatest number at once and a few."""
    used = Utilisation()
    scheduler = open_scheduler(slots, utilisation=used)
    finished = list(run_all(scheduler, make(NUMBER), at_once=slots + 3))
    assert_said(finished, alone)
    busy_s = used.busy_s(DECODE)
    assert 0 < sum(sequence.compute_s for sequence in finished) <= busy_s * 1.001


def test_a_long_one_waits_for_a_pool_of_its_own(
    open_scheduler: Callable[..., Scheduler],
    make: Callable[[int], list[Sequence]],
    alone: list[SpeechResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("omnitts.engines.scheduler.USUAL_POSITIONS", 1)
    monkeypatch.setattr("omnitts.engines.scheduler._ROUND_POSITIONS", 1)
    sequences = make(24)
    needs = [sequence.entry.most_positions for sequence in sequences]
    assert max(needs) > needs[0]
    scheduler = open_scheduler(4)
    finished = list(run_all(scheduler, sequences, at_once=6))
    assert_said(finished, alone[:24])


def test_the_pool_is_as_large_as_memory_allows(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], alone: list[SpeechResult]
) -> None:
    scheduler = open_scheduler(16, budget=lambda _: 3 * 64 * 2000)
    finished = list(run_all(scheduler, make(12)))
    assert scheduler._slots is not None
    bytes_per_position = scheduler._model.bytes_per_position
    assert scheduler._slots.num_slots == 3 * 2000 // bytes_per_position < 16
    assert_said(finished, alone[:12])


def test_out_of_memory_halves_the_batch_and_changes_nobodys_words(
    open_scheduler: Callable[..., Scheduler],
    make: Callable[[int], list[Sequence]],
    alone: list[SpeechResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The third step of a batch of more than 5 fails half-way, after feeds and draws have moved on."""
    plain_step, num_steps = SpeechSlots.step, 0

    def failing_step(self: SpeechSlots, num_slots: int, span: int) -> None:
        nonlocal num_steps
        num_steps += 1
        plain_step(self, num_slots, span)
        if num_slots > 5 and num_steps % 3 == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SpeechSlots, "step", failing_step)
    scheduler = open_scheduler(16)
    finished = list(run_all(scheduler, make(24), at_once=20))
    assert scheduler.most_at_once == 4
    assert_said(finished, alone[:24])


def test_not_even_one_fits(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(SpeechSlots, "step", failing)
    with pytest.raises(EngineError, match="not enough memory"):
        list(run_all(open_scheduler(4), make(4)))


def test_other_errors_are_not_taken_for_memory(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(SpeechSlots, "step", failing)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(run_all(open_scheduler(4), make(4)))


def test_those_left_move_to_the_front(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], alone: list[SpeechResult]
) -> None:
    """When nobody waits any more the step gets smaller with the number that still run."""
    scheduler = open_scheduler(16)
    widths = []
    finished = []
    scheduler.add(make(16))
    while scheduler.num_open:
        finished += scheduler.step()
        if scheduler.running:
            widths.append((max(scheduler.running) + 1, len(scheduler.running)))
    assert_said(finished, alone[:16])
    assert min(width for width, _ in widths) <= 2
    assert any(number < 16 for _, number in widths)


def test_what_nobody_wants_any_more_is_dropped(
    open_scheduler: Callable[..., Scheduler], make: Callable[[int], list[Sequence]], alone: list[SpeechResult]
) -> None:
    scheduler = open_scheduler(4)
    scheduler.add(make(8))
    scheduler.step()
    scheduler.clear()
    assert scheduler.num_open == 0
    assert scheduler.step() == []
    assert_said(list(run_all(scheduler, make(8), at_once=8)), alone[:8])
