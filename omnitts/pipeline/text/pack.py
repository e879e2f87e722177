"""Sentences in, pieces out: packed by estimated seconds, so that no piece is too long or too short to speak well.

Knows nothing of how text is normalised. A piece never mixes speakers or languages and never crosses a pause that the
listener must hear: a heading's, a scene break's, one asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from omnitts.pipeline.text.options import Piece, TextOptions
from omnitts.types import Pause, Span

_JOINT_S: Final = 0.27  # what joining two sentences adds at most: a blank, an end mark, a breath
_JOINABLE: Final = frozenset({Pause.CLAUSE, Pause.SENTENCE, Pause.PARAGRAPH})


@dataclass(slots=True)
class Atom:
    """What packing never divides: a sentence, or a part of one that is longer than the budget.

    ``start`` is its place in the chapter's text. ``asked_pause_s`` is set by markup and overrides ``pause``.
    ``is_alone`` keeps it apart from all others (headings of their own, lines of an edited dump).
    """

    start: int
    spoken: str
    seconds: float
    pause: Pause
    speaker: str
    language: str
    block_idx: int
    source: str
    is_heading: bool = False
    is_alone: bool = False
    asked_pause_s: float | None = None


def pack(atoms: Sequence[Atom], text_length: int, options: TextOptions) -> Iterator[Piece]:
    """Pieces of one chapter. Each owns the text from its first atom to the next piece; the first begins at 0."""
    groups = [group for segment in _segments(atoms) for group in _fill(segment, options)]
    starts = [0, *(group[0].start for group in groups[1:]), text_length]
    for group, (start, end) in zip(groups, pairwise(starts), strict=False):
        first, last = group[0], group[-1]
        pause_s = options.pause_s(last.pause) if last.asked_pause_s is None else last.asked_pause_s
        yield Piece(
            spoken=_joined(group),
            span=Span(start, end),
            pause=last.pause,
            pause_s=pause_s,
            seconds=_seconds(group),
            speaker=first.speaker,
            language=first.language,
            source=first.source,
            block_idx=first.block_idx,
        )


def _segments(atoms: Sequence[Atom]) -> Iterator[list[Atom]]:
    """Runs of atoms that may be spoken in one breath."""
    segment: list[Atom] = []
    for atom in atoms:
        if segment and not _may_join(segment[-1], atom):
            yield segment
            segment = []
        segment.append(atom)
    if segment:
        yield segment


def _may_join(before: Atom, after: Atom) -> bool:
    if before.is_alone or after.is_alone or before.asked_pause_s is not None:
        return False
    if (before.speaker, before.language, before.is_heading) != (after.speaker, after.language, after.is_heading):
        return False
    return before.is_heading or before.pause in _JOINABLE


def _fill(segment: list[Atom], options: TextOptions) -> list[list[Atom]]:
    """Groups of atoms: paragraphs cut into even parts up to the target, then short parts joined to a neighbour."""
    target_s = min(options.target_s, options.budget_s)
    groups: list[list[Atom]] = []
    for paragraph in _paragraphs(segment):
        groups.extend(_even_parts(paragraph, target_s))
    if segment[0].is_heading:
        return _join_headings(groups, options.short_s, target_s)
    joined: list[list[Atom]] = []
    last_s = 0.0
    for group in groups:
        group_s = _seconds(group)
        if joined and (last_s < options.short_s or group_s < options.short_s):
            limit_s = options.budget_s if joined[-1][-1].block_idx == group[0].block_idx else target_s
            if last_s + _JOINT_S + group_s <= limit_s:
                joined[-1] = joined[-1] + group
                last_s += _JOINT_S + group_s
                continue
        joined.append(group)
        last_s = group_s
    return joined


def _join_headings(groups: list[list[Atom]], short_s: float, target_s: float) -> list[list[Atom]]:
    """``CHAPTER I`` and the title below it are one announcement; a tiny heading alone is the listener's to hear."""
    joined: list[list[Atom]] = []
    for group in groups:
        if joined and _seconds(joined[-1]) < short_s and _seconds(joined[-1] + group) <= target_s:
            joined[-1] = joined[-1] + group
        else:
            joined.append(group)
    return joined


def _paragraphs(segment: list[Atom]) -> Iterator[list[Atom]]:
    paragraph: list[Atom] = []
    for atom in segment:
        if paragraph and atom.block_idx != paragraph[-1].block_idx:
            yield paragraph
            paragraph = []
        paragraph.append(atom)
    yield paragraph


def _even_parts(paragraph: list[Atom], target_s: float) -> list[list[Atom]]:
    """Cuts a paragraph between sentences into parts of about equal length, none beyond the target that has a choice."""
    remaining_s = _seconds(paragraph)
    if remaining_s <= target_s:
        return [paragraph]
    parts: list[list[Atom]] = []
    part: list[Atom] = []
    part_s = 0.0
    aim_s = _even_share(remaining_s, target_s)
    for atom in paragraph:
        if part and (part_s + atom.seconds > target_s or part_s + atom.seconds / 2 > aim_s):
            parts.append(part)
            remaining_s -= part_s
            aim_s = _even_share(remaining_s, target_s)
            part, part_s = [], 0.0
        part.append(atom)
        part_s += atom.seconds + _JOINT_S
    parts.append(part)
    return parts


def _even_share(seconds: float, target_s: float) -> float:
    return seconds / max(1, -int(-seconds // target_s))


def _seconds(group: Sequence[Atom]) -> float:
    return sum(atom.seconds for atom in group) + (len(group) - 1) * _JOINT_S


def _joined(group: Sequence[Atom]) -> str:
    """The group's words; a sentence that runs on without an end mark gets one, unless a clause merely continues."""
    if len(group) == 1:
        return group[0].spoken
    parts: list[str] = []
    for atom, following in pairwise([*group, None]):
        assert atom is not None
        parts.append(atom.spoken if following is None else ended(atom.spoken, atom.pause, atom.language))
    return ("" if group[0].language.startswith("zh") else " ").join(parts)


def ended(spoken: str, pause: Pause, language: str) -> str:
    """``spoken`` with a full stop when it ends in a letter or digit although a sentence ends there."""
    if pause is not Pause.CLAUSE and spoken and spoken[-1].isalnum():
        return spoken + ("。" if language.startswith("zh") else ".")
    return spoken
