"""Rows of a finished sequence into the speech codes the codec turns into sound.

Goes in: rows (T, 1 + K) as the text feed kept them. Comes out: one line of codes, 25 a second. Leaves the rows as they
are. Does not know how the rows came about. Source: specification 2.9, traps 11, 26, 31.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

CODES_PER_BLOCK: Final = 6000  # 240 s: longer lines are made into sound block by block
_ENDING_ROWS: Final = 2  # audio_end and eos


def speech_codes(rows: Tensor, vocabulary: SpeechVocabulary, dropped_rows: int) -> Tensor:
    """The codes (N,) of rows (T, 1 + K); N is 0 when nothing to hear is left (a cut after very few rows).

    Of each chunk the first `dropped_rows` rows and the eos row are silent; eos and pad ids elsewhere become silence.
    """
    kept = [rows[chunk, 1:] for chunk in sounding_rows(rows, vocabulary, dropped_rows)]
    codes = torch.cat([*kept, rows[:0, 1:]]).flatten()
    return codes.masked_fill(codes >= vocabulary.speech_eos, vocabulary.silence_code)


def sounding_rows(rows: Tensor, vocabulary: SpeechVocabulary, dropped_rows: int) -> list[slice]:
    """The parts of rows (T, 1 + K) that are heard, one slice per chunk, empty ones left out.

    The last two rows are taken for the ending even where the sequence was cut before it, as the reference does.
    """
    body_end = max(rows.shape[0] - _ENDING_ROWS, 0)
    separators = (rows[:, 0] == vocabulary.audio_sep).nonzero().flatten().tolist()
    starts = [0, *(separator + 1 for separator in separators)]
    stops = [*separators, body_end]
    chunks = [slice(start + dropped_rows, stop - 1) for start, stop in zip(starts, stops, strict=True)]
    return [chunk for chunk in chunks if chunk.stop > chunk.start]


def codes_so_far(
    rows: Tensor, counts: Tensor, vocabulary: SpeechVocabulary, dropped_rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Of sequences that are being spoken side by side: rows (N, T, 1 + K), of which each has made ``counts`` (N,).

    Codes (N, T K), silence where a row is not heard; how many of them came before the text's end, (N,); and (N,) bool,
    whether it has come.
    """
    text, codes = rows[..., 0], rows[..., 1:].long()
    N, T, K = codes.shape
    at = torch.arange(T, device=rows.device)
    is_made = at < counts[:, None]
    begins = torch.where(is_made & (text == vocabulary.audio_sep), at, -1).cummax(dim=1).values + 1
    ends = is_made & (text == vocabulary.audio_end)
    is_heard = is_made & (at - begins >= dropped_rows) & (ends.cumsum(dim=1) == 0)
    is_sound = is_heard[..., None] & (codes < vocabulary.speech_eos)
    has_ended = ends.any(dim=1)
    num_codes = K * torch.where(has_ended, ends.long().argmax(dim=1), T)
    return torch.where(is_sound, codes, vocabulary.silence_code).view(N, T * K), num_codes, has_ended


def blocks(codes: Tensor) -> list[Tensor]:
    """The codes (N,) in pieces of at most `CODES_PER_BLOCK`, each decoded on its own; none for no codes."""
    return list(torch.split(codes, CODES_PER_BLOCK)) if codes.numel() else []
