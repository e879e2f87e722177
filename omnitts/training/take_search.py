"""Take search: some texts are said many times at once, and a reader who follows along drops the takes that go wrong.

A particle filter (sequential Monte Carlo) over the speech LM: every text has a few takes, each draws its own codes;
after every other row takes are drawn again in proportion to how well their codes spell the text so far, so a slip of a
sound costs a take its place within a third of a second. Goes in: prompts, text ids and labels. Comes out: of each text
the take that spells it best, in codes. Letters: U texts, N takes of each, B = U N, K codes per row, V ids per codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from omnitts.models.kv_cache import KVCache
from omnitts.models.mgm_omni.speech_lm import SpeechLM, padded_span
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.training.labels import unblank
from omnitts.training.spelling_score import SpellingScore
from omnitts.training.tokenizer_network import CodeReader

_ROWS_BETWEEN: Final = 2  # one look of the reader and the next
_CROWDED: Final = 0.7  # takes are drawn again when fewer than this share of them carry the weight
_SLOWEST: Final = 1.5  # times as long as the recording, and a second and a half more


@dataclass(frozen=True)
class Script:
    """What is to be said: prompt rows (P, 1 + K), the text's ids, the labels of its sounds, and about how many rows."""

    prompt: Tensor
    text_ids: tuple[int, ...]
    labels: tuple[int, ...]
    num_rows: int


@dataclass(frozen=True)
class Take:
    """``misread``: the share of labels that the reader gets wrong."""

    codes: tuple[int, ...]
    misread: float


