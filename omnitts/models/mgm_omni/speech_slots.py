"""Speech slots: many sequences being spoken at once, as tensors of one fixed shape that a step changes in place.

Goes in: a voice's prefix, text, settings and a free slot for each sequence. Comes out: finished rows. `step` is one
chain of tensor operations without a look at any value, so it may be run as it stands or recorded once and replayed.
The plain twin is `generate.SpeechBatch`. Does not know who waits, who is next, or what replays a step.

Letters: S slots, B of them in front take part in a step, K codes per step, V ids per codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnitts.models.kv_cache import KVCache
from omnitts.models.mgm_omni.draws import CounterDraws, Draws, GeneratorDraws
from omnitts.models.mgm_omni.feed_table import FeedTable, SpokenText
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM, padded_span
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary


@dataclass(frozen=True)
class Prefix:
    """A voice's prompt, prefilled: all utterances of the voice begin with this, and none is prefilled again."""

    cache: KVCache  # one row
    logits: Tensor  # (K, V) of the first row to speak

    @property
    def length(self) -> int:
        return self.cache.max_length

    @property
    def num_bytes(self) -> int:
        tensors = (*self.cache.keys, *self.cache.values, self.logits)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.inference_mode()
def prefill(model: SpeechLM, prompts: Sequence[Tensor]) -> list[Prefix]:
    """Prompt rows (T, 1 + K) of several voices, of any lengths, through the model together."""
    longest = max(len(rows) for rows in prompts)
    cache = model.new_cache(len(prompts), longest)
    device = cache.lengths.device
    rows = torch.nn.utils.rnn.pad_sequence(list(prompts), batch_first=True).to(device)
    counts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    logits = model(rows, cache, counts, longest)
    cache.advance(counts)
    prefixes = []
    for row, prompt in enumerate(prompts):
        own = model.new_cache(1, len(prompt))
        own.copy_from(cache, row, 0)
        prefixes.append(Prefix(own, logits[row].clone()))
    return prefixes


@dataclass(frozen=True)
class Entry:
    """A sequence about to be spoken. ``row_limit`` rows are the most it may have."""

    prefix: Prefix
    text: SpokenText
    sampling: Sampling
    row_limit: int

    @property
    def most_positions(self) -> int:
        """Cache positions it can need."""
        return self.prefix.length + min(self.row_limit, self.text.most_rows)


class SpeechSlots:
    """The fixed pool: cache rows, text feeds, settings and logits of S sequences."""

    def __init__(
        self,
        model: SpeechLM,
        vocabulary: SpeechVocabulary,
        *,
        num_slots: int,
        max_length: int,
        on_device: bool | None = None,
    ) -> None:
        """``on_device``: draw by counter on the device (see draws.py); None: wherever the model is not on the CPU."""
        config = model.config
        self._model = model
        self._cache = model.new_cache(num_slots, max_length)
        K, V = config.codes_per_row, config.codebook_size
        device = self._cache.lengths.device
        self._feed = FeedTable(vocabulary, num_slots=num_slots, max_rows=max_length, device=device)
        self._logits = torch.zeros(num_slots, K, V, device=device)
        by_counter = device.type != "cpu" if on_device is None else on_device
        self.draws: Draws = (
            CounterDraws(num_slots=num_slots, codes_per_row=K, codebook_size=V, device=device)
            if by_counter
            else GeneratorDraws(num_slots, device)
        )

    @property
    def num_slots(self) -> int:
        return self._cache.num_rows

    @property
    def max_length(self) -> int:
        """Cache positions a sequence can have, prompt included."""
        return self._cache.max_length

    @property
    def states(self) -> Tensor:
        """(S,) int64 on the device: `feed_table.State` of each slot."""
        return self._feed.states

    @property
    def device(self) -> torch.device:
        return self._logits.device

    @torch.inference_mode()
    def enter(self, slots: Sequence[int], entries: Sequence[Entry]) -> None:
        """Sequences take free slots and speak from the next step on. ValueError where one may outgrow its slot."""
        for entry in entries:
            if entry.most_positions > self.max_length:
                raise ValueError(f"a sequence may need {entry.most_positions} positions, a slot has {self.max_length}")
        for slot, entry in zip(slots, entries, strict=True):
            self._cache.copy_from(entry.prefix.cache, 0, slot)
            self._logits[slot] = entry.prefix.logits
        self._feed.enter(slots, [entry.text for entry in entries], [entry.row_limit for entry in entries])
        self.draws.enter(slots, [entry.sampling for entry in entries])

    @torch.inference_mode()
    def step(self, num_slots: int, span: int) -> None:
        """One more row for every sequence in the first ``num_slots`` slots; attention looks at ``span`` positions.

        Empty and finished slots among them idle: they write where nothing is read. ``span`` is at least the length of
        the longest sequence with this row.
        """
        B = num_slots
        cache = self._cache.rows(0, B)
        codes = self.draws.choose(self._logits[:B])
        rows, active = self._feed.advance(codes)
        self.draws.remember(rows[:, 1:], active)
        counts = active.long()
        logits = self._model(rows[:, None], cache, counts, span)
        self._logits[:B] = torch.where(active[:, None, None], logits, self._logits[:B])
        cache.advance(counts)

    def result(self, slot: int) -> SpeechResult:
        """What the sequence of a slot has said by now."""
        return SpeechResult(*self._feed.rows_and_failures(slot))

    def last_row(self, slot: int) -> list[int]:
        """The row it made last: text id, then K codes."""
        return self._feed.last_row(slot)

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """The sequence of one slot goes on in another, which is free."""
        self._cache.copy_row(source, target)
        self._logits[target] = self._logits[source]
        self._feed.move(source, target)
        self.draws.move(source, target)

    def made(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Rows (N, T, 1 + K) of ``count`` neighbouring slots by now, and how many each has made, (N,)."""
        return self._feed.made(first, count)

    @torch.inference_mode()
    def rearrange(self, first: int, index: Tensor, since: int) -> None:
        """Slot ``first + i`` goes on from where slot ``first + index[i]`` is, with its own noise.

        All of them say the same text in the same voice; their caches are alike below position ``since``.
        """
        last = first + len(index)
        self._cache.rearrange(first, index, since, int(self._cache.lengths[first:last].max()))
        self._logits[first:last] = self._logits[first:last][index]
        self._feed.rearrange(first, index)
        self.draws.rearrange(first, index)

    @torch.inference_mode()
    def leave(self, slot: int) -> None:
        """A slot is free again, whatever it was saying."""
        self._feed.leave(slot)

    def span_for(self, length: int) -> int:
        """How far attention must look where the longest sequence has ``length`` positions: rounded up, so that shapes
        change rarely."""
        return padded_span(length, self.max_length)
