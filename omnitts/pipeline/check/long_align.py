"""Aligning a whole book with hours of transcript: anchors first, then the gaps between them. Memory stays linear.

Two token lists in, the steps of `wer` out. Word runs that occur once in both texts and in the same order (a longest
rising chain of them) pin the texts together; what lies between two pins is short and aligned exactly. A gap too large
for that and without anchors is not one text read badly but two texts: it becomes missing and added words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from omnitts.pipeline.check.numbers_en import Token
from omnitts.pipeline.check.sounds import Sounds
from omnitts.pipeline.check.wer import Range, Step, compare_tokens

ANCHOR_WORDS: Final = (5, 3, 2)  # run lengths tried in turn, longest first
MAX_CELLS: Final = 250_000  # of an exact alignment, 500 by 500 words


def align_long(first: Sequence[Token], second: Sequence[Token], sounds: Sounds) -> Iterator[Step]:
    """Steps over both texts in order; ``expected_at`` and ``heard_at`` index the whole lists."""
    pending: list[tuple[Range, Range, int]] = [((0, len(first)), (0, len(second)), 0)]
    while pending:
        expected, heard, level = pending.pop()
        rows, columns = expected[1] - expected[0], heard[1] - heard[0]
        if (
            rows == columns == 1 and first[expected[0]].text == second[heard[0]].text
        ):  # most of a book, between two pins
            yield Step("equal", (first[expected[0]].shown,), (second[heard[0]].shown,), expected[0], heard[0])
            continue
        if min(rows, columns) == 0 or rows * columns <= MAX_CELLS:
            part = compare_tokens(first[slice(*expected)], second[slice(*heard)], sounds)
            yield from (_moved(step, expected[0], heard[0]) for step in part.steps)
            continue
        if level == len(ANCHOR_WORDS):
            for gap in ((expected, (heard[0], heard[0])), ((expected[1], expected[1]), heard)):
                part = compare_tokens(first[slice(*gap[0])], second[slice(*gap[1])], sounds)
                yield from (_moved(step, gap[0][0], gap[1][0]) for step in part.steps)
            continue
        pins = _anchors(first, expected, second, heard, ANCHOR_WORDS[level])
        edges = [(expected[0], heard[0]), *pins, (expected[1], heard[1])]
        for (i, j), (k, m) in reversed(list(pairwise(edges))):
            pending.append(((i, k), (j, m), level + 1))


def _moved(step: Step, expected_by: int, heard_by: int) -> Step:
    return Step(step.kind, step.expected, step.heard, step.expected_at + expected_by, step.heard_at + heard_by)


def _anchors(
    first: Sequence[Token], expected: Range, second: Sequence[Token], heard: Range, length: int
) -> list[tuple[int, int]]:
    """Places (expected, heard) of runs that occur once on each side, thinned to a chain that rises in both."""
    left, right = _once(first, expected, length), _once(second, heard, length)
    places = sorted((at, right[run]) for run, at in left.items() if run in right)
    return _rising(places)


def _once(tokens: Sequence[Token], within: Range, length: int) -> dict[tuple[str, ...], int]:
    seen: dict[tuple[str, ...], int] = {}
    for at in range(within[0], within[1] - length + 1):
        run = tuple(token.text for token in tokens[at : at + length])
        seen[run] = -1 if run in seen else at
    return {run: at for run, at in seen.items() if at >= 0}


def _rising(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Longest chain whose second numbers rise too (patience sorting)."""
    tops: list[int] = []
    owners: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(places):
        pile = bisect_left(tops, j)
        before.append(owners[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(j)
            owners.append(number)
        else:
            tops[pile], owners[pile] = j, number
    chain: list[tuple[int, int]] = []
    number = owners[-1] if owners else -1
    while number >= 0:
        chain.append(places[number])
        number = before[number]
    return chain[::-1]
