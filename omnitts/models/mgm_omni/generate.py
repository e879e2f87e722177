"""Decoding loop: prompts of many utterances in, finished rows of each out, in the order they finish.

Sequences join while others speak and leave when they end; each has its own text feed, sampler and place in the cache.
This is the plain form of the loop; it knows nothing of audio, voices, or which utterance matters most.

Letters: B rows of the batch, K codes per step, V ids per codebook.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.prompt import SpeechPrompt
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM, padded_span
from omnitts.models.mgm_omni.text_feed import NARRATION, Failure, FeedRules, Row, TextFeed
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

DEFAULT_MAX_ROWS: Final = 8192  # max_new_tokens of the published command line

Choose = Callable[[Tensor, Sequence[RowSampler]], Tensor]  # logits (B, K, V) -> codes (B, K)


@dataclass(frozen=True)
class SpeechResult:
    """One finished sequence."""

    rows: Tensor  # (T, 1 + K) int64
    failures: tuple[Failure, ...]  # empty: it ended well


@dataclass(eq=False)
class SpeechSequence:
    """One utterance being spoken: its prompt, its feed, its sampler, and the rows so far."""

    prompt_rows: Tensor
    feed: TextFeed
    sampler: RowSampler
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        prompt: SpeechPrompt,
        vocabulary: SpeechVocabulary,
        sampling: Sampling,
        *,
        max_rows: int = DEFAULT_MAX_ROWS,
        rules: FeedRules = NARRATION,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> SpeechSequence:
        """A sequence that has not spoken yet; arguments as for `TextFeed` and `RowSampler`."""
        feed = TextFeed(vocabulary, prompt.text_ids, max_rows=max_rows, rules=rules)
        return cls(prompt.rows, feed, RowSampler(sampling, device, generator))

    @property
    def length(self) -> int:
        """Cache positions used once the last row is fed back."""
        return len(self.prompt_rows) + len(self.rows)

    @property
    def most_positions(self) -> int:
        """Cache positions it can need."""
        return len(self.prompt_rows) + self.feed.most_rows

    def append(self, codes: Sequence[int]) -> None:
        """Takes the K codes chosen for the next row; the feed makes the row of them, the sampler remembers it."""
        row = self.feed.next_row(codes)
        self.rows.append(row)
        self.sampler.remember(row[1:])

    def result(self) -> SpeechResult:
        width = self.prompt_rows.shape[1]
        return SpeechResult(torch.tensor(self.rows).view(-1, width), tuple(self.feed.failures))


class SpeechBatch:
    """The sequences being spoken together: `join` prefills prompts, `step` gives every sequence one more row.

    Sequence i sits in row i of the cache; when one leaves, the last takes its place, so that a step always works on
    the rows in front. Between steps the logits of every sequence's next row are at hand.
    """

    def __init__(self, model: SpeechLM, *, num_rows: int, max_length: int, choose: Choose = sampler.sample) -> None:
        config = model.config
        self.sequences: list[SpeechSequence] = []
        self._model = model
        self._cache = model.new_cache(num_rows, max_length)
        self._logits = torch.zeros(num_rows, config.codes_per_row, config.codebook_size, device=self.device)
        self._choose = choose

    @property
    def num_free(self) -> int:
        return self._cache.num_rows - len(self.sequences)

    @property
    def max_length(self) -> int:
        """Positions a sequence of this batch can have, prompt included."""
        return self._cache.max_length

    @property
    def device(self) -> torch.device:
        return self._cache.lengths.device

    @torch.inference_mode()
    def join(self, sequences: Sequence[SpeechSequence]) -> None:
        """Prefills the prompts of new sequences together, whatever their lengths; they speak from the next step on.

        Raises ValueError when there are not as many free rows, or a sequence may outgrow the cache.
        """
        if not sequences:
            return
        if len(sequences) > self.num_free:
            raise ValueError(f"{len(sequences)} sequences cannot join: {self.num_free} rows are free")
        longest = max(sequence.most_positions for sequence in sequences)
        if longest > self._cache.max_length:
            raise ValueError(f"a sequence may need {longest} positions, the cache has {self._cache.max_length}")
        first, stop = len(self.sequences), len(self.sequences) + len(sequences)
        cache = self._cache.rows(first, stop)
        cache.lengths.zero_()
        prompts = torch.nn.utils.rnn.pad_sequence([s.prompt_rows for s in sequences], batch_first=True)
        counts = torch.tensor([len(s.prompt_rows) for s in sequences], device=self.device)
        span = padded_span(prompts.shape[1], cache.max_length)
        self._logits[first:stop] = self._model(prompts.to(self.device), cache, counts, span)
        cache.advance(counts)
        self.sequences.extend(sequences)

    @torch.inference_mode()
    def step(self) -> list[SpeechSequence]:
        """One more row for every sequence that has text to go on with; returns those that finished, which leave."""
        speaking = [i for i, sequence in enumerate(self.sequences) if not sequence.feed.wants_text()]
        if not speaking:
            return []
        samplers = [self.sequences[i].sampler for i in speaking]
        chosen = self._choose(self._logits[speaking], samplers).tolist()
        for i, codes in zip(speaking, chosen, strict=True):
            self.sequences[i].append(codes)
        spoken = {self.sequences[i] for i in speaking}
        finished = self._let_leave()
        self._decode([sequence in spoken for sequence in self.sequences])
        return finished

    def _let_leave(self) -> list[SpeechSequence]:
        """Takes finished sequences out, each hole being filled from the end."""
        finished = []
        for i in reversed(range(len(self.sequences))):
            if not self.sequences[i].feed.is_finished:
                continue
            finished.append(self.sequences[i])
            last = len(self.sequences) - 1
            if i < last:
                self.sequences[i] = self.sequences[last]
                self._cache.copy_row(last, i)
                self._logits[i] = self._logits[last]
            self.sequences.pop()
        return finished[::-1]

    def _decode(self, has_new_row: list[bool]) -> None:
        """Feeds the new row of each sequence back; those without one idle and keep their logits."""
        if not any(has_new_row):
            return
        B = len(self.sequences)
        cache = self._cache.rows(0, B)
        width = 1 + self._model.config.codes_per_row
        idle = [0] * width
        rows = torch.tensor(
            [s.rows[-1] if new else idle for s, new in zip(self.sequences, has_new_row, strict=True)],
            device=self.device,
        ).view(B, 1, width)
        counts = torch.tensor(has_new_row, device=self.device).long()
        span = padded_span(max(sequence.length for sequence in self.sequences), cache.max_length)
        logits = self._model(rows, cache, None if all(has_new_row) else counts, span)
        self._logits[:B] = torch.where(counts.bool()[:, None, None], logits, self._logits[:B])
        cache.advance(counts)


def generate(
    model: SpeechLM, sequences: Sequence[SpeechSequence], *, num_rows: int = 64, choose: Choose = sampler.sample
) -> Iterator[tuple[int, SpeechResult]]:
    """Speaks all sequences, at most `num_rows` at a time; yields (place in `sequences`, result) as each finishes."""
    place = {sequence: i for i, sequence in enumerate(sequences)}
    waiting = deque(sequence for sequence in sequences if not sequence.feed.is_finished)
    yield from ((place[s], s.result()) for s in sequences if s.feed.is_finished)
    if not waiting:
        return
    batch = SpeechBatch(
        model,
        num_rows=min(num_rows, len(waiting)),
        max_length=max(sequence.most_positions for sequence in waiting),
        choose=choose,
    )
    while waiting or batch.sequences:
        batch.join([waiting.popleft() for _ in range(min(batch.num_free, len(waiting)))])
        yield from ((place[s], s.result()) for s in batch.step())
