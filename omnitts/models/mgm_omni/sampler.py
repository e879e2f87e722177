"""Sampler: logits of many sequences in, one code per codebook out; every sequence has its own settings and generator.

Same processors, order and edge cases as transformers' (repetition penalty, temperature, top-k, top-p), each codebook
being a distribution of its own. Does not know what the codes mean. Source: specification 2.8.

Letters: B rows, K codes per step, V ids per codebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import torch
from torch import Tensor

from omnitts.errors import UsageError

DEFAULT_TEMPERATURE: Final = 0.3  # of the published command line
DEFAULT_TOP_K: Final = 50  # transformers' default, active although nobody sets it (trap 13)

_RANGES: Final = "temperature and top_k are 0 or more, top_p is above 0 and at most 1, repetition_penalty is above 0"


@dataclass(frozen=True)
class Sampling:
    """How one sequence chooses its codes.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `repetition_penalty` 1 are off. `UsageError` out of range.
    """

    temperature: float = DEFAULT_TEMPERATURE
    top_k: int = DEFAULT_TOP_K
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, ok in (
            ("temperature", self.temperature, self.temperature >= 0),
            ("top_k", self.top_k, self.top_k >= 0),
            ("top_p", self.top_p, 0 < self.top_p <= 1),
            ("repetition_penalty", self.repetition_penalty, self.repetition_penalty > 0),
        ):
            if not ok:
                raise UsageError(f"{name} cannot be {value}", hint=_RANGES)

    @classmethod
    def from_generation_config(cls, values: Mapping[str, Any], **overrides: Any) -> Sampling:
        """Settings of a checkpoint's generation_config.json, below those given here.

        Its temperature is not read: the reference always passes its own.
        """
        known = {field.name for field in fields(cls)} - {"temperature", "seed"}
        taken = {name: values[name] for name in known if values.get(name) is not None}
        return replace(cls(**taken), **overrides)

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0


class RowSampler:
    """Settings, random generator and history of one sequence.

    Its draws come from its generator alone, so they do not depend on the sequences beside it. `generator` replaces the
    one made from the seed (two models that draw in turn share one).
    """

    def __init__(
        self,
        sampling: Sampling,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        self.sampling = sampling
        self.generator = generator or torch.Generator(device=device).manual_seed(sampling.seed)
        self._seen: Tensor | None = None  # (K, V) bool
        self._unmarked: list[Sequence[int]] = []  # rows of K codes not yet in `_seen`

    @property
    def needs_history(self) -> bool:
        return self.sampling.repetition_penalty != 1

    def remember(self, codes: Sequence[int]) -> None:
        """Adds the K codes of the row that was kept (eos and pad included) to the history."""
        if self.needs_history:
            self._unmarked.append(codes)

    def with_history_of(self, other: RowSampler) -> RowSampler:
        """These settings and this generator, behind what another has spoken."""
        sampler = RowSampler(self.sampling, generator=self.generator)
        sampler._seen = None if other._seen is None else other._seen.clone()
        sampler._unmarked = list(other._unmarked)
        return sampler

    def spoken(self, like: Tensor) -> Tensor:
        """(K, V) bool, on the device of `like` (K, V): the codes each codebook has spoken."""
        if self._seen is None:
            self._seen = torch.zeros_like(like, dtype=torch.bool)
        if self._unmarked:
            self._seen.scatter_(1, torch.tensor(self._unmarked, device=like.device).T, True)
            self._unmarked.clear()
        return self._seen


def sample(logits: Tensor, rows: Sequence[RowSampler]) -> Tensor:
    """Chooses codes (B, K) from logits (B, K, V): greedy rows the best, the others by a draw of their own generator."""
    scores = process_scores(logits, rows)
    best = scores.argmax(dim=-1)
    if all(row.sampling.is_greedy for row in rows):
        return best
    # The draw torch.multinomial makes for one sample: the largest p / q with q exponential. One call of a row's
    # generator fills its (K, V), as the reference's single call does, so equal seeds give equal codes.
    noise = torch.ones_like(scores)
    for i, row in enumerate(rows):
        if not row.sampling.is_greedy:
            noise[i].exponential_(generator=row.generator)
    drawn = (scores.softmax(dim=-1) / noise).argmax(dim=-1)
    greedy = torch.tensor([row.sampling.is_greedy for row in rows], device=scores.device)
    return torch.where(greedy[:, None], best, drawn)


def process_scores(logits: Tensor, rows: Sequence[RowSampler]) -> Tensor:
    """Logits (B, K, V) after each row's processors; what may not be chosen is -inf. The input is left as it is."""
    settings = [row.sampling for row in rows]
    scores = logits
    if any(row.needs_history for row in rows):
        seen = torch.stack([row.spoken(logits[i]) for i, row in enumerate(rows)])
        penalty = _per_row([setting.repetition_penalty for setting in settings], logits)
        scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
    if all(setting.is_greedy for setting in settings):
        return scores
    scores = scores / _per_row([setting.temperature or 1.0 for setting in settings], logits)
    V = logits.shape[-1]
    scores = _keep_top_k(scores, [V if s.is_greedy else min(s.top_k or V, V) for s in settings])
    return _keep_top_p(scores, [1.0 if s.is_greedy else s.top_p for s in settings])


def _keep_top_k(scores: Tensor, top_k: Sequence[int]) -> Tensor:
    """-inf strictly below the k-th largest: ties with it stay."""
    V = scores.shape[-1]
    limited = [k for k in top_k if k < V]
    if not limited:
        return scores
    best = scores.topk(max(limited), dim=-1).values  # (B, K, max k)
    index = torch.tensor([min(k, max(limited)) - 1 for k in top_k], device=scores.device)
    threshold = best.gather(-1, index.view(-1, 1, 1).expand(-1, scores.shape[1], 1))
    threshold = threshold.masked_fill(_per_row(top_k, scores) >= V, float("-inf"))
    return scores.masked_fill(scores < threshold, float("-inf"))


def _keep_top_p(scores: Tensor, top_p: Sequence[float]) -> Tensor:
    """-inf for the least likely whose probabilities sum to at most 1 - p; the likeliest always stays."""
    if all(p >= 1 for p in top_p):
        return scores
    ordered, order = scores.sort(dim=-1)
    removed = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - _per_row(top_p, scores)
    removed &= _per_row(top_p, scores) < 1
    removed[..., -1] = False
    return scores.masked_fill(removed.scatter(-1, order, removed), float("-inf"))


def _per_row(values: Sequence[float], like: Tensor) -> Tensor:
    """One number per row as (B, 1, 1)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, 1, 1)
