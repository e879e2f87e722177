"""What is a fault: measures of a take in, reasons in plain sentences out. No audio, no models, no state.

Everything is read from a `Verdict`'s stored figures, so a stored take can be judged again under other thresholds
without hearing it again. Each limit says where it comes from; "good takes" are draft-narrator readings of public-domain
books heard by whisper-base (`benchmarks/planted_faults.py`), tuned on one set of books and reported on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from omnitts.errors import UsageError
from omnitts.pipeline.check.similarity import DEFAULT_LINE, line_for
from omnitts.pipeline.check.wer import WINDOW
from omnitts.types import Verdict

RULES_VERSION: Final = 3
# A word error rate that good takes stay under: they lie at 0.01 on average. Characters are harder: whisper writes
# homophones, which are errors there.
MAX_WER: Final = 0.15
MAX_CER: Final = 0.25
FEW_WORDS: Final = 2  # lines this short are not judged by their error rate: one misheard word is half of it
MAX_GAP: Final = 2  # words missing in a row; three are a lost phrase, which no recogniser makes of a whole one
MAX_EDGE_INSERTIONS: Final = 1  # added words at the head or tail; two are a leaked reference or babble
MAX_INSERTION: Final = 2  # added words in a row inside
MAX_TAIL_LOST: Final = 0  # a last word that cannot be heard is a cut tail
MAX_HEAD_LOST: Final = 1  # recognisers do swallow a weak first word ("All was", "It's")
MAX_WINDOW_ERRORS: Final = 3  # of six steps; good takes have two at most
MAX_UNEXPLAINED_S: Final = {"head_sound_s": 0.8, "inner_sound_s": 1.2, "tail_sound_s": 0.8}
LETTERS_PER_S: Final = (5.0, 27.0)  # people read 10 to 18; both ends are beyond any listener's patience
LETTERS_PER_S_UNSPACED: Final = (1.5, 9.0)  # characters: people read 3 to 6
PACE_RANGE: Final = (0.10, 3.0)  # of six words against the clip's own rate; good takes 0.14 to 1.5
MIN_PACED_WORDS: Final = 6  # a shorter line's rate is mostly chance
MAX_SILENCE_S: Final = 2.0  # inside a piece; a sentence pause is under one second
MAX_LEAD_S: Final = 2.0
MAX_TRAIL_S: Final = 3.0
MIN_SPEECH_DBFS: Final = -45.0  # quieter than this, loudness correction would lift noise by 25 dB
MAX_CLIPPED_S: Final = 0.005  # 120 samples at 24 kHz: audible crackle
ABRUPT_END_DB: Final = -12.0  # the last 30 ms against the speech level; a spoken word fades by 15 dB or more
SECONDS_PER_SHORT_LINE: Final = 1.5  # a line of one or two words takes a second; plus one a word it is babble
_EXTRA_IN_SHORT_LINE: Final = 3
_QUOTED_WORDS: Final = 8
_UNEXPLAINED_PLACES: Final = {
    "head_sound_s": "before the first word",
    "inner_sound_s": "between words",
    "tail_sound_s": "after the last word",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds a person can set. None: `MAX_WER` or `MAX_CER`, and the calibrated similarity."""

    max_wer: float | None = None
    min_sim: float | None = None

    def __post_init__(self) -> None:
        for option, value in (("--max-wer", self.max_wer), ("--min-sim", self.min_sim)):
            if value is not None and math.isnan(value):
                raise UsageError("this is no number", where=option, hint="give a number, such as 0.1")


def faults(verdict: Verdict, limits: Limits, similarity_line: float | None = None) -> tuple[str, ...]:
    """Everything wrong with a take, worst first; empty when it is good.

    ``similarity_line`` is the calibrated one; ``limits.min_sim`` goes before it.
    """
    return tuple(
        reason
        for rule in (_of_engine, _of_words, _of_sound, _of_voice(limits, similarity_line))
        for reason in rule(verdict)
    ) + tuple(_of_wer(verdict, limits))


def word_faults(verdict: Verdict, limits: Limits) -> bool:
    """Whether the words alone would reject this take, so that a second listening is worth its time."""
    return any(True for _ in _of_words(verdict)) or any(True for _ in _of_wer(verdict, limits))


def score_of(verdict: Verdict, reasons: tuple[str, ...]) -> float:
    """Orders takes: an accepted one before a rejected one, then by word errors, the voice and the number of reasons."""
    wer = 1.0 if verdict.wer is None else min(verdict.wer, 2.0)
    similarity = verdict.similarity or 0.0
    return round((0.0 if reasons else 10.0) - 4 * wer + similarity - 0.2 * len(reasons), 6)


def _of_engine(verdict: Verdict) -> Iterator[str]:
    if failure := verdict.details.get("failure"):
        yield f"the engine itself reports: {failure}"


