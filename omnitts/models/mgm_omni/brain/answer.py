"""Answer: the brain's logits become tokens, one per conversation and step, and text as it comes.

Goes in: prompts ready for the decoder. Comes out: token ids, for many conversations at once. Each has its own sampler,
so an answer is the same alone or among others. Knows nothing of speech.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import torch

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.brain.network import Brain, PromptEmbeds
from omnitts.models.mgm_omni.generate import Choose
from omnitts.models.mgm_omni.sampler import RowSampler

DEFAULT_MAX_NEW_TOKENS: Final = 4096  # of the published chat command line
_UNFINISHED_CHARACTER: Final = "\ufffd"


class AnswerBatch:
    """The answers being given together. ``step`` adds one token to every answer that is not finished.

    ``samplers`` draw on ``brain.logits_device``. An answer ends with an id of ``eos_ids`` (which it keeps) or at
    ``max_new_tokens``. The repetition penalty counts generated tokens only, not the prompt (trap 34).
    """

    def __init__(
        self,
        brain: Brain,
        prompts: Sequence[PromptEmbeds],
        samplers: Sequence[RowSampler],
        *,
        eos_ids: Collection[int],
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        choose: Choose = sampler.sample,
    ) -> None:
        self.tokens: list[list[int]] = [[] for _ in prompts]
        self._brain = brain
        self._samplers = list(samplers)
        self._eos_ids = frozenset(eos_ids)
        self._max_new_tokens = max_new_tokens
        self._choose = choose
        self._logits, self._state = brain.prefill(prompts)  # (B, V)
        self._is_fed = True  # the last tokens are in the state

    def is_finished(self, i: int) -> bool:
        tokens = self.tokens[i]
        return len(tokens) >= self._max_new_tokens or (bool(tokens) and tokens[-1] in self._eos_ids)

    @property
    def all_finished(self) -> bool:
        return all(self.is_finished(i) for i in range(len(self.tokens)))

    @torch.inference_mode()
    def step(self) -> list[int | None]:
        """The next token of each answer, None for those that are finished."""
        going = [i for i in range(len(self.tokens)) if not self.is_finished(i)]
        if not going:
            return [None] * len(self.tokens)
        if not self._is_fed:
            last = torch.tensor([tokens[-1] for tokens in self.tokens])  # finished answers idle on their last token
            self._logits = self._brain.step(last, self._state)
        chosen: list[int | None] = [None] * len(self.tokens)
        samplers = [self._samplers[i] for i in going]
        codes = self._choose(self._logits[going][:, None], samplers).flatten().tolist()  # one codebook of V ids
        for i, token in zip(going, codes, strict=True):
            self._samplers[i].remember([token])
            self.tokens[i].append(token)
            chosen[i] = token
        self._is_fed = False
        return chosen


def answer(batch: AnswerBatch) -> list[list[int]]:
    """Runs all answers to their ends."""
    while not batch.all_finished:
        batch.step()
    return batch.tokens


def stream_text(batch: AnswerBatch, tokenizer: Any) -> Iterator[str]:
    """The text of a batch's single answer, piece by piece, never half a character."""
    if len(batch.tokens) != 1:
        raise ValueError("text is streamed for one answer at a time")
    text = TextStream(tokenizer)
    while not batch.all_finished:
        token = batch.step()[0]
        if token is not None and (piece := text.push(token)):
            yield piece
    if rest := text.flush():
        yield rest


class TextStream:
    """Token ids in, text out as soon as its characters are whole. Special tokens are not shown."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        self._pending.append(token)
        text = self._decode()
        if text.endswith(_UNFINISHED_CHARACTER):
            return ""
        self._pending.clear()
        return text

    def flush(self) -> str:
        """What is left at the end, half a character shown as U+FFFD."""
        text = self._decode()
        self._pending.clear()
        return text

    def _decode(self) -> str:
        return str(self._tokenizer.decode(self._pending, skip_special_tokens=True))
