"""Draws: codes for all slots at once, chosen on the device; each slot has its own settings, history and noise.

Goes in: logits of the slots in front. Comes out: one code per codebook and slot. Two kinds, with one face:
`GeneratorDraws` asks every row's own torch generator, as the reference does, and so gives its codes for its seeds;
`CounterDraws` computes the noise from (seed, step, codebook, code), so that nothing is done per row and a step can be
replayed as one graph. Both draw from the same distribution; the same seed gives other takes. Does not know what codes
mean.

Letters: S slots, B of them in front, K codes per step, V ids per codebook, C candidates per codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling

_GOLDEN = -0x61C8864680B583EB  # 2^64 / golden ratio, as a signed number: SplitMix64's step (Steele, Lea, Flood 2014)
_MIX_1, _MIX_2 = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # its two multipliers
_UNIFORM_BITS = 23  # so that a float32 holds the middle of each step exactly


class Draws(Protocol):
    """What a batch chooses its codes with."""

    def enter(self, slots: Sequence[int], samplings: Sequence[Sampling]) -> None:
        """New sequences with these settings take these slots."""
        ...

    def choose(self, logits: Tensor) -> Tensor:
        """Codes (B, K) from logits (B, K, V) of the slots in front."""
        ...

    def remember(self, codes: Tensor, active: Tensor) -> None:
        """The codes (B, K) that were kept, for slots where ``active`` (B,) says so."""
        ...

    def move(self, source: int, target: int) -> None: ...

    def rearrange(self, first: int, index: Tensor) -> None:
        """Slot ``first + i`` has the history of slot ``first + index[i]``; settings and noise stay each slot's own."""
        ...

    @property
    def shape_key(self) -> tuple[int | bool, ...]:
        """Changes when `choose` does other work than before, so that a recorded step no longer stands for it."""
        ...


class GeneratorDraws:
    """One `RowSampler` per slot: the plain sampler, and the reference's codes. Works row by row on the host."""

    def __init__(self, num_slots: int, device: torch.device | str = "cpu") -> None:
        self._device = device
        self._idle = RowSampler(Sampling(temperature=0.0), device)
        self._samplers = [self._idle] * num_slots

    @property
    def shape_key(self) -> tuple[int | bool, ...]:
        return ()

    def enter(self, slots: Sequence[int], samplings: Sequence[Sampling]) -> None:
        for slot, sampling in zip(slots, samplings, strict=True):
            self._samplers[slot] = RowSampler(sampling, self._device)

    def choose(self, logits: Tensor) -> Tensor:
        return sampler.sample(logits, self._samplers[: len(logits)])

    def remember(self, codes: Tensor, active: Tensor) -> None:
        if not any(row.needs_history for row in self._samplers[: len(codes)]):
            return
        for row, kept, is_active in zip(self._samplers, codes.tolist(), active.tolist(), strict=False):
            if is_active:
                row.remember(kept)

    def move(self, source: int, target: int) -> None:
        self._samplers[target], self._samplers[source] = self._samplers[source], self._idle

    def rearrange(self, first: int, index: Tensor) -> None:
        before = self._samplers[first : first + len(index)]
        for place, source in enumerate(index.tolist()):
            if source != place:
                self._samplers[first + place] = before[place].with_history_of(before[source])


