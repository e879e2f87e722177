"""Rows to learn from: a voice's prompt, then text and codes exactly as they would stand there after speaking.

The prompt is built by the checkpoint's own `PromptBuilder`; everything behind it by driving a real `TextFeed` with the
codes a perfect model would choose, so the chunk rules exist once. Of each chunk the first rows (`pre_pad`) are silent:
the text is that far ahead of the sound. Knows no files and no networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from omnitts.models.mgm_omni.text_feed import Row, TextFeed
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

_NO_LIMIT: Final = 1 << 30


@dataclass(frozen=True)
class SpokenText:
    """One utterance as ids and as speech codes (25 a second)."""

    text_ids: tuple[int, ...]
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """``rows`` (T, 1 + K) int64, of which the first ``num_prompt`` are given and the rest are to be learnt."""

    rows: Tensor
    num_prompt: int


def spoken_rows(
    vocabulary: SpeechVocabulary, pieces: Sequence[SpokenText], pre_pad: int, pause_codes: Sequence[int] = ()
) -> list[Row] | None:
    """Rows from the first text token to the eos row of utterances spoken in one go; None when that cannot be.

    ``pause_codes``: how much silence goes between each utterance and the next within a chunk. It cannot be when the
    feed would close a chunk inside an utterance (nobody knows which codes belong to which half), or would give a chunk
    up (eight rows a text token, a long silence).
    """
    text_ids = [token for piece in pieces for token in piece.text_ids]
    lengths = chunk_lengths(vocabulary, text_ids)
    groups = _grouped(pieces, lengths)
    if groups is None:
        return None
    feed = TextFeed(vocabulary, text_ids, max_rows=_NO_LIMIT)
    pads = (vocabulary.speech_pad,) * vocabulary.codes_per_row
    pauses = iter(pause_codes)
    rows: list[Row] = []
    for group in groups:
        rows += _chunk(feed, vocabulary, _joined(group, pauses, vocabulary), pre_pad)
        rows.append(feed.next_row(pads))  # the separator
    rows.append(feed.next_row(pads))
    return None if feed.failures or not feed.is_finished else rows


def chunk_lengths(vocabulary: SpeechVocabulary, text_ids: Sequence[int]) -> list[int]:
    """How many text tokens each chunk takes, blanks left out at its start included; empty: nothing to say."""
    feed = TextFeed(vocabulary, text_ids, max_rows=_NO_LIMIT)
    ends = (vocabulary.speech_eos,) * vocabulary.codes_per_row
    marks = (vocabulary.audio_sep, vocabulary.audio_end)
    lengths, at = [0], 0
    while not feed.is_finished:
        text = feed.next_row(ends)[0]
        if text in marks:
            lengths.append(0)
        elif text not in (vocabulary.text_pad, vocabulary.text_eos):
            taken = text_ids.index(text, at) + 1 - at
            lengths[-1] += taken
            at += taken
    return [length for length in lengths if length]


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


def _joined(group: Sequence[SpokenText], pauses: Iterator[int], vocabulary: SpeechVocabulary) -> list[int]:
    codes: list[int] = []
    for number, piece in enumerate(group):
        if number:
            codes += [vocabulary.silence_code] * next(pauses, 0)
        codes += piece.codes
    return codes


def _chunk(feed: TextFeed, vocabulary: SpeechVocabulary, codes: list[int], pre_pad: int) -> list[Row]:
    """Rows of one chunk up to its eos row: silent rows, the codes, silence while text is left, eos."""
    K = vocabulary.codes_per_row
    filled = codes + [vocabulary.silence_code] * (-len(codes) % K)
    wanted = [(vocabulary.speech_pad,) * K] * pre_pad
    wanted += [tuple(filled[at : at + K]) for at in range(0, len(filled), K)]
    ends, silence = (vocabulary.speech_eos,) * K, (vocabulary.silence_code,) * K
    rows: list[Row] = []
    while not rows or rows[-1][1:] != ends:
        row = feed.next_row(wanted[len(rows)] if len(rows) < len(wanted) else ends)
        if row[1:] == ends and row[0] != vocabulary.text_pad:  # the sound is over, the text is not
            row = (row[0], *silence)
        rows.append(row)
    return rows


def example(prompt_rows: Tensor, spoken: Sequence[Row]) -> Example:
    """Prompt (P, 1 + K) and what follows it as one sequence."""
    return Example(torch.cat((prompt_rows, torch.tensor(spoken, dtype=torch.int64))), len(prompt_rows))
