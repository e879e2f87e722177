"""Shapes of a step: the smallest that covers, plain at first, recorded at the second time, replayed from then on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from omnitts.engines.runner import StepRunner, buckets, recorder_for
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.feed_table import State
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import SpeechSlots
from tests.models.mgm_omni.conftest import calm_model, tiny_mouth  # noqa: F401 - fixtures
from tests.models.mgm_omni.utterances import make_entries


class Tape:
    """A recorder that notes what it is asked to record and replays it by calling it."""

    def __init__(self) -> None:
        self.num_recorded = self.num_replayed = 0

    def record(self, call: Callable[[], None]) -> Callable[[], None]:
        self.num_recorded += 1

        def replay() -> None:
            self.num_replayed += 1
            call()

        return replay


@pytest.mark.parametrize(
    ("num_slots", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (64, (1, 2, 4, 8, 16, 32, 64))]
)
def test_buckets(num_slots: int, sizes: tuple[int, ...]) -> None:
    assert buckets(num_slots) == sizes


def test_a_step_runs_in_the_smallest_bucket() -> None:
    seen: list[tuple[int, int]] = []
    runner = StepRunner(lambda size, span: seen.append((size, span)), 6)
    for used in range(1, 7):
        runner.run(used, 64)
    assert [size for size, _ in seen] == [1, 2, 4, 4, 6, 6]


def test_a_shape_is_recorded_the_second_time_and_once() -> None:
    seen: list[tuple[int, int]] = []
    tape = Tape()
    runner = StepRunner(lambda size, span: seen.append((size, span)), 8, tape)
    for used, span, kind in ((3, 64, 0), (4, 64, 0), (3, 64, 0), (3, 128, 0), (3, 64, 1), (3, 64, 1)):
        runner.run(used, span, kind)
    assert (tape.num_recorded, tape.num_replayed) == (2, 3)
    assert len(seen) == 6, "recording alone runs nothing"


def test_a_cpu_has_nothing_to_record() -> None:
    assert recorder_for(torch.device("cpu")) is None


def test_a_replayed_step_is_a_step(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:  # noqa: F811
    """The device path as on a GPU, but for the graph itself: same rows with and without a recorder."""

    def speak(recorder: Tape | None) -> list[torch.Tensor]:
        slots = SpeechSlots(calm_model, tiny_mouth.vocabulary, num_slots=6, max_length=128, on_device=True)
        runner = StepRunner(slots.step, 6, recorder)
        slots.enter(range(6), make_entries(calm_model, tiny_mouth.vocabulary, 6))
        while bool((slots.states != State.FINISHED).any()):
            runner.run(6, 128, slots.draws.shape_key)
        return [slots.result(slot).rows for slot in range(6)]

    tape = Tape()
    for replayed, plain in zip(speak(tape), speak(None), strict=True):
        assert torch.equal(replayed, plain)
    assert tape.num_recorded == 1
    assert tape.num_replayed > 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_says_what_plain_steps_say(tiny_mouth: Mouth, calm_model: SpeechLM) -> None:  # noqa: F811
    import copy

    model = copy.deepcopy(calm_model).cuda()

    def speak(device: torch.device) -> list[torch.Tensor]:
        slots = SpeechSlots(model, tiny_mouth.vocabulary, num_slots=6, max_length=128)
        runner = StepRunner(slots.step, 6, recorder_for(device))
        slots.enter(range(6), make_entries(model, tiny_mouth.vocabulary, 6))
        while bool((slots.states != State.FINISHED).any()):
            runner.run(6, 128, slots.draws.shape_key)
        return [slots.result(slot).rows for slot in range(6)]

    for recorded, plain in zip(speak(torch.device("cuda")), speak(torch.device("cpu")), strict=True):
        assert torch.equal(recorded, plain)