class CounterDraws:
    """Settings as columns of numbers, noise as a function of them; nothing is read by the host.

    Only the C likeliest codes get noise where every slot limits its choice to C or fewer (`top_k`): with V = 6563 and
    the usual 50 that is a hundredth of the work. Ties with the k-th are cut to k (the plain sampler keeps them all).
    """

    def __init__(
        self, *, num_slots: int, codes_per_row: int, codebook_size: int, device: torch.device | str = "cpu"
    ) -> None:
        K, V = codes_per_row, codebook_size
        self._device = torch.device(device)
        self._numbers = torch.ones(3, num_slots, device=device)  # temperature (0: greedy), top_p, repetition penalty
        self._counters = torch.zeros(3, num_slots, dtype=torch.int64, device=device)  # top_k, key, draws so far
        self._counters[0] = 1
        self._shape = (K, V)
        self._seen = torch.zeros(num_slots, 0, 0, dtype=torch.bool, device=device)
        self._num_candidates = 1
        self._is_sampled = self._is_greedy = self._has_top_p = self._has_penalty = False

    @property
    def shape_key(self) -> tuple[int | bool, ...]:
        return (self._num_candidates, self._is_sampled, self._is_greedy, self._has_top_p, self._has_penalty)

    def enter(self, slots: Sequence[int], samplings: Sequence[Sampling]) -> None:
        V = self._shape[1]
        top_k = [1 if s.is_greedy else min(s.top_k or V, V) for s in samplings]
        self._num_candidates = max(self._num_candidates, *top_k)
        self._is_sampled |= any(not s.is_greedy for s in samplings)
        self._is_greedy |= any(s.is_greedy for s in samplings)
        self._has_top_p |= any(s.top_p < 1 and not s.is_greedy for s in samplings)
        places = torch.tensor(slots, device=self._device)
        numbers = torch.tensor([(s.temperature, s.top_p, s.repetition_penalty) for s in samplings]).T
        counters = torch.tensor([(k, key_of_seed(s.seed), 0) for k, s in zip(top_k, samplings, strict=True)]).T
        self._numbers[:, places] = numbers.to(self._device)
        self._counters[:, places] = counters.to(self._device)
        if any(s.repetition_penalty != 1 for s in samplings) and not self._has_penalty:
            self._has_penalty = True
            self._seen = self._seen.new_zeros(len(self._seen), *self._shape)
        if self._has_penalty:
            self._seen[places] = False

    def choose(self, logits: Tensor) -> Tensor:
        B = len(logits)
        temperature, top_p, penalty = (column[:, None, None] for column in self._numbers[:, :B])
        top_k, key, num_draws = (column[:, None, None] for column in self._counters[:, :B])
        scores = logits
        if self._has_penalty:
            punished = torch.where(scores < 0, scores * penalty, scores / penalty)
            scores = torch.where(self._seen[:B], punished, scores)
        if not self._is_sampled:
            return scores.argmax(dim=-1)
        best, codes = scores.topk(self._num_candidates, dim=-1)  # (B, K, C), falling
        is_greedy = temperature == 0
        best = best / torch.where(is_greedy, 1.0, temperature)
        rank = torch.arange(best.shape[-1], device=logits.device)
        best = best.masked_fill(rank >= top_k, float("-inf"))
        if self._has_top_p:
            # What is less likely than a code, itself included: where that is at most 1 - p the code goes.
            below = best.flip(-1).softmax(dim=-1).cumsum(dim=-1).flip(-1)
            dropped = (below <= 1 - top_p) & (rank > 0) & (top_p < 1)
            best = best.masked_fill(dropped, float("-inf"))
        noise = exponential(key, num_draws, codes + self._shape[1] * _codebooks(self._shape[0], logits.device))
        drawn = codes.gather(-1, (best.softmax(dim=-1) / noise).argmax(dim=-1, keepdim=True))[..., 0]
        self._counters[2, :B] += 1
        return torch.where(is_greedy[..., 0], scores.argmax(dim=-1), drawn) if self._is_greedy else drawn

    def remember(self, codes: Tensor, active: Tensor) -> None:
        if self._has_penalty:
            mine = self._seen[: len(codes)]
            mine.scatter_(2, codes[..., None], mine.gather(2, codes[..., None]) | active[:, None, None])

    def move(self, source: int, target: int) -> None:
        self._numbers[:, target] = self._numbers[:, source]
        self._counters[:, target] = self._counters[:, source]
        if self._has_penalty:
            self._seen[target] = self._seen[source]

    def rearrange(self, first: int, index: Tensor) -> None:
        if self._has_penalty:
            last = first + len(index)
            self._seen[first:last] = self._seen[first:last][index]


def key_of_seed(seed: int) -> int:
    """A 64-bit key, signed: mixed, so that neighbouring seeds have nothing in common."""
    return int(_mixed(torch.tensor(seed & 0x7FFFFFFFFFFFFFFF, dtype=torch.int64) + _GOLDEN))


def exponential(key: Tensor, draw: Tensor, place: Tensor) -> Tensor:
    """Noise of the exponential distribution, float32, the same for equal (key, draw, place) on every device.

    key, draw and place are int64 and broadcast. SplitMix64 as a function of its counter: the draw picks a stream
    of the key, the place a number of that stream.
    """
    stream = _mixed(key + _GOLDEN * (draw + 1))
    bits = _mixed(stream + _GOLDEN * (place + 1))
    uniform = ((bits >> (64 - _UNIFORM_BITS)) & ((1 << _UNIFORM_BITS) - 1)).float()
    return -torch.log((uniform + 0.5) * 2.0**-_UNIFORM_BITS)  # never 0 or infinite


def _mixed(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64 that wraps; the masks make its shifts those of unsigned numbers."""
    bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * _MIX_1
    bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)


def _codebooks(num_codebooks: int, device: torch.device) -> Tensor:
    return torch.arange(num_codebooks, device=device)[:, None]
