"""A sentence longer than an engine's budget in, spans of speakable parts out: at clauses, then words, then characters.

Knows nothing of what the parts mean; whoever calls says how long a stretch of text takes to speak.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from omnitts.pipeline.text.duration import estimate_s
from omnitts.types import Span

# From the best place to cut to the worst; a cut falls at the end of each match.
_CUTS: Final = (
    re.compile(
        r"[;:][\"'”’)]*\s+|[；：]\s*|(?<!\s)\s*(?<![—–])[—–]+\s*(?=\w)|\.\.\.\s+|(?<!…)…+\s*|(?<![.!?。！？])[.!?。！？]+[\"'”’)\]」』]*\s+"
    ),
    re.compile(r"[,][\"'”’)]*\s+|[，、][”’)\]」』]*\s*|(?<!\s)\s+(?=[(\[])|[)\]]\s+"),
    re.compile(r"(?<!\s)\s+(?=(?:and|but|or|nor|so|yet|because|although|though|while|when|where|which|who|that|if)\s)"),
    re.compile(r"\s+"),
)
_WORDS: Final = len(_CUTS) - 1
_TINY_S: Final = 0.01


def split_long(text: str, seconds_of: Callable[[str], float], target_s: float, budget_s: float) -> list[Span]:
    """Spans that rebuild ``text``, each at most ``budget_s`` long, filled up to ``target_s`` where cuts allow.

    Only a single character that takes longer than the budget stays whole. Time grows linearly with the text.
    """
    spans: list[Span] = []
    _split(text, Span(0, len(text)), 0, seconds_of, target_s, budget_s, spans)
    return spans


def _split(
    text: str,
    span: Span,
    level: int,
    seconds_of: Callable[[str], float],
    target_s: float,
    budget_s: float,
    spans: list[Span],
) -> None:
    """Appends the parts of ``span``. Words that still overflow together are cut again at half the target."""
    whole = text[span.start : span.end]
    total_s = seconds_of(whole)
    if total_s <= budget_s or len(whole) <= 1:
        spans.append(span)
        return
    ends = [match.end() for match in _CUTS[level].finditer(text, span.start, span.end) if match.end() < span.end]
    if level == _WORDS:
        if not ends:
            _by_characters(text, span, total_s, seconds_of, target_s, budget_s, spans)
            return
        next_level, next_target_s = level, target_s / 2
    else:
        next_level, next_target_s = level + 1, target_s
    scale = total_s / max(estimate_s(whole), _TINY_S)  # how much longer it is to say than to look at
    part_start = part_end = span.start
    part_s = 0.0
    for end in [*ends, span.end]:
        next_s = estimate_s(text[part_end:end]) * scale
        if part_end > part_start and part_s + next_s > target_s:
            _split(text, Span(part_start, part_end), next_level, seconds_of, next_target_s, budget_s, spans)
            part_start, part_s = part_end, 0.0
        part_end = end
        part_s += next_s
    if part_start > span.start or level != _WORDS or next_target_s > _TINY_S:
        _split(text, Span(part_start, span.end), next_level, seconds_of, next_target_s, budget_s, spans)
    else:
        spans.append(Span(part_start, span.end))


def _by_characters(
    text: str,
    span: Span,
    total_s: float,
    seconds_of: Callable[[str], float],
    target_s: float,
    budget_s: float,
    spans: list[Span],
) -> None:
    """Appends even cuts of one unbroken token, halved again where a cut happens to hold the slower characters."""
    step = min(max(1, int((span.end - span.start) * target_s / total_s)), max(1, (span.end - span.start) // 2))
    for start in range(span.start, span.end, step):
        part = Span(start, min(start + step, span.end))
        part_s = seconds_of(text[part.start : part.end])
        if part_s > budget_s and part.end - part.start > 1:
            _by_characters(text, part, part_s, seconds_of, target_s, budget_s, spans)
        else:
            spans.append(part)
