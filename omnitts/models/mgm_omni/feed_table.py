"""Feed table: the text feeds of many narrating sequences as one table of numbers, advanced together on the device.

Goes in: each sequence's text ids when it takes a slot; then, step by step, the codes chosen for all slots. Comes out:
their next rows, and in the end what went wrong. The twin of `text_feed.TextFeed`, which is the plain form, says why
each rule is so, and serves conversations too (here the whole text is known before it is spoken). Knows no model.

Letters: S slots, B of them in front take part in a step, K codes per step, V ids per codebook, L text ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import torch
from torch import Tensor

from omnitts.models.mgm_omni.text_feed import (
    CHUNK_LIMIT,
    NARRATION,
    ROWS_PER_TEXT_TOKEN,
    SENTENCE_END_AFTER,
    Failure,
)
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

GOES_ON, CLOSES_CHUNK, CLOSES_TEXT = 0, 1, 2
_NEVER: Final = 1 << 30


class State(IntEnum):
    """What the next row of a slot is for. A slot without a tenant is FINISHED."""

    SPEAKING = 0
    PADDING = 1
    SEPARATING = 2
    ENDING = 3
    FINISHED = 4


class _Field(IntEnum):
    """Rows of the table. The last three: number of the row at which a failure was first seen."""

    STATE = 0
    TEXT_DONE = 1
    TEXT_IN_CHUNK = 2
    ROWS_IN_CHUNK = 3
    BLANK_RUN = 4
    NUM_ROWS = 5
    ROW_LIMIT = 6
    BLANK_AT = 7
    LENGTH_AT = 8
    LIMIT_AT = 9


_FAILURES: Final = (
    (_Field.BLANK_AT, Failure.BLANK_RUN),
    (_Field.LENGTH_AT, Failure.LENGTH),
    (_Field.LIMIT_AT, Failure.ROW_LIMIT),
)


@dataclass(frozen=True)
class SpokenText:
    """The text ids that will be heard, in order, and for each whether a chunk or the whole text closes behind it."""

    ids: tuple[int, ...]
    closes: tuple[int, ...]

    @property
    def most_rows(self) -> int:
        """No more rows than this will come, whatever the model chooses."""
        num_chunks = sum(close != GOES_ON for close in self.closes)
        return ROWS_PER_TEXT_TOKEN * len(self.ids) + 3 * num_chunks + 1


def schedule(vocabulary: SpeechVocabulary, text_ids: Iterable[int]) -> SpokenText:
    """Cuts a text into chunks as the feed would; blanks that begin a chunk are left out. Empty: nothing to say."""
    text = list(text_ids)
    is_blank = [token < vocabulary.text_size and bool(vocabulary.is_blank_text[token]) for token in text]
    last_sounding = max((i for i, blank in enumerate(is_blank) if not blank), default=-1)
    ids: list[int] = []
    closes: list[int] = []
    in_chunk = 0
    for i, token in enumerate(text):
        if in_chunk == 0 and is_blank[i]:
            continue
        in_chunk += 1
        ends_sentence = token < vocabulary.text_size and bool(vocabulary.ends_sentence[token])
        is_full = (ends_sentence and in_chunk > SENTENCE_END_AFTER) or in_chunk > CHUNK_LIMIT
        ids.append(token)
        if not is_full and i < len(text) - 1:
            closes.append(GOES_ON)
            continue
        in_chunk = 0
        closes.append(CLOSES_TEXT if i >= last_sounding else CLOSES_CHUNK)
        if i >= last_sounding:
            break
    return SpokenText(tuple(ids), tuple(closes))


class FeedTable:
    """The state of every slot. All of it lives on one device at fixed addresses, so that a step can be replayed."""

    def __init__(
        self, vocabulary: SpeechVocabulary, *, num_slots: int, max_rows: int, device: torch.device | str = "cpu"
    ) -> None:
        """``max_rows``: rows, and so text ids, that a slot has room for."""
        K, V = vocabulary.codes_per_row, vocabulary.codebook_size
        self._vocabulary = vocabulary
        self._fields = torch.zeros(len(_Field), num_slots, dtype=torch.int64, device=device)
        self._fields[_Field.STATE] = State.FINISHED
        self._text = torch.zeros(num_slots, max_rows, dtype=torch.int64, device=device)
        self._closes = torch.zeros(num_slots, max_rows, dtype=torch.int64, device=device)
        self._is_blank_code = torch.zeros(V, dtype=torch.bool, device=device)
        self._is_blank_code[sorted(vocabulary.blank_codes)] = True
        self.rows = torch.zeros(num_slots, max_rows, 1 + K, dtype=torch.int32, device=device)

    @property
    def max_rows(self) -> int:
        return self._text.shape[1]

    @property
    def states(self) -> Tensor:
        """(S,) int64, a `State` each."""
        return self._fields[_Field.STATE]

    def enter(self, slots: Sequence[int], texts: Sequence[SpokenText], row_limits: Sequence[int]) -> None:
        """Sequences with something to say take these slots; each ends by itself, or after ``row_limits`` rows."""
        device = self._fields.device
        longest = min(max(len(text.ids) for text in texts), self.max_rows)  # a text may be cut before its end
        numbers = torch.zeros(len(_Field), len(slots), dtype=torch.int64)
        numbers[_Field.ROW_LIMIT] = torch.tensor(row_limits)
        numbers[[_Field.BLANK_AT, _Field.LENGTH_AT, _Field.LIMIT_AT]] = _NEVER
        padded = torch.zeros(2, len(slots), longest, dtype=torch.int64)
        for i, text in enumerate(texts):
            count = min(len(text.ids), longest)
            padded[:, i, :count] = torch.tensor([text.ids[:count], text.closes[:count]])
        places = torch.tensor(slots, device=device)
        self._fields[:, places] = numbers.to(device)
        padded = padded.to(device)
        self._text[places, :longest] = padded[0]
        self._closes[places, :longest] = padded[1]

    def advance(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The next row of the B slots in front, from the codes (B, K) chosen for them.

        Returns rows (B, 1 + K) to feed back, and (B,) bool: whether the slot made a row. Those that did not (they are
        finished) have a row that means nothing. Rows are kept in `rows`; no value is read by the host.
        """
        B, K = codes.shape
        vocabulary = self._vocabulary
        (
            state,
            text_done,
            text_in_chunk,
            rows_in_chunk,
            blank_run,
            num_rows,
            row_limit,
            blank_at,
            length_at,
            limit_at,
        ) = self._fields[:, :B].unbind(0)
        active = state != State.FINISHED
        num_blank = self._is_blank_code[codes].sum(-1)
        run = torch.where(num_blank >= K - 1, blank_run + 1, 0)

        speaking, padding = state == State.SPEAKING, state == State.PADDING
        separating, ending = state == State.SEPARATING, state == State.ENDING
        place = text_done.clamp(max=self.max_rows - 1)[:, None]
        token = self._text[:B].gather(1, place)[:, 0]
        last_close = self._closes[:B].gather(1, (text_done - 1).clamp(min=0)[:, None])[:, 0]
        closes_now = speaking & (self._closes[:B].gather(1, place)[:, 0] != GOES_ON)
        is_last = last_close == CLOSES_TEXT

        too_blank = padding & (run > NARRATION.blank_limit)
        too_long = padding & (rows_in_chunk > ROWS_PER_TEXT_TOKEN * text_in_chunk)
        chunk_ends = too_blank | too_long | (padding & (codes == vocabulary.speech_eos).all(-1))
        separator = torch.where(is_last, vocabulary.audio_end, vocabulary.audio_sep)
        text = torch.where(speaking, token, vocabulary.text_pad)
        text = torch.where(separating, separator, torch.where(ending, vocabulary.text_eos, text))
        kept = torch.where(chunk_ends[:, None], vocabulary.speech_eos, codes)
        kept = torch.where(separating[:, None], vocabulary.speech_pad, kept)
        row = torch.cat([text[:, None], kept], dim=1)  # (B, 1 + K)

        count = num_rows + 1
        after = torch.where(closes_now, State.PADDING, state)
        after = torch.where(chunk_ends, State.SEPARATING, after)
        after = torch.where(separating, torch.where(is_last, State.ENDING, State.SPEAKING), after)
        after = torch.where(ending, State.FINISHED, after)
        cut = active & (after != State.FINISHED) & (count >= row_limit)
        after = torch.where(cut, State.FINISHED, after)

        slot = num_rows.clamp(max=self.max_rows - 1)[:, None, None].expand(B, 1, 1 + K)
        held = self.rows[:B].gather(1, slot)
        self.rows[:B].scatter_(1, slot, torch.where(active[:, None, None], row[:, None].to(held.dtype), held))
        updated = (
            after,
            text_done + speaking,
            torch.where(separating, 0, text_in_chunk + speaking),
            torch.where(separating, 1, rows_in_chunk + 1),
            run,
            count,
            row_limit,
            torch.where(too_blank, torch.minimum(blank_at, num_rows), blank_at),
            torch.where(too_long, torch.minimum(length_at, num_rows), length_at),
            torch.where(cut, num_rows, limit_at),
        )
        self._fields[:, :B] = torch.where(active, torch.stack(updated), self._fields[:, :B])
        return row, active

    def rows_and_failures(self, slot: int) -> tuple[Tensor, tuple[Failure, ...]]:
        """What a slot has said: (T, 1 + K) int64 on the CPU, and its failures, the first one first."""
        numbers = self._fields[:, slot].tolist()
        rows = self.rows[slot, : numbers[_Field.NUM_ROWS]].cpu().long()
        seen = sorted((numbers[at], order, failure) for order, (at, failure) in enumerate(_FAILURES))
        return rows, tuple(failure for at, _, failure in seen if at < _NEVER)

    def last_row(self, slot: int) -> list[int]:
        """The row a slot made last: text id, then K codes."""
        return self.rows[slot, self._fields[_Field.NUM_ROWS, slot] - 1].tolist()

    def move(self, source: int, target: int) -> None:
        """The tenant of slot ``source`` goes on in ``target``."""
        for table in (self._text, self._closes, self.rows):
            table[target] = table[source]
        self._fields[:, target] = self._fields[:, source]
        self.leave(source)

    def made(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Rows (N, T, 1 + K) of ``count`` neighbouring slots, and how many each has made, (N,)."""
        counts = self._fields[_Field.NUM_ROWS, first : first + count]
        return self.rows[first : first + count, : int(counts.max())], counts

    def rearrange(self, first: int, index: Tensor) -> None:
        """Slot ``first + i`` goes on as slot ``first + index[i]`` would; all of them say the same text."""
        last = first + len(index)
        span = int(self._fields[_Field.NUM_ROWS, first:last].max())
        self.rows[first:last, :span] = self.rows[first:last, :span][index]
        self._fields[:, first:last] = self._fields[:, first:last][:, index]

    def leave(self, slot: int) -> None:
        """Empties a slot, whatever it was doing."""
        self._fields[_Field.STATE, slot] = State.FINISHED