def _of_words(verdict: Verdict) -> Iterator[str]:
    if verdict.wer is None:
        return
    details, words = verdict.details, verdict.words
    heard_words = int(details.get("heard_words", 0))
    if words <= FEW_WORDS:
        yield from _of_short_line(verdict, heard_words)
        return
    if heard_words == 0:
        yield f"nothing was heard of {words} {_unit(verdict, words)}"
        return
    head, tail = int(details.get("head_lost", 0)), int(details.get("tail_lost", 0))
    added = _unit(verdict, 2)
    if verdict.longest_gap > MAX_GAP:
        yield f"{verdict.longest_gap} of {_counted(verdict, words)} missing in a row: {_quote(details, 'gap_text')}"
    elif tail > MAX_TAIL_LOST:
        yield f"the last {_counted(verdict, tail)} cannot be heard"
    elif head > MAX_HEAD_LOST:
        yield f"the first {_counted(verdict, head)} cannot be heard"
    elif details.get("worst_window", 0) > MAX_WINDOW_ERRORS:
        yield f"{details['worst_window']} errors within {WINDOW} {added}"
    if details.get("repeats", 0) > 1:
        yield f"{details['repeats']} {added} said twice: {_quote(details, 'insertion_text')}"
    elif verdict.head_insertions > MAX_EDGE_INSERTIONS:
        leak = ", from the reference transcript" if details.get("leaked") else ""
        yield f"{verdict.head_insertions} {added} before the text{leak}: {_quote(details, 'insertion_text')}"
    elif verdict.tail_insertions > MAX_EDGE_INSERTIONS:
        yield f"{verdict.tail_insertions} {added} after the text: {_quote(details, 'insertion_text')}"
    elif details.get("longest_insertion", 0) > MAX_INSERTION:
        yield f"{details['longest_insertion']} added {added}: {_quote(details, 'insertion_text')}"


def _of_short_line(verdict: Verdict, heard_words: int) -> Iterator[str]:
    """One or two words: a recogniser often mishears them, so only too much or nothing at all counts."""
    active_s = verdict.signal.get("active_s", 0.0)
    if heard_words > verdict.words + _EXTRA_IN_SHORT_LINE:
        yield f"{heard_words} {_unit(verdict, 2)} heard where {verdict.words} were expected: '{verdict.heard}'"
    elif active_s > SECONDS_PER_SHORT_LINE + verdict.words:
        yield f"{active_s:.1f} s of sound for {_counted(verdict, verdict.words)}"


def _of_wer(verdict: Verdict, limits: Limits) -> Iterator[str]:
    if verdict.wer is None or verdict.words <= FEW_WORDS or not verdict.details.get("heard_words"):
        return
    characters = verdict.details.get("unit") == "character"
    allowed = limits.max_wer if limits.max_wer is not None else (MAX_CER if characters else MAX_WER)
    # One misheard word is no proof, however short the line, unless a person asked for no error at all.
    if verdict.wer > allowed and (verdict.errors > 1 or allowed == 0):
        name = "character" if characters else "word"
        yield f"{name} error rate {verdict.wer:.0%}, over {allowed:.0%} ({verdict.errors} of {verdict.words} wrong)"


def _of_sound(verdict: Verdict) -> Iterator[str]:
    signal = verdict.signal
    if not signal:
        return
    if signal["active_s"] == 0.0:
        yield "the take is silent"
        return
    if signal["speech_dbfs"] < MIN_SPEECH_DBFS:
        yield f"too quiet: speech at {signal['speech_dbfs']:.0f} dBFS"
    if signal["clipped_s"] > MAX_CLIPPED_S:
        yield f"clipped: {signal['clipped_s'] * 1000:.0f} ms at full scale"
    if signal["end_db"] > ABRUPT_END_DB:
        yield "the sound breaks off at full level"
    for name, limit, place in (
        ("longest_silence_s", MAX_SILENCE_S, "inside"),
        ("lead_s", MAX_LEAD_S, "at the start"),
        ("trail_s", MAX_TRAIL_S, "at the end"),
    ):
        if signal[name] > limit:
            yield f"{signal[name]:.1f} s of silence {place}"
    for name, limit in MAX_UNEXPLAINED_S.items():
        if signal.get(name, 0.0) > limit:
            yield f"{signal[name]:.1f} s of sound without words {_UNEXPLAINED_PLACES[name]}"
    yield from _of_pace(verdict)


def _of_pace(verdict: Verdict) -> Iterator[str]:
    rate, details = verdict.details.get("letters_per_s"), verdict.details
    if rate is None or verdict.words < MIN_PACED_WORDS:
        return
    low, high = LETTERS_PER_S_UNSPACED if details.get("unit") == "character" else LETTERS_PER_S
    if not low <= rate <= high:
        yield f"spoken too {'slowly' if rate < low else 'fast'}: {rate:.1f} letters a second"
    elif details.get("fastest", 1.0) > PACE_RANGE[1]:
        yield f"a stretch is {details['fastest']:.1f} times as fast as the rest"
    elif details.get("slowest", 1.0) < PACE_RANGE[0]:
        yield f"a stretch has {details['slowest']:.0%} of the pace of the rest"


def _of_voice(limits: Limits, calibrated: float | None) -> Callable[[Verdict], Iterator[str]]:
    def rule(verdict: Verdict) -> Iterator[str]:
        chosen = limits.min_sim if limits.min_sim is not None else calibrated
        line = line_for(DEFAULT_LINE if chosen is None else chosen, verdict.signal.get("active_s", 0.0))
        if verdict.similarity is not None and line is not None and verdict.similarity < line:
            yield f"another voice: similarity {verdict.similarity:.2f}, at least {line:.2f} expected"

    return rule


def _unit(verdict: Verdict, count: int) -> str:
    return str(verdict.details.get("unit", "word")) + ("s" if count != 1 else "")


def _counted(verdict: Verdict, count: int) -> str:
    return f"{count} {_unit(verdict, count)}"


def _quote(details: dict[str, Any], key: str) -> str:
    words = str(details.get(key, "")).split()
    return "'" + " ".join(words[:_QUOTED_WORDS]) + (" ..." if len(words) > _QUOTED_WORDS else "") + "'"
