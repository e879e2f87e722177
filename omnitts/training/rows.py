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
UNKNOWN: Final = -100  # where nobody knows which text token is spoken


@dataclass(frozen=True)
class SpokenText:
    """One utterance as ids and as speech codes (25 a second).

    If they are known, ``said``: the text id spoken at each code, and ``spelling``: the labels of its sounds.
    """

    text_ids: tuple[int, ...]
    codes: tuple[int, ...]
    said: tuple[int, ...] = ()
    spelling: tuple[int, ...] = ()


@dataclass(frozen=True)
class SpokenRows:
    """Rows, and of each the text id that its sound says, or UNKNOWN; the labels of all sounds, if they are known."""

    rows: list[Row]
    said: list[int]
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


def spoken_rows(
    vocabulary: SpeechVocabulary, pieces: Sequence[SpokenText], pre_pad: int, pause_codes: Sequence[int] = ()
) -> SpokenRows | None:
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
    said: list[int] = []
    for group in groups:
        codes, heard = _joined(group, pauses, vocabulary)
        chunk = _chunk(feed, vocabulary, codes, pre_pad)
        rows += chunk
        said += [*[UNKNOWN] * pre_pad, *_by_row(heard, vocabulary.codes_per_row), *[UNKNOWN] * len(chunk)][: len(chunk)]
        rows.append(feed.next_row(pads))  # the separator
        said.append(UNKNOWN)
    rows.append(feed.next_row(pads))
    said.append(UNKNOWN)
    known = all(piece.spelling for piece in pieces)
    spelling = tuple(label for piece in pieces for label in piece.spelling) if known else ()
    return None if feed.failures or not feed.is_finished else SpokenRows(rows, said, spelling)


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


def _joined(
    group: Sequence[SpokenText], pauses: Iterator[int], vocabulary: SpeechVocabulary
) -> tuple[list[int], list[int]]:
    """The codes of a chunk, and the text id said at each."""
    codes: list[int] = []
    said: list[int] = []
    for number, piece in enumerate(group):
        pause = next(pauses, 0) if number else 0
        codes += [vocabulary.silence_code] * pause
        codes += piece.codes
        said += [UNKNOWN] * pause
        said += piece.said or [UNKNOWN] * len(piece.codes)
    return codes, said


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


def _by_row(heard: Sequence[int], codes_per_row: int) -> Sequence[int]:
    """Of the ids said at each code, those in the middle of each row."""
    return heard[codes_per_row // 2 :: codes_per_row]


def example(
    prompt_rows: Tensor,
    spoken: SpokenRows,
    reference_said: Sequence[int] = (),
    reference_spelling: tuple[int, ...] = (),
) -> Example:
    """Prompt (P, 1 + K) and what follows it as one sequence. ``reference_said``: ids said at the reference's codes."""
    rows = torch.cat((prompt_rows, torch.tensor(spoken.rows, dtype=torch.int64)))
    said = torch.tensor([*[UNKNOWN] * len(prompt_rows), *spoken.said])
    if reference_said:
        sounding = (prompt_rows[:, 1:] != prompt_rows[0, 1:]).all(dim=-1).nonzero().flatten()[:-1]  # less the eos row
        heard = _by_row(reference_said, prompt_rows.shape[1] - 1)[: len(sounding)]
        said[sounding[: len(heard)]] = torch.tensor(heard)
    return Example(rows, len(prompt_rows), said, (reference_spelling, spoken.spelling))
