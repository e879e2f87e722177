"""Word alignment: expected text and heard text in, a `Comparison` out: what is equal, missing, added, different.

jiwer aligns the canonical tokens of `text_equal`; regions that differ are then looked at again, so that compounds
("every one"), numbers said in another way and words that sound alike do not count as errors. Knows no thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import jiwer
from rapidfuzz import fuzz

from omnitts.pipeline.check.numbers_en import Token, digits_of
from omnitts.pipeline.check.sounds import NoSounds, Sounds
from omnitts.pipeline.check.text_equal import counts_characters, tokens_of

Kind = Literal["equal", "near", "different", "missing", "added"]
_MAX_REGION: Final = 60  # tokens a side; a larger difference is no misspelling
WINDOW: Final = 6  # steps
_RESEMBLES: Final = 50.0  # per cent of letters in common, in order
_MAX_JOIN: Final = 4  # words that can make one compound, number or name


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the alignment; ``expected`` and ``heard`` are words as written, ``*_at`` token indices."""

    kind: Kind
    expected: tuple[str, ...]
    heard: tuple[str, ...]
    expected_at: int
    heard_at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts side by side. Counts are in tokens: words, or characters for Chinese and Japanese."""

    steps: tuple[Step, ...]
    words: int
    heard_words: int
    errors: int
    missing: int
    longest_gap: int
    gap_text: str
    head_lost: int
    tail_lost: int
    worst_window: int
    head_insertions: int
    tail_insertions: int
    longest_insertion: int
    insertion_text: str
    repeats: int

    @property
    def wer(self) -> float:
        """Errors per expected token; 1.0 per added token where nothing was expected."""
        return self.errors / self.words if self.words else float(self.heard_words)

    @property
    def coverage(self) -> float:
        """Share of the expected tokens that were heard, as themselves or as something else in their place."""
        return 1 - self.missing / self.words if self.words else 1.0


def compare(expected: str, heard: str, language: str, sounds: Sounds | None = None) -> Comparison:
    """Aligns two texts after symmetric normalisation. ``sounds`` decides which different spellings sound alike."""
    first, second = tokens_of(expected, language), tokens_of(heard, language)
    forgiving = NoSounds() if counts_characters(language) else sounds or NoSounds()
    return compare_tokens(first, second, forgiving)


def compare_tokens(first: Sequence[Token], second: Sequence[Token], sounds: Sounds) -> Comparison:
    """`compare` for tokens that are at hand already."""
    steps: list[Step] = []
    for expected, heard in _regions(first, second):
        if [token.text for token in first[slice(*expected)]] == [token.text for token in second[slice(*heard)]]:
            pairs = zip(range(*expected), range(*heard), strict=True)
            steps += [_step("equal", first, (i, i + 1), second, (j, j + 1)) for i, j in pairs]
        else:
            steps += _look_again(first, expected, second, heard, sounds)
    return _summary(tuple(steps), first, second)


Range = tuple[int, int]


def _regions(first: Sequence[Token], second: Sequence[Token]) -> list[tuple[Range, Range]]:
    """Stretches that are equal, and between them stretches that are not, in order and without a gap."""
    if not first or not second:
        return [((0, len(first)), (0, len(second)))] if first or second else []
    output = jiwer.process_words(" ".join(t.text for t in first), " ".join(t.text for t in second))
    regions: list[tuple[Range, Range]] = []
    was_equal = True
    for chunk in output.alignments[0]:
        expected, heard = (chunk.ref_start_idx, chunk.ref_end_idx), (chunk.hyp_start_idx, chunk.hyp_end_idx)
        is_equal = chunk.type == "equal"
        if not is_equal and not was_equal:
            before = regions.pop()
            expected, heard = (before[0][0], expected[1]), (before[1][0], heard[1])
        regions.append((expected, heard))
        was_equal = is_equal
    return regions


def _look_again(
    first: Sequence[Token], expected: Range, second: Sequence[Token], heard: Range, sounds: Sounds
) -> list[Step]:
    """Best explanation of a region: up to `_MAX_JOIN` words on each side may stand for each other.

    Dynamic programming over both sides; the cost is `_COST` a word, and among equals fewer steps win.
    """
    rows, columns = expected[1] - expected[0], heard[1] - heard[0]
    joins = _MAX_JOIN if max(rows, columns) <= _MAX_REGION else 1
    best: dict[Range, tuple[float, Range, Kind]] = {(0, 0): (0.0, (0, 0), "equal")}
    for i in range(rows + 1):
        for j in range(columns + 1):
            here = best[i, j][0] if (i, j) in best else None
            if here is None:
                continue
            for a in range(min(joins, rows - i) + 1):
                for b in range(min(joins, columns - j) + 1):
                    if (a, b) == (0, 0) or (min(a, b) == 0 and max(a, b) > 1):
                        continue
                    left = first[expected[0] + i : expected[0] + i + a]
                    right = second[heard[0] + j : heard[0] + j + b]
                    kind = _kind(left, right, sounds)
                    if kind is None:
                        continue
                    num_words = 1 if kind == "different" else max(a, b)
                    cost = here + _COST[kind] * num_words + 0.001
                    target = (i + a, j + b)
                    if target not in best or cost < best[target][0]:
                        best[target] = (cost, (i, j), kind)
    steps = []
    place = (rows, columns)
    while place != (0, 0):
        _, origin, kind = best[place]
        spoken = (expected[0] + origin[0], expected[0] + place[0])
        listened = (heard[0] + origin[1], heard[0] + place[1])
        steps.append(_step(kind, first, spoken, second, listened))
        place = origin
    return steps[::-1]


# A little more for another word than for one missing or added: where the counts tie, found words go before pairs of
# strangers.
_COST: Final[dict[Kind, float]] = {"equal": 0.0, "near": 0.01, "different": 1.2, "missing": 1.0, "added": 1.0}


def _kind(left: Sequence[Token], right: Sequence[Token], sounds: Sounds) -> Kind | None:
    """What it means that these words were heard for those; None when they cannot stand for each other as a group."""
    if not right:
        return "missing"
    if not left:
        return "added"
    if _joined(left) == _joined(right) or _digits(left) == _digits(right):
        return "equal"
    expected, heard = [token.text for token in left], [token.text for token in right]
    if sounds.same(expected, heard):
        return "equal"
    if sounds.near([token.shown for token in left] if len(left) == 1 else expected, heard):
        return "near"
    return "different" if len(left) == len(right) == 1 or _misheard_contraction(left, right) else None


def _misheard_contraction(left: Sequence[Token], right: Sequence[Token]) -> bool:
    """ "that as" heard as "that has", which is one token because "that's" means it: one wrong word, none missing."""
    expected, heard = (" ".join(token.shown for token in side).lower() for side in (left, right))
    same_count = len(expected.split()) == len(heard.split())
    return same_count and len(left) != len(right) and fuzz.ratio(expected, heard) >= _RESEMBLES


def _joined(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)


def _digits(tokens: Sequence[Token]) -> str:
    """Numbers digit by digit and without "and", so that "three oh five" meets "305"."""
    return "".join(digits_of(token.text) for token in tokens if token.text != "and" or len(tokens) == 1)


def _step(kind: Kind, first: Sequence[Token], left: Range, second: Sequence[Token], right: Range) -> Step:
    return Step(
        kind,
        tuple(token.shown for token in first[slice(*left)]),
        tuple(token.shown for token in second[slice(*right)]),
        left[0],
        right[0],
    )


def _summary(steps: tuple[Step, ...], first: Sequence[Token], second: Sequence[Token]) -> Comparison:
    missing = [step.kind == "missing" for step in steps]
    added = [step.kind == "added" for step in steps]
    gap, insertion = _longest_run(missing), _longest_run(added)
    return Comparison(
        steps=steps,
        words=len(first),
        heard_words=len(second),
        errors=sum(1 for step in steps if step.kind in ("missing", "added", "different")),
        missing=sum(missing),
        longest_gap=gap[1] - gap[0],
        gap_text=" ".join(word for step in steps[slice(*gap)] for word in step.expected),
        head_lost=_lost(steps),
        tail_lost=_lost(steps[::-1]),
        worst_window=_worst_window(steps),
        head_insertions=_leading(added) if first else len(second),
        tail_insertions=_leading(added[::-1]) if first else 0,
        longest_insertion=insertion[1] - insertion[0],
        insertion_text=" ".join(word for step in steps[slice(*insertion)] for word in step.heard),
        repeats=_repeated(steps, second),
    )


def _leading(flags: Sequence[bool]) -> int:
    return next((place for place, flag in enumerate(flags) if not flag), len(flags))


def _lost(steps: Sequence[Step]) -> int:
    """Expected words at this end that were not heard there, nor anything like them ("fun" for the "friends" of a cut
    tail counts, "saves" for "saved" does not)."""
    lost = 0
    for step in steps:
        if step.kind in ("equal", "near"):
            break
        if step.kind == "different":
            expected, heard = "".join(step.expected).lower(), "".join(step.heard).lower()
            if fuzz.ratio(expected, heard) >= _RESEMBLES and len(heard) >= 0.75 * len(expected):
                break
        lost += len(step.expected)
    return lost


def _worst_window(steps: Sequence[Step]) -> int:
    """Most errors in any `WINDOW` consecutive steps: a stretch that went wrong in a long text that is right."""
    wrong = [step.kind in ("missing", "added", "different") for step in steps]
    return max((sum(wrong[at : at + WINDOW]) for at in range(max(1, len(wrong) - WINDOW + 1))), default=0)


def _longest_run(flags: Sequence[bool]) -> Range:
    best, start = (0, 0), 0
    for place, flag in enumerate([*flags, False]):
        if not flag:
            if place - start > best[1] - best[0]:
                best = (start, place)
            start = place + 1
    return best


def _repeated(steps: Sequence[Step], heard: Sequence[Token]) -> int:
    """Added words that say again what stands directly before or after them (a loop), the longest such run."""
    words = [token.text for token in heard]
    longest = 0
    place = 0
    while place < len(steps):
        run = _leading([step.kind != "added" for step in steps[place:]])
        start = place + run
        length = _leading([step.kind == "added" for step in steps[start:]])
        if length == 0:
            break
        at = steps[start].heard_at
        said = words[at : at + length]
        if said in (words[max(0, at - length) : at], words[at + length : at + 2 * length]):
            longest = max(longest, length)
        place = start + length
    return longest
