"""Examples for the speech LM: who is joined to whom, which clip is the reference, and their rows. Chance by number.

Utterances (text, codes, speaker) in; for any example number always the same rows out. The reference is another
utterance of the same speaker; a speaker with one utterance alone borrows that of the most similar voice.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from omnitts.errors import VoiceError
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.training.alignment import token_at_codes
from omnitts.training.recipe import SpeechLmRecipe
from omnitts.training.rows import UNKNOWN, Example, IntArray, SpokenText, example, prompt_said, spoken_rows
from omnitts.training.store import CODE_S
from omnitts.training.text_tokenizer import TextCoder

_PAUSE_CODES: Final = (2, 10)  # between utterances of one chunk, beside the margins they have
_SIMILAR: Final = 4
_TRIES: Final = 3
_REMEMBERED: Final = 1 << 15  # prompts, 3 kB each


@dataclass(frozen=True)
class LmUtterance:
    """``text`` as the mouth's text track has it, ``transcript`` as a person would write it for a reference clip.

    ``byte_codes``: the code at which each UTF-8 byte of ``text`` is spoken, if known (`alignment`). ``spelling``: the
    labels of its sounds, if known. ``take_of``: the recorded utterance whose text the model itself said here.
    """

    text: str
    transcript: str
    speaker: str
    codes: tuple[int, ...]
    accent: str = ""
    byte_codes: NDArray[np.float32] | None = None
    spelling: tuple[int, ...] = ()
    take_of: int | None = None

    @property
    def seconds(self) -> float:
        return len(self.codes) * CODE_S


@dataclass(frozen=True)
class _Choice:
    reference: int
    spoken: tuple[int, ...]


@dataclass(frozen=True)
class _Prompt:
    """Of a reference: rows (P, 1 + K), and (P,) the text id that the sound of each says, or UNKNOWN."""

    rows: Tensor
    said: Tensor


class LmData:
    """All utterances, and the examples made of them. ``voices`` (N, E): a vector per utterance, tells who is alike."""

    def __init__(
        self,
        utterances: Sequence[LmUtterance],
        voices: NDArray[np.float32],
        prompts: PromptBuilder,
        vocabulary: SpeechVocabulary,
        coder: TextCoder,
        recipe: SpeechLmRecipe,
        dropout: float,
        pre_pad: int,
    ) -> None:
        self.utterances = utterances
        self._prompts, self._vocabulary, self._coder = prompts, vocabulary, coder
        self._recipe, self._dropout, self._pre_pad = recipe, dropout, pre_pad
        self._of_speaker: dict[str, list[int]] = defaultdict(list)
        self._is_take = np.array([utterance.take_of is not None for utterance in utterances])
        for index, utterance in enumerate(utterances):
            if not self._is_take[index]:
                self._of_speaker[utterance.speaker].append(index)
        self._alike: dict[int, list[int]] = {}
        self._prompt = lru_cache(_REMEMBERED)(self._new_prompt)
        lengths = np.linalg.norm(voices, axis=1, keepdims=True)
        self._voices = voices / np.maximum(lengths, 1e-6)

    def seconds(self, index: int, seed: str, *, alone: bool = False) -> float:
        """Of the example, its reference included."""
        choice = self._choose(index, random.Random(f"{seed} {index}"), alone)
        return sum(self.utterances[place].seconds for place in (choice.reference, *choice.spoken))

    def example(self, index: int, seed: str, *, dropout: bool = True, alone: bool = False) -> Example | None:
        """The example that speaks utterance ``index``, perhaps with others; None when no rows can be made of it."""
        rng = random.Random(f"{seed} {index}")
        choice = self._choose(index, rng, alone)
        attempts = [(choice.spoken, dropout)] * _TRIES + [((index,), dropout)] * _TRIES + [((index,), False)]
        for spoken, drops in attempts:
            pieces = [self._piece(place, number > 0, drops, rng) for number, place in enumerate(spoken)]
            pauses = [rng.randint(*_PAUSE_CODES) for _ in pieces]
            rows = spoken_rows(self._vocabulary, pieces, self._pre_pad, pauses)
            if rows is None:
                continue
            prompt = self._prompt(choice.reference)
            if prompt is None:
                return None
            return example(prompt.rows, rows, prompt.said, self.utterances[choice.reference].spelling)
        return None

    def _piece(self, index: int, follows: bool, drops: bool, rng: random.Random) -> SpokenText:
        utterance = self.utterances[index]
        text = f" {utterance.text}" if follows else utterance.text
        ids = self._coder.dropped_ids(text, self._dropout, rng) if drops and self._dropout else self._coder.ids(text)
        said = self._said(utterance, ids, follows)
        return SpokenText(ids, utterance.codes, said, utterance.spelling)

    def _new_prompt(self, place: int) -> _Prompt | None:
        """None where the clip cannot be one."""
        reference = self.utterances[place]
        try:
            rows = self._prompts.voice_rows(reference.transcript, reference.codes, reference.accent)
        except VoiceError:
            return None
        written = self._prompts.written(reference.transcript, reference.accent)
        if written != reference.text:  # when its words are spoken is known of the spoken text alone
            return _Prompt(rows, prompt_said(rows, ()))
        return _Prompt(rows, prompt_said(rows, self._said(reference, self._coder.ids(reference.text), False)))

    def _said(self, utterance: LmUtterance, ids: Sequence[int], follows: bool) -> Sequence[int] | IntArray:
        """The id spoken at each code; empty when it is not known. One that ``follows`` has a blank in front."""
        times = utterance.byte_codes
        if times is None or not ids:
            return ()
        # Most tokens begin with a blank, and sound from the letter behind it.
        firsts = self._coder.num_bytes(ids).cumsum()
        firsts[1:] = firsts[:-1] - follows
        firsts[0] = -1
        firsts = np.minimum(np.maximum(firsts, 0) + 1, len(times) - 1)
        firsts[0] = 0
        return token_at_codes(times[firsts], ids, len(utterance.codes), UNKNOWN)

    def _choose(self, index: int, rng: random.Random, alone: bool) -> _Choice:
        """Which clip is the reference, and which utterances are spoken: ``index`` and perhaps others behind it."""
        utterance = self.utterances[index]
        own = self._of_speaker[utterance.speaker]
        if utterance.take_of is not None:
            reference = self._reference(own, {utterance.take_of}, rng)
            return _Choice(rng.choice(self._similar(utterance.take_of)) if reference is None else reference, (index,))
        joins = not alone and len(own) > 2 and rng.random() < self._recipe.joined_share
        num_more = rng.randint(1, min(self._recipe.joined_most, len(own) - 2)) if joins else 0
        more = [place for place in rng.sample(own, num_more + 1) if place != index][:num_more]
        reference = self._reference(own, {index, *more}, rng)
        return _Choice(rng.choice(self._similar(index)) if reference is None else reference, (index, *more))

    def _reference(self, own: list[int], spoken: set[int], rng: random.Random) -> int | None:
        """One of a speaker's clips that are not spoken, of a fitting length if there is one."""
        for _ in range(_TRIES):  # a speaker may have thousands
            place = rng.choice(own)
            if place not in spoken and self._fits(place):
                return place
        free = [place for place in own if place not in spoken]
        fitting = [place for place in free if self._fits(place)] or free
        return rng.choice(fitting) if fitting else None

    def _fits(self, place: int) -> bool:
        shortest_s, longest_s = self._recipe.reference_s
        return shortest_s <= self.utterances[place].seconds <= longest_s

    def _similar(self, index: int) -> list[int]:
        """The few utterances whose voices are most like this one's, found once."""
        if index not in self._alike:
            likeness = self._voices @ self._voices[index]
            likeness[index] = -np.inf
            likeness[self._is_take] = -np.inf
            nearest = np.argsort(-likeness, kind="stable")[:_SIMILAR]
            self._alike[index] = [int(place) for place in nearest if place != index] or [index]
        return self._alike[index]