class TakeSearch:
    """``temperature``: of drawing codes, above that of speaking, so that takes differ. Model and reader: one device."""

    def __init__(
        self,
        model: SpeechLM,
        vocabulary: SpeechVocabulary,
        reader: CodeReader,
        pre_pad: int,
        num_takes: int = 8,
        temperature: float = 0.5,
    ) -> None:
        self._model, self._vocabulary, self._reader = model, vocabulary, reader
        self._pre_pad, self._num_takes, self._temperature = pre_pad, num_takes, temperature
        self._device = reader.quantiser.bases.device

    @torch.no_grad()
    def best(self, scripts: Sequence[Script]) -> list[Take | None]:
        """A take of each; None where no take came to an end. Chance is torch's."""
        U, N = len(scripts), self._num_takes
        first = torch.arange(U, device=self._device).repeat_interleave(N)
        most_rows = self._pre_pad + max(int(_SLOWEST * script.num_rows) + 10 for script in scripts)
        cache, logits = self._prefilled(scripts, first, most_rows)
        score = SpellingScore(self._reader, [scripts[text].labels for text in first.tolist()])
        pads = first.new_full((U * N, self._vocabulary.codes_per_row), self._vocabulary.speech_pad)
        codes, lengths, has_ended = pads[:, :0], torch.zeros_like(first), torch.zeros_like(first, dtype=torch.bool)
        before: Tensor | None = None
        for row in range(most_rows):
            spoken = pads
            if row >= self._pre_pad:
                spoken, ends = self._drawn(logits)
                has_ended |= ends
                spoken[has_ended] = self._vocabulary.silence_code
                codes = torch.cat((codes, spoken), dim=1)
                lengths = torch.where(has_ended, lengths, codes.shape[1])
            if has_ended.all():
                break
            text = first.new_tensor([self._text(script, row) for script in scripts])[first]
            logits = self._step(torch.cat((text[:, None], spoken), dim=1)[:, None], cache)
            if row >= self._pre_pad and (row - self._pre_pad) % _ROWS_BETWEEN == _ROWS_BETWEEN - 1:
                score.read_on(codes, lengths)
                now = score.scores(has_ended)
                index = self._drawn_again(now if before is None else now - before)
                _reorder(cache, index)
                score.reorder(index)
                logits, codes, lengths, has_ended = (part[index] for part in (logits, codes, lengths, has_ended))
                before = now[index]
        spans = zip(codes.tolist(), lengths.tolist(), has_ended.tolist(), strict=True)
        said = [tuple(own[:length]) if ended else () for own, length, ended in spans]
        return [self._best_of(said[u * N : (u + 1) * N], script.labels) for u, script in enumerate(scripts)]

    def _prefilled(self, scripts: Sequence[Script], first: Tensor, most_rows: int) -> tuple[KVCache, Tensor]:
        """A cache of B rows that holds each take's prompt, and the logits behind it."""
        counts = torch.tensor([len(script.prompt) for script in scripts], device=self._device)
        rows = nn.utils.rnn.pad_sequence([script.prompt.to(self._device) for script in scripts], batch_first=True)
        cache = self._model.new_cache(len(scripts), padded_span(rows.shape[1] + most_rows, 1 << 30))
        logits = self._model(rows, cache, counts, span=padded_span(rows.shape[1], cache.max_length))
        cache.advance(counts)
        keys, values = ([part[first] for part in parts] for parts in (cache.keys, cache.values))
        return KVCache(keys, values, cache.lengths[first]), logits[first]

    def _step(self, rows: Tensor, cache: KVCache) -> Tensor:
        logits: Tensor = self._model(rows, cache)
        cache.advance(1)
        return logits

    def _text(self, script: Script, row: int) -> int:
        return script.text_ids[row] if row < len(script.text_ids) else self._vocabulary.text_pad

    def _drawn(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (B, K) of logits (B, K, V), and which rows are an end (B,); within a row only sounds count."""
        num_codes = self._vocabulary.speech_eos
        drawn = torch.distributions.Categorical(logits=logits / self._temperature).sample()  # type: ignore[no-untyped-call]
        ends = (drawn >= num_codes).all(dim=1)
        return torch.where(drawn >= num_codes, logits[..., :num_codes].argmax(-1), drawn), ends

    def _drawn_again(self, gains: Tensor) -> Tensor:
        """(B,) which takes go on, each text among its own: systematic resampling by gains (B,) in nats."""
        N = self._num_takes
        weights = gains.view(-1, N).softmax(dim=1)
        index = torch.arange(len(gains), device=gains.device).view(-1, N)
        ends = weights.cumsum(dim=1)
        places = (torch.arange(N, device=gains.device) + torch.rand(len(weights), 1, device=gains.device)) / N
        chosen = torch.searchsorted(ends, places).clamp(max=N - 1) + index[:, :1]
        crowded = 1 / weights.square().sum(dim=1) < _CROWDED * N
        return torch.where(crowded[:, None], chosen, index).flatten()

    def _best_of(self, takes: Sequence[tuple[int, ...]], labels: tuple[int, ...]) -> Take | None:
        heard = [(self._heard(codes, labels), codes) for codes in dict.fromkeys(takes) if codes]
        if not heard:
            return None
        (_, misread), codes = min(heard)
        return Take(codes, misread)

    def _heard(self, codes: tuple[int, ...], labels: tuple[int, ...]) -> tuple[float, float]:
        """The loss of spelling ``labels``, and the share that is misread."""
        read = self._reader.read(torch.tensor([codes], device=self._device))[0].log_softmax(-1)
        lengths = torch.tensor([len(codes)]), torch.tensor([len(labels)])
        loss = F.ctc_loss(read[:, None], torch.tensor([labels], device=self._device), *lengths, reduction="sum")
        wrong = Levenshtein.distance(unblank(read.argmax(-1).tolist()), labels)
        return float(loss), wrong / len(labels)


def _reorder(cache: KVCache, index: Tensor) -> None:
    """Row b becomes a copy of what row ``index[b]`` was."""
    if (index == torch.arange(len(index), device=index.device)).all():
        return
    span = int(cache.lengths.max())
    for tensor in (*cache.keys, *cache.values):
        tensor[:, :, :span] = tensor[index, :, :span]
    cache.lengths.copy_(cache.lengths[index])
