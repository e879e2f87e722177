"""Streaming: speech tokens as they are made -> waveform pieces while the rest is still being made (spec 4.3).

``StreamSchedule`` decides when which tokens go through the flow: pure Python, sees counts only. ``SpeechStream`` runs
those calls on a ``Detokenizer``. Three defects of the reference are not repeated (docs/differences.md): its
look-ahead tokens are spoken twice at the block limit, tokens that outrun the speaker are lost at the end, and text of
four columns counts as sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnitts.errors import UsageError
from omnitts.models.codec.detokenizer import SEAM_FRAMES, Detokenizer, Seam
from omnitts.models.codec.prompt import VoicePrompt


@dataclass(frozen=True)
class StreamOptions:
    """In tokens (25 per second). The defaults are the reference's; a smaller ``hop`` speaks sooner and costs more."""

    hop: int = 200
    max_hop: int = 1600
    max_growth: int = 15
    lookahead: int = 3
    limit: int = 6000

    def __post_init__(self) -> None:
        if 2 * self.hop < SEAM_FRAMES:
            raise UsageError(f"a hop of {self.hop} tokens is shorter than a seam of {SEAM_FRAMES} mel frames")
        if self.max_hop < self.hop or self.limit < 1 or self.max_growth < 1 or self.lookahead < 0:
            raise UsageError(f"stream options contradict each other: {self}")


@dataclass(frozen=True)
class StreamCall:
    """Tokens ``first`` to ``first + num_tokens`` go through the flow; those before ``token_offset`` are spoken already.

    ``begins`` a block: no seam is carried over. ``streaming``: chunked attention. ``finalize``: no look-ahead is kept
    back.
    """

    first: int
    num_tokens: int
    token_offset: int
    streaming: bool
    finalize: bool
    begins: bool


class StreamSchedule:
    """Counts tokens and says when to speak. Hops grow from ``hop`` to ``max_hop``, so that speaking stays ahead."""

    def __init__(self, num_prompt_tokens: int, options: StreamOptions | None = None) -> None:
        self.options = options or StreamOptions()
        hop = self.options.hop
        self._padding = -num_prompt_tokens % hop  # fills the prompt up to whole hops
        self._hop = hop + self._padding
        self._growth = 2
        self._first = 0  # index of the block's first token
        self._available = 0  # tokens since then
        self._offset = 0  # of which are spoken

    def add(self, num_tokens: int) -> list[StreamCall]:
        """The calls that are due after ``num_tokens`` more tokens."""
        self._available += num_tokens
        calls = []
        while self._available - self._offset >= self._hop + self.options.lookahead:
            calls.append(self._advance())
        return calls

    def end(self) -> list[StreamCall]:
        """The call that speaks all that is left; none if nothing is."""
        if not self._available:
            return []
        call = StreamCall(self._first, self._available, self._offset, False, True, self._offset == 0)
        self._begin_block(self._available)
        return [call]

    def _advance(self) -> StreamCall:
        options, spoken = self.options, self._offset
        self._offset += self._hop
        num_tokens = self._offset + options.lookahead
        self._hop = min(options.hop * self._growth, options.max_hop)
        self._growth = min(2 * self._growth, options.max_growth)
        finalize = self._offset > options.limit
        call = StreamCall(self._first, num_tokens, spoken, not finalize, finalize, spoken == 0)
        if finalize:
            self._begin_block(num_tokens)
            self._hop = self._hop // 2 + self._padding
        return call

    def _begin_block(self, num_spoken: int) -> None:
        """The look-ahead was spoken too, so the next block begins after it."""
        self._first += num_spoken
        self._available -= num_spoken
        self._offset = 0


class SpeechStream:
    """One utterance spoken while its rows arrive. Not for several threads at once."""

    def __init__(
        self, detokenizer: Detokenizer, prompt: VoicePrompt, seed: int, options: StreamOptions | None = None
    ) -> None:
        self._detokenizer = detokenizer
        self._prompt = prompt
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._schedule = StreamSchedule(prompt.num_tokens, options)
        self._tokens: list[int] = []  # since the block began
        self._first = 0
        self._seam: Seam | None = None
        self._codebook = detokenizer.flow.config.vocab_size

    def push(self, row: Sequence[int]) -> Iterator[Tensor]:
        """One row of speech codes (without its text id) -> the (N,) pieces that are due, often none.

        A row with any id outside the codebook (end, pad) is left out whole (spec 4.3).
        """
        if any(not 0 <= code < self._codebook for code in row):
            return
        self._tokens.extend(row)
        for call in self._schedule.add(len(row)):
            yield self._run(call)

    def finish(self) -> Iterator[Tensor]:
        """The rest; nothing if every token is spoken."""
        for call in self._schedule.end():
            yield self._run(call)

    def _run(self, call: StreamCall) -> Tensor:
        del self._tokens[: call.first - self._first]
        self._first = call.first
        wave, self._seam = self._detokenizer.speak_piece(
            torch.tensor(self._tokens[: call.num_tokens]),
            self._prompt,
            self._generator,
            token_offset=call.token_offset,
            seam=None if call.begins else self._seam,
            streaming=call.streaming,
            finalize=call.finalize,
        )
        return wave.cpu()
