"""Rows to learn from: a voice's prompt, then text and codes exactly as they would stand there after speaking.

The prompt is built by the checkpoint's own `PromptBuilder`. Where chunks end is asked of `feed_table.schedule`; within
a chunk all rows are written down at once, as a `TextFeed` makes them of the codes a perfect model would choose (its
plain twin, which the tests drive: row by row it takes ten times as long). Of each chunk the first rows (`pre_pad`) are
silent: the text is that far ahead of the sound. Knows no files and no networks.
Letters: T rows, K codes per row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitts.models.mgm_omni.feed_table import GOES_ON, schedule
from omnitts.models.mgm_omni.text_feed import NARRATION, ROWS_PER_TEXT_TOKEN
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

IntArray = NDArray[np.int64]

UNKNOWN: Final = -100  # where nobody knows which text token is spoken


@dataclass(frozen=True)
class SpokenText:
    """One utterance as ids and as speech codes (25 a second).

    If they are known, ``said``: the text id spoken at each code, and ``spelling``: the labels of its sounds.
    """

    text_ids: tuple[int, ...]
    codes: tuple[int, ...]
    said: Sequence[int] | IntArray = ()
    spelling: tuple[int, ...] = ()


@dataclass(frozen=True)
class SpokenRows:
    """``rows`` (T, 1 + K), and of each in ``said`` (T,) the text id that its sound says, or UNKNOWN; the labels of all
    sounds, if they are known.
    """

    rows: IntArray
    said: IntArray
    spelling: tuple[int, ...] = ()


@dataclass(frozen=True)
class Example:
    """``rows`` (T, 1 + K) int64, of which the first ``num_prompt`` are given and the rest are to be learnt.

    ``said`` (T,) int64: the text id that the sound of each row says, or UNKNOWN. ``spellings``: the labels of the
    sounds in the prompt, and of those behind it; empty where they are not known.
    """

    rows: Tensor
    num_prompt: int
    said: Tensor
    spellings: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


@dataclass(frozen=True)
class _Chunk:
    """``ids`` that are heard; ``num_taken``: of the text's ids, blanks left out at the chunk's start included."""

    ids: tuple[int, ...]
    num_taken: int


def spoken_rows(
    vocabulary: SpeechVocabulary, pieces: Sequence[SpokenText], pre_pad: int, pause_codes: Sequence[int] = ()
) -> SpokenRows | None:
    """Rows from the first text token to the eos row of utterances spoken in one go; None when that cannot be.

    ``pause_codes``: how much silence goes between each utterance and the next within a chunk. It cannot be when the
    feed would close a chunk inside an utterance (nobody knows which codes belong to which half), or would give a chunk
    up (eight rows a text token, a long silence).
    """
    chunks = _chunks(vocabulary, [token for piece in pieces for token in piece.text_ids])
    groups = _grouped(pieces, [chunk.num_taken for chunk in chunks])
    if groups is None:
        return None
    pauses = iter(pause_codes)
    rows: list[IntArray] = []
    said: list[IntArray] = []
    for number, (chunk, group) in enumerate(zip(chunks, groups, strict=True)):
        codes, heard = _joined(group, pauses, vocabulary)
        own = _chunk_rows(vocabulary, chunk.ids, codes, pre_pad, is_first=number == 0)
        if own is None:
            return None
        own[-1, 0] = vocabulary.audio_end if number == len(chunks) - 1 else vocabulary.audio_sep
        rows.append(own)
        said.append(np.full(len(own), UNKNOWN))
        by_row = _by_row(heard, vocabulary.codes_per_row)
        said[-1][pre_pad : pre_pad + len(by_row)] = by_row
    rows.append(np.array([[vocabulary.text_eos, *[vocabulary.speech_pad] * vocabulary.codes_per_row]]))
    said.append(np.array([UNKNOWN]))
    known = all(piece.spelling for piece in pieces)
    spelling = tuple(label for piece in pieces for label in piece.spelling) if known else ()
    return SpokenRows(np.concatenate(rows), np.concatenate(said), spelling)


def chunk_lengths(vocabulary: SpeechVocabulary, text_ids: Sequence[int]) -> list[int]:
    """How many text tokens each chunk takes, blanks left out at its start included; empty: nothing to say."""
    return [chunk.num_taken for chunk in _chunks(vocabulary, text_ids)]


def _chunks(vocabulary: SpeechVocabulary, text_ids: Sequence[int]) -> list[_Chunk]:
    text = schedule(vocabulary, text_ids)
    found: list[_Chunk] = []
    first = at = 0
    for place, closes in enumerate(text.closes):
        if closes == GOES_ON:
            continue
        ids = text.ids[first : place + 1]
        end = text_ids.index(ids[0], at) + len(ids)
        found.append(_Chunk(ids, end - at))
        first, at = place + 1, end
    return found


def _grouped(pieces: Sequence[SpokenText], lengths: Sequence[int]) -> list[list[SpokenText]] | None:
    """The utterances of each chunk; None when a chunk's end is not an utterance's."""
    ends = list(accumulate(lengths))
    groups: list[list[SpokenText]] = [[]]
    at = 0
    for piece in pieces:
        at += len(piece.text_ids)
        groups[-1].append(piece)
        if len(groups) <= len(ends) and at == ends[len(groups) - 1]:
            groups.append([])
        elif len(groups) > len(ends) or at > ends[len(groups) - 1]:
            return None
    return groups[:-1] if not groups[-1] and len(groups) - 1 == len(ends) else None


def _joined(
    group: Sequence[SpokenText], pauses: Iterator[int], vocabulary: SpeechVocabulary
) -> tuple[IntArray, IntArray]:
    """The codes of a chunk, and the text id said at each."""
    codes: list[Sequence[int]] = []
    said: list[Sequence[int] | IntArray] = []
    for number, piece in enumerate(group):
        pause = next(pauses, 0) if number else 0
        codes += [(vocabulary.silence_code,) * pause, piece.codes]
        said += [(UNKNOWN,) * pause, piece.said if len(piece.said) else (UNKNOWN,) * len(piece.codes)]
    return _all_of(codes), _all_of(said)


def _all_of(parts: Sequence[Sequence[int] | IntArray]) -> IntArray:
    return np.concatenate([np.asarray(part, np.int64) for part in parts])


def _chunk_rows(
    vocabulary: SpeechVocabulary, ids: Sequence[int], codes: IntArray, pre_pad: int, *, is_first: bool
) -> IntArray | None:
    """(T, 1 + K) of one chunk: silent rows, the codes, silence while text is left, eos, a separator without its mark.

    None where the feed would give it up.
    """
    K = vocabulary.codes_per_row
    filled = np.full((-(-len(codes) // K), K), vocabulary.silence_code)
    filled.reshape(-1)[: len(codes)] = codes
    sound_end = pre_pad + len(filled)
    eos = max(sound_end, len(ids))
    before = 0 if is_first else 1  # the feed counts the separator in front
    if eos + before > ROWS_PER_TEXT_TOKEN * len(ids) or _is_blank_for_long(vocabulary, filled, len(ids) - pre_pad):
        return None
    rows = np.full((eos + 2, 1 + K), vocabulary.speech_pad)
    rows[: len(ids), 0] = ids
    rows[len(ids) : eos + 1, 0] = vocabulary.text_pad
    rows[pre_pad:sound_end, 1:] = filled
    rows[sound_end:eos, 1:] = vocabulary.silence_code
    rows[eos, 1:] = vocabulary.speech_eos
    return rows


def _is_blank_for_long(vocabulary: SpeechVocabulary, codes: IntArray, text_end: int) -> bool:
    """Whether a run of blank rows of codes (T, K) is too long where no text is left, from row ``text_end`` on."""
    blank = _blank_table(vocabulary.blank_codes, vocabulary.codebook_size)[codes].sum(axis=1) >= codes.shape[1] - 1
    places = np.arange(len(codes))
    runs = places - np.maximum.accumulate(np.where(blank, -1, places))
    return bool((runs[max(text_end, 0) :] > NARRATION.blank_limit).any())


@cache
def _blank_table(blank_codes: frozenset[int], size: int) -> NDArray[np.bool_]:
    table = np.zeros(size, bool)
    table[sorted(blank_codes)] = True
    return table


def _by_row(heard: IntArray, codes_per_row: int) -> IntArray:
    """Of the ids said at each code, those in the middle of each row."""
    return heard[codes_per_row // 2 :: codes_per_row]


def prompt_said(prompt_rows: Tensor, reference_said: Sequence[int] | IntArray) -> Tensor:
    """(P,) the text id that the sound of each row of a prompt (P, 1 + K) says, given those at the reference's codes."""
    said = torch.full((len(prompt_rows),), UNKNOWN)
    if len(reference_said):
        sounding = (prompt_rows[:, 1:] != prompt_rows[0, 1:]).all(dim=-1).nonzero().flatten()[:-1]  # less the eos row
        heard = _by_row(np.asarray(reference_said, np.int64), prompt_rows.shape[1] - 1)[: len(sounding)]
        said[sounding[: len(heard)]] = torch.from_numpy(heard.copy())
    return said


def example(
    prompt_rows: Tensor,
    spoken: SpokenRows,
    said_in_prompt: Tensor | None = None,
    reference_spelling: tuple[int, ...] = (),
) -> Example:
    """Prompt (P, 1 + K) and what follows it as one sequence. ``said_in_prompt`` (P,) as of `prompt_said`."""
    rows = torch.cat((prompt_rows, torch.from_numpy(spoken.rows)))
    before = prompt_said(prompt_rows, ()) if said_in_prompt is None else said_in_prompt
    said = torch.cat((before, torch.from_numpy(spoken.said)))
    return Example(rows, len(prompt_rows), said, (reference_spelling, spoken.spelling))
