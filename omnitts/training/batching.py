"""Batches of utterances of similar length, in an order that depends on seed and epoch alone. Indices in and out."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

_JITTER: Final = 0.08  # lengths are sorted after being changed by up to this share, so that neighbours vary


def batches_of(
    indices: Sequence[int], seconds: Callable[[int], float], batch_s: float, seed: int, epoch: int
) -> list[Sequence[int]]:
    """Every index once, in batches of at most ``batch_s`` seconds once padded (or of one utterance), shuffled."""
    rng = random.Random(f"{seed} {epoch}")
    order = sorted(indices, key=lambda index: seconds(index) * (1 + rng.uniform(-_JITTER, _JITTER)))
    batches: list[list[int]] = []
    longest_s = 0.0
    for index in order:
        longest_s = max(longest_s, seconds(index))
        if not batches or longest_s * (len(batches[-1]) + 1) > batch_s:
            batches.append([])
            longest_s = seconds(index)
        batches[-1].append(index)
    rng.shuffle(batches)
    return list(batches)


def balanced(
    indices: Sequence[int],
    seconds: Callable[[int], float],
    speaker: Callable[[int], str],
    share: float,
    seed: int,
    epoch: int,
) -> list[int]:
    """The indices of one pass in which no speaker has much more than ``share`` of the seconds of all others' speech.

    Who has more gives another random part of it in every pass; order is kept. ``share`` 0 leaves all as it is.
    """
    if not share:
        return list(indices)
    rng = random.Random(f"{seed} {epoch} speakers")
    spoken_s: dict[str, float] = defaultdict(float)
    for index in indices:
        spoken_s[speaker(index)] += seconds(index)
    total_s = sum(spoken_s.values())
    kept = {name: min(1.0, share * (total_s - own_s) / own_s) for name, own_s in spoken_s.items()}
    if len(spoken_s) == 1:
        return list(indices)
    return [index for index in indices if kept[speaker(index)] >= 1 or rng.random() < kept[speaker(index)]]


def balanced_batches(
    indices: Sequence[int],
    seconds: Callable[[int], float],
    speaker: Callable[[int], str],
    share: float,
    batch_s: float,
    seed: int,
    epoch: int,
) -> list[Sequence[int]]:
    """The batches of one pass over what `balanced` leaves of the indices."""
    kept = balanced(indices, seconds, speaker, share, seed, epoch)
    return batches_of(kept, seconds, batch_s, seed, epoch)


def mixed(
    some: Sequence[int], others: Sequence[int], seconds: Callable[[int], float], share: float, seed: int, epoch: int
) -> list[int]:
    """Of both, as much as can be with ``share`` of the seconds from ``others``.

    What there is too much of is thinned out, another random part of it in every pass; order is kept.
    """
    some_s, others_s = (sum(seconds(index) for index in part) for part in (some, others))
    if not some_s or not others_s:
        return [*some, *others]
    most_s = min(own_s / part for own_s, part in ((some_s, 1 - share), (others_s, share)) if part > 0)
    rng = random.Random(f"{seed} {epoch} mixed")
    kept = (1 - share) * most_s / some_s, share * most_s / others_s
    return [index for part, chance in zip((some, others), kept, strict=True) for index in part if rng.random() < chance]
