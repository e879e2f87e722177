"""Joint generation: brain and mouth advance together; the answer is spoken while it is thought (spec 7).

Goes in: a prompt for the brain, a voice prompt for the mouth. Comes out: text tokens and speech rows as they are made.
The brain's ids are the mouth's text as they are: both have one base vocabulary. Knows nothing of audio and of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from omnitts.errors import ModelError
from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.brain.answer import DEFAULT_MAX_NEW_TOKENS, AnswerBatch, TextStream
from omnitts.models.mgm_omni.brain.loading import LoadedBrain
from omnitts.models.mgm_omni.brain.network import PromptEmbeds
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.generate import Choose, SpeechBatch, SpeechResult, SpeechSequence
from omnitts.models.mgm_omni.prompt import SpeechPrompt
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.mgm_omni.text_feed import CONVERSATION, Row


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The brain's next token, and the text that became whole with it (often a word, sometimes nothing)."""

    token: int
    text: str


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """The mouth's next row: a text id, then K codes."""

    row: Row


JointEvent = TextDelta | SpokenRow


class JointGeneration:
    """One spoken answer. Iterate over it for the events as they happen; ``tokens`` and ``speech()`` hold what came.

    In one turn of the loop the brain gives a token, which the mouth may use at once, and the mouth a row. While a chunk
    would begin with nothing but blanks the mouth waits (the reference raises IndexError there). The processors'
    settings serve both models; on one device they also draw from one generator, in turn.
    """

    def __init__(
        self,
        brain: LoadedBrain,
        prompt: PromptEmbeds,
        mouth: Mouth,
        voice_rows: torch.Tensor,
        sampling: Sampling,
        *,
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        choose: Choose = sampler.sample,
    ) -> None:
        """``voice_rows`` (T, 1 + K): the mouth's prompt, ending with audio_start (`PromptBuilder.voice_rows`).

        ``max_new_tokens`` limits the brain's tokens and the mouth's rows alike. Raises `ModelError` when brain and
        mouth do not end a text with the same id: then they do not share a vocabulary.
        """
        text_eos = mouth.vocabulary.text_eos
        if brain.tokenizer.eos_token_id != text_eos:
            raise ModelError(
                f"the brain ends its text with id {brain.tokenizer.eos_token_id}, the mouth with {text_eos}",
                hint="use a brain and a mouth of one family",
            )
        own = RowSampler(sampling, brain.network.logits_device)
        mouth_device = mouth.model.model.embed_tokens.weight.device
        self._eos_ids = brain.eos_ids
        self._text = TextStream(brain.tokenizer)
        self._answers = AnswerBatch(
            brain.network,
            [prompt],
            [own],
            eos_ids=brain.eos_ids,
            max_new_tokens=max_new_tokens,
            choose=choose,
        )
        self._speech = SpeechSequence.start(
            SpeechPrompt(voice_rows, ()),
            mouth.vocabulary,
            sampling,
            max_rows=max_new_tokens,
            rules=CONVERSATION,
            device=mouth_device,
            generator=own.generator if mouth_device == brain.network.logits_device else None,
        )
        self._mouth = SpeechBatch(mouth.model, num_rows=1, max_length=self._speech.most_positions, choose=choose)
        self._mouth.join([self._speech])

    @property
    def tokens(self) -> list[int]:
        """The brain's tokens so far, the one that ended the answer among them."""
        return self._answers.tokens[0]

    def speech(self) -> SpeechResult:
        """The mouth's rows so far, and what went wrong with them."""
        return self._speech.result()

    def __iter__(self) -> Iterator[JointEvent]:
        feed = self._speech.feed
        while not (self._answers.all_finished and feed.is_finished):
            yield from self._think()
            if not feed.is_finished and not feed.wants_text():
                self._mouth.step()
                yield SpokenRow(self._speech.rows[-1])

    def _think(self) -> Iterator[TextDelta]:
        """One brain token, pushed to the mouth unless it ends the answer."""
        token = self._answers.step()[0]
        if token is None:
            return
        feed = self._speech.feed
        is_open = not feed.is_finished
        if is_open and token not in self._eos_ids:
            feed.push([token])
        text = self._text.push(token)
        if self._answers.all_finished:
            text += self._text.flush()
            if is_open:
                feed.close()
        yield TextDelta(token, text)
