"""Steering: a text is said many times at once, and a reader who follows along drops the takes that go wrong.

The four codes of a row are drawn independently of each other, so a small model often slips where it knows better. A
particle filter (sequential Monte Carlo; Doucet and Johansen 2009, for language models arXiv 2306.03081) mends that:
each sequence has a few particles, each draws its own codes; after every other row they are drawn again, if need be, in
proportion to how well their codes have spelled the text since the last time, so a slip of a sound costs a particle its
place within half a second. Goes in: the slots of one sequence, and the labels of its text. Comes out: the result
that spells it best. Sees no scheduler. Letter: N particles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_rows import codes_so_far, speech_codes
from omnitts.models.mgm_omni.speech_slots import SpeechSlots
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.models.reading.spelling_score import SpellingScore
from omnitts.models.reading.text_reader import TextReader

_ROWS_BETWEEN: Final = 2  # one look of the reader and the next
_CROWDED: Final = 0.7  # particles are drawn again when fewer than this share of them carry the weight


class Steering:
    """Of one model: who reads, and how many particles a sequence has."""

    def __init__(self, reader: TextReader, vocabulary: SpeechVocabulary, dropped_rows: int, num_particles: int) -> None:
        self.reader, self.num_particles = reader, num_particles
        self._vocabulary, self._dropped_rows = vocabulary, dropped_rows

    def begin(self, labels: Sequence[int], seed: int) -> Particles:
        """For a sequence that takes its slots now. ``labels`` may be empty: nobody can follow then."""
        return Particles(self, tuple(labels), seed)

    def samplings(self, sampling: Sampling) -> list[Sampling]:
        """Each particle's: the sequence's own, but for the seed."""
        return [replace(sampling, seed=seed_of(sampling.seed, place)) for place in range(self.num_particles)]

    def codes_so_far(self, rows: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return codes_so_far(rows, counts, self._vocabulary, self._dropped_rows)

    def codes(self, result: SpeechResult) -> list[int]:
        return speech_codes(result.rows, self._vocabulary, self._dropped_rows).tolist()


class Particles:
    """The particles of one sequence, in neighbouring slots."""

    def __init__(self, steering: Steering, labels: tuple[int, ...], seed: int) -> None:
        self._steering, self._labels = steering, labels
        self._random = torch.Generator().manual_seed(seed_of(seed, -1))
        self._score: SpellingScore | None = None
        if labels:
            self._score = SpellingScore(steering.reader.codes, [labels] * steering.num_particles)
        self._before: Tensor | None = None  # scores when they were drawn again last: what came since weighs

    @torch.inference_mode()
    def look(self, slots: SpeechSlots, first: int, num_rows: int, since: int) -> None:
        """After each step: the particles in the slots from ``first`` on have ``num_rows`` rows, or have finished.

        ``since``: cache positions of the prompt, which they share.
        """
        N = self._steering.num_particles
        if self._score is None or num_rows % _ROWS_BETWEEN:
            return
        codes, lengths, has_ended = self._steering.codes_so_far(*slots.made(first, N))
        self._score.read_on(codes, lengths)
        now = self._score.scores(has_ended)
        index = self._drawn_again(now if self._before is None else now - self._before)
        if index is not None:
            slots.rearrange(first, index, since)
            self._score.reorder(index)
            self._before = now[index]

    def best(self, results: Sequence[SpeechResult]) -> tuple[SpeechResult, float]:
        """The result that spells the text best, one without a failure before any other, and its share of misread
        labels (0 where nobody can tell).
        """
        if not self._labels:
            return min(results, key=lambda result: bool(result.failures)), 0.0
        reader, found = self._steering.reader, []
        for result in results:
            codes = self._steering.codes(result)
            if codes:
                found.append((bool(result.failures), reader.spelling(codes, self._labels), result))
        if not found:
            return results[0], 1.0
        _, spelling, best = min(found, key=lambda item: item[:2])
        return best, spelling.misread

    def _drawn_again(self, gains: Tensor) -> Tensor | None:
        """(N,) which particles go on, by gains (N,) in nats: systematic resampling. None: each of them as it is."""
        N = len(gains)
        weights = gains.softmax(dim=0)
        if 1 / weights.square().sum() >= _CROWDED * N:
            return None
        chance = torch.rand(1, generator=self._random).to(gains.device)
        places = (torch.arange(N, device=gains.device) + chance) / N
        return torch.searchsorted(weights.cumsum(dim=0), places).clamp(max=N - 1)


def seed_of(seed: int, place: int) -> int:
    """A seed of its own for every particle of every seed; the first particle has the sequence's."""
    if place == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {place}".encode()).digest()[:7], "big")
