"""Scheduler: which sequences are spoken now. Waiting, running, finished, over a fixed pool of slots sized by memory.

Goes in: sequences, as they come. Comes out: each with its result, as it finishes. A sequence takes a slot as soon as
another leaves it. When memory runs out, all that runs goes back to waiting, half as many run from then on, and what
they say is the same. Where speech is steered (steering.py), a sequence takes a place of several slots, one for each of
its particles. Knows nothing of audio.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from omnitts.engines.memory import cache_budget, is_out_of_memory
from omnitts.engines.runner import Recorder, StepRunner, recorder_for
from omnitts.engines.sequence import Sequence
from omnitts.engines.steering import Steering
from omnitts.errors import EngineError
from omnitts.models.mgm_omni.feed_table import State
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import Entry, SpeechSlots
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.utilisation import Utilisation

logger = logging.getLogger(__name__)

USUAL_POSITIONS: Final = 1024  # prompt and rows of a piece of the usual length, with room
_ROUND_POSITIONS: Final = 64
DECODE: Final = "decode"


class Scheduler:
    """Continuous batching of one mouth."""

    def __init__(
        self,
        model: SpeechLM,
        vocabulary: SpeechVocabulary,
        *,
        most_at_once: int,
        budget: Callable[[torch.device], int] = cache_budget,
        recorder: Callable[[torch.device], Recorder | None] = recorder_for,
        on_device: bool | None = None,
        utilisation: Utilisation | None = None,
        steering: Steering | None = None,
    ) -> None:
        """``most_at_once``: sequences; ``budget``: bytes the pool may take on a device; ``on_device`` as for
        `SpeechSlots`.
        """
        self.most_at_once = most_at_once
        self.waiting: deque[Sequence] = deque()
        self.running: dict[int, Sequence] = {}  # by place
        self._model = model
        self._vocabulary = vocabulary
        self._budget = budget
        self._recorder_for = recorder
        self._on_device = on_device
        self._utilisation = utilisation or Utilisation()
        self._steering = steering
        self._width = steering.num_particles if steering else 1  # slots of a place
        self._slots: SpeechSlots | None = None
        self._runner: StepRunner | None = None
        self._free: list[int] = []  # places, a heap: the lowest is taken first, so that those in use stay in front
        self._step = 0
        self._watch: _Watch | None = None

    @property
    def num_open(self) -> int:
        return len(self.waiting) + len(self.running)

    def add(self, sequences: Iterable[Sequence]) -> None:
        self.waiting.extend(sequences)

    def clear(self) -> None:
        """Drops all that waits or runs: whoever wanted it has gone."""
        self.waiting.clear()
        for place in self.running:
            assert self._slots is not None
            for slot in self._slots_of(place):
                self._slots.leave(slot)
            heapq.heappush(self._free, place)
        self.running.clear()

    def step(self) -> list[Sequence]:
        """One more row for everything that runs, after those that fit have joined; returns what has finished.

        Raises `EngineError` when there is not even memory for one sequence.
        """
        finished = [sequence for sequence in self.waiting if not sequence.entry.text.ids]
        if finished:
            self.waiting = deque(sequence for sequence in self.waiting if sequence.entry.text.ids)
        if not self.num_open:
            return finished
        started_s = time.perf_counter()
        try:
            self._admit()
            finished += self._decode()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._back_off(error)
        taken_s = time.perf_counter() - started_s
        self._utilisation.add(DECODE, taken_s)
        for sequence in self.running.values():
            sequence.compute_s += taken_s / len(self.running)
        return finished

    # Joining --------------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Waiting sequences take free places, first come first served among those that fit.

        One that may outgrow the pool's slots waits until nothing runs; then a pool is made that fits it.
        """
        if not self.running and (self._slots is None or not any(map(self._fits, self.waiting))):
            self._make_pool()
        assert self._slots is not None
        joining: dict[int, Sequence] = {}
        passed: list[Sequence] = []
        while self.waiting and self._free:
            sequence = self.waiting.popleft()
            if self._fits(sequence):
                joining[heapq.heappop(self._free)] = sequence
            else:
                passed.append(sequence)
        self.waiting.extendleft(reversed(passed))
        if not joining:
            return
        self.running.update(joining)
        for sequence in joining.values():
            sequence.entered_at_step = self._step
        entered = [pair for place, sequence in joining.items() for pair in self._entries(place, sequence)]
        self._slots.enter([slot for slot, _ in entered], [entry for _, entry in entered])

    def _entries(self, place: int, sequence: Sequence) -> list[tuple[int, Entry]]:
        """What enters each slot of a place."""
        entry, slots = sequence.entry, self._slots_of(place)
        if self._steering is None:
            return [(slot, entry) for slot in slots]
        sequence.particles = self._steering.begin(sequence.sounds.labels, entry.sampling.seed)
        samplings = self._steering.samplings(entry.sampling)
        return [(slot, replace(entry, sampling=own)) for slot, own in zip(slots, samplings, strict=True)]

    def _slots_of(self, place: int) -> range:
        return range(place * self._width, (place + 1) * self._width)

    def _fits(self, sequence: Sequence) -> bool:
        return self._slots is not None and sequence.entry.most_positions <= self._slots.max_length

    def _make_pool(self) -> None:
        """A pool for all that waits now: slots as long as the longest may get, as many as memory allows."""
        self._slots = self._runner = self._watch = None  # the old one's memory first
        longest = max((sequence.entry.most_positions for sequence in self.waiting), default=0)
        length = -(-max(longest, USUAL_POSITIONS) // _ROUND_POSITIONS) * _ROUND_POSITIONS
        device = self._model.model.embed_tokens.weight.device
        width = self._width
        affordable = max(self._budget(device) // (length * width * self._model.bytes_per_position), 1)
        if affordable < self.most_at_once:
            logger.debug("memory for %d sequences of %d positions", affordable, length)
        num_places = min(self.most_at_once, affordable)
        slots = SpeechSlots(
            self._model, self._vocabulary, num_slots=num_places * width, max_length=length, on_device=self._on_device
        )
        self._slots = slots
        self._runner = StepRunner(
            lambda num_used, span: slots.step(num_used * width, span), num_places, self._recorder_for(device)
        )
        self._watch = _Watch(self._slots.states)
        self._free = list(range(num_places))

    # Decoding -------------------------------------------------------------------------------------------------------

    def _decode(self) -> list[Sequence]:
        """One step, and those that finished by it (on a GPU: by the step before, so that it waits for no one unless
        it is steered).
        """
        slots, runner, watch = self._slots, self._runner, self._watch
        assert slots is not None
        assert runner is not None
        assert watch is not None
        if not self.running:
            return []
        self._close_ranks(slots, runner)
        span = slots.span_for(max(sequence.length for sequence in self.running.values()))
        runner.run(max(self.running) + 1, span, slots.draws.shape_key)
        for place, sequence in self.running.items():
            sequence.num_rows += 1
            if sequence.particles is not None:
                sequence.particles.look(slots, place * self._width, sequence.num_rows, sequence.entry.prefix.length)
        seen, states = watch.look(self._step)
        self._step += 1
        done = [
            place
            for place, sequence in self.running.items()
            if sequence.entered_at_step <= seen
            and all(states[slot] == State.FINISHED for slot in self._slots_of(place))
        ]
        for place in done:  # may run out of memory: until all of them are through, they count as running
            self.running[place].finish([slots.result(slot) for slot in self._slots_of(place)])
        for place in done:
            heapq.heappush(self._free, place)
        return [self.running.pop(place) for place in done]

    def _close_ranks(self, slots: SpeechSlots, runner: StepRunner) -> None:
        """Moves the hindmost forward where that makes the step smaller. Holes that newcomers fill are left to them."""
        target = runner.bucket(len(self.running))
        while self.running and max(self.running) >= target:
            source = max(self.running)
            place = heapq.heappop(self._free)
            for old, new in zip(self._slots_of(source), self._slots_of(place), strict=True):
                slots.move(old, new)
            sequence = self.running.pop(source)
            sequence.entered_at_step = self._step  # what was seen of these slots before was another's
            self.running[place] = sequence
            heapq.heappush(self._free, source)

    # Running out of memory ------------------------------------------------------------------------------------------

    def _back_off(self, error: RuntimeError) -> None:
        """All that runs waits again, in its order, and half as many will run."""
        num_places = self._slots.num_slots // self._width if self._slots is not None else self.most_at_once
        again = sorted(self.running.values(), key=lambda sequence: sequence.entered_at_step)
        for sequence in again:
            sequence.start_again()
        self.waiting.extendleft(reversed(again))
        self.running.clear()
        self._slots = self._runner = self._watch = None
        if num_places == 1:
            hint = "close other programs, or use a smaller model, --dtype bf16 or another --device"
            if self._width > 1:
                hint += ", or fewer particles"
            raise EngineError("there is not enough memory to speak a single piece", hint=hint) from error
        self.most_at_once = num_places // 2
        logger.warning("out of memory with %d pieces at once: going on with %d", num_places, self.most_at_once)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Watch:
    """What state every slot is in: read at once on a CPU, and one step late from a GPU, which so does not idle."""

    def __init__(self, states: Tensor) -> None:
        self._states = states
        self._pending: tuple[int, Tensor, torch.cuda.Event] | None = None

    def look(self, step: int) -> tuple[int, list[int]]:
        """After step number ``step`` was started: the latest step known of, and the states after it."""
        if self._states.device.type != "cuda":
            return step, self._states.tolist()
        copy = torch.empty(self._states.shape, dtype=self._states.dtype, pin_memory=True)
        copy.copy_(self._states, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        before, self._pending = self._pending, (step, copy, event)
        if before is None:
            return -1, [int(State.SPEAKING)] * len(copy)
        before[2].synchronize()
        return before[0], before[1].tolist()
