"""Text feed: picks the text token a speaking sequence hears next. Pure Python; sees no tensors.

Goes in: the text ids of one utterance (all at once, or as they arrive) and, step by step, the codes the model chose.
Comes out: the row to keep and to feed back, and at the end why it ended. One feed serves one sequence. Does not know
the model, the sampler, or any other sequence. Source: specification 2.7, 7, traps 3 to 7 and 28.

Text is spoken in chunks. Within a chunk the feed speaks (one text token a row), then pads until the model says eos on
all codebooks; a separator row follows, and after the last chunk an eos row. The text column is thus known beforehand
except for how long each padding lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

SENTENCE_END_AFTER: Final = 50  # text tokens of a chunk before a sentence end may close it
CHUNK_LIMIT: Final = 100  # text tokens before a chunk is closed anywhere
ROWS_PER_TEXT_TOKEN: Final = 8  # a chunk of more rows than this is given up

Row = tuple[int, ...]  # text id, then K codes


class Failure(Enum):
    """What went wrong with a sequence, as far as the model itself can know."""

    BLANK_RUN = "blank_run"  # silence went on and on
    LENGTH = "length"  # a chunk grew to eight times its text
    ROW_LIMIT = "row_limit"  # cut before its end
    EMPTY_TEXT = "empty_text"  # nothing to say


@dataclass(frozen=True)
class FeedRules:
    """Where speaking a known text and speaking along with the brain differ."""

    blank_limit: int  # a longer run of blank rows ends the chunk
    extra_rows: int  # rows allowed beyond the limit given
    text_arrives: bool  # the text grows while it is spoken


NARRATION: Final = FeedRules(blank_limit=8, extra_rows=1, text_arrives=False)
CONVERSATION: Final = FeedRules(blank_limit=10, extra_rows=0, text_arrives=True)


class _State(Enum):
    SPEAKING = auto()
    PADDING = auto()
    SEPARATING = auto()
    ENDING = auto()
    FINISHED = auto()


class TextFeed:
    """The state machine of one sequence.

    `max_rows` is the reference's max_new_tokens. In conversation, `push` text ids as they come and `close` after the
    last; while `wants_text()` there is nothing to say yet and no row may be asked for.
    """

    def __init__(
        self,
        vocabulary: SpeechVocabulary,
        text_ids: Iterable[int] = (),
        *,
        max_rows: int,
        rules: FeedRules = NARRATION,
    ) -> None:
        self.failures: list[Failure] = []
        self.num_rows = 0
        self._vocabulary = vocabulary
        self._rules = rules
        self._row_limit = max_rows + rules.extra_rows
        self._text = deque(text_ids)
        self._closed = not rules.text_arrives
        self._state = _State.SPEAKING
        self._is_last_chunk = False
        self._at_chunk_start = True
        self._text_in_chunk = 0
        self._rows_in_chunk = 0
        self._blank_run = 0
        if self._closed and not self._has_something_to_say():
            self._fail(Failure.EMPTY_TEXT)
            self._state = _State.FINISHED

    @property
    def is_finished(self) -> bool:
        return self._state is _State.FINISHED

    @property
    def most_rows(self) -> int:
        """No more rows than this will come for the text known now (to size a cache; text that arrives adds to it)."""
        num_text = len(self._text)
        num_chunks = num_text // (SENTENCE_END_AFTER + 1) + 1
        if self._rules.text_arrives:
            return self._row_limit
        return min(self._row_limit, ROWS_PER_TEXT_TOKEN * num_text + 3 * num_chunks + 1)

    def push(self, text_ids: Iterable[int]) -> None:
        """Adds text at the end."""
        if self._closed:
            raise ValueError("the text of this feed is complete")
        self._text.extend(text_ids)

    def close(self) -> None:
        """Says that no more text will come."""
        self._closed = True

    def wants_text(self) -> bool:
        """True while the next row needs a text token that has not arrived.

        The reference crashes where a chunk would begin with blanks and nothing behind them; here the row waits.
        """
        if self._state is not _State.SPEAKING or self._closed:
            return False
        self._drop_leading_blanks()
        return not self._text

    def next_row(self, codes: Sequence[int]) -> Row:
        """The row made of the K `codes` the model chose: kept, and fed back. Raises ValueError out of turn."""
        if self.is_finished or self.wants_text():
            raise ValueError("no row can follow: the feed is finished or waits for text")
        self._count_blanks(codes)
        match self._state:
            case _State.PADDING:
                row = (self._vocabulary.text_pad, *self._padding_codes(codes))
            case _State.SEPARATING:
                row = self._separator_row()
            case _State.ENDING:
                row = (self._vocabulary.text_eos, *codes)
                self._state = _State.FINISHED
            case _:
                row = (self._next_text(), *codes)
        self._rows_in_chunk += 1
        self.num_rows += 1
        if not self.is_finished and self.num_rows >= self._row_limit:
            self._fail(Failure.ROW_LIMIT)
            self._state = _State.FINISHED
        return row

    def _count_blanks(self, codes: Sequence[int]) -> None:
        """Runs of blank rows are counted in every state, over chunk borders; only padding looks at them."""
        num_blank = sum(code in self._vocabulary.blank_codes for code in codes)
        self._blank_run = self._blank_run + 1 if num_blank >= len(codes) - 1 else 0

    def _next_text(self) -> int:
        """The next text token; decides whether padding follows it."""
        if self._at_chunk_start:
            self._drop_leading_blanks()
            self._at_chunk_start = False
        if not self._text:  # conversation only: the answer ended with its last chunk
            self._state = _State.PADDING
            return self._vocabulary.text_pad
        token = self._text.popleft()
        self._text_in_chunk += 1
        ends_sentence = token < self._vocabulary.text_size and bool(self._vocabulary.ends_sentence[token])
        if (
            (ends_sentence and self._text_in_chunk > SENTENCE_END_AFTER)
            or self._text_in_chunk > CHUNK_LIMIT
            or not (self._text or self._rules.text_arrives)
        ):
            self._state = _State.PADDING
        return token

    def _padding_codes(self, codes: Sequence[int]) -> Sequence[int]:
        """The codes as chosen, or all eos when the chunk ends here: by the model's wish, or because it went wrong."""
        eos = self._vocabulary.speech_eos
        is_blank = self._blank_run > self._rules.blank_limit
        is_long = self._rows_in_chunk > ROWS_PER_TEXT_TOKEN * self._text_in_chunk
        if is_blank:
            self._fail(Failure.BLANK_RUN)
        if is_long:
            self._fail(Failure.LENGTH)
        if not (is_blank or is_long or all(code == eos for code in codes)):
            return codes
        self._state = _State.SEPARATING
        # In narration, blanks that are left over are not worth a chunk; the reference opens one and crashes.
        more = self._has_something_to_say() if not self._rules.text_arrives else bool(self._text or not self._closed)
        self._is_last_chunk = not more
        return [eos] * len(codes)

    def _separator_row(self) -> Row:
        """Between chunks audio_sep, after the last audio_end; the next chunk's counts begin."""
        vocabulary = self._vocabulary
        self._state = _State.ENDING if self._is_last_chunk else _State.SPEAKING
        self._at_chunk_start = True
        self._text_in_chunk = 0
        self._rows_in_chunk = 0
        text = vocabulary.audio_end if self._is_last_chunk else vocabulary.audio_sep
        return (text, *([vocabulary.speech_pad] * vocabulary.codes_per_row))

    def _drop_leading_blanks(self) -> None:
        while self._at_chunk_start and self._text and self._is_blank(self._text[0]):
            self._text.popleft()

    def _has_something_to_say(self) -> bool:
        return not all(map(self._is_blank, self._text))

    def _is_blank(self, token: int) -> bool:
        return token < self._vocabulary.text_size and bool(self._vocabulary.is_blank_text[token])

    def _fail(self, failure: Failure) -> None:
        if failure not in self.failures:
            self.failures.append(failure)
