"""Takes: the model says texts of its corpus, and what it says well is kept, to learn from as if it had been recorded.

Recordings teach what to say behind a perfect past, in codes that vary for no reason that the text gives. A take's past
is the model's own, and its codes are ones that it finds likely: learning the takes that a reader could follow makes the
model sure of what it can already say (expert iteration; takes of the better model are better again). They are said as
an engine says them, steered by the tokenizer's reader. Speakers with many hours give no more of them than the recipe's
`speaker_share`. Appends to RUN/takes/takes.jsonl; may be stopped at any moment.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import torch
from torch import nn

from omnitts.engines.base import SpeechRequest
from omnitts.engines.scheduler import Scheduler
from omnitts.engines.sequence import Sequence
from omnitts.engines.steering import Steering
from omnitts.errors import InputError
from omnitts.models.linear_layout import Layout, usual_layout
from omnitts.models.mgm_omni.feed_table import CLOSES_TEXT, GOES_ON, SpokenText
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_rows import speech_codes
from omnitts.models.mgm_omni.speech_slots import Entry, prefill
from omnitts.models.reading.labels import Sounds
from omnitts.training.batching import balanced
from omnitts.training.checkpoint import load_weights
from omnitts.training.lm_corpus import LmCorpus, open_lm_corpus
from omnitts.training.run_folder import RunFolder
from omnitts.training.speech_lm import new_model
from omnitts.training.speech_lm_stage import STAGE
from omnitts.training.takes_file import FOLDER, TAKES, CorpusTake, append_takes, mend_takes, read_takes

logger = logging.getLogger(__name__)

_LONGEST_S: Final = 10.0  # of a text as recorded: the longer, the fewer takes come through
_PACE: Final = (0.8, 1.3)  # times as long as the recording
_SLOWEST: Final = 1.5  # times as long as the recording, and a second and a half more: there a take is cut
_HOPELESS: Final = 400  # texts one after the other of which no take could be followed
_SAY_EVERY_S: Final = 30.0


@dataclass(frozen=True)
class TakesOptions:
    """``num_takes`` of each text; the best is kept unless more than ``most_misread`` of its sounds are misread."""

    num_takes: int = 8
    most_misread: float = 0.18
    texts_at_once: int = 8


def make_takes(run: RunFolder, hours: float, options: TakesOptions, *, device: str = "cpu", workers: int = 0) -> float:
    """Adds ``hours`` of takes to those that are there; returns the hours that there are then.

    Raises `InputError` when the speech LM has no weights yet, or its takes are so bad that none is kept.
    """
    corpus, recipe, path = open_lm_corpus(run, for_takes=True, workers=workers), run.recipe(), run.root / FOLDER / TAKES
    model = _open_model(run, corpus, device)
    mend_takes(path)
    already = read_takes(path)
    kept_s = sum(take.seconds for take in already)
    wanted_s = kept_s + 3600 * hours
    assert corpus.reader is not None, "labels were asked for"
    corpus.reader.codes.to(device)
    steering = Steering(corpus.reader, corpus.vocabulary, corpus.config.dropped_rows, options.num_takes)
    at_once = options.texts_at_once
    scheduler = Scheduler(model, corpus.vocabulary, most_at_once=at_once, on_device=True, steering=steering)
    usable = _usable(corpus)
    scripts = _Scripts(corpus, model, recipe.speech_lm.speaker_share, f"{recipe.seed} {len(already)}")
    source = scripts.of(usable)
    tried, kept, since_kept, said_s = 0, 0, 0, time.monotonic()
    while kept_s < wanted_s:
        scheduler.add(islice(source, at_once - scheduler.num_open))
        if not scheduler.num_open:
            hint = f"takes are of utterances of at most {_LONGEST_S:g} s that fit one chunk"
            raise InputError("no utterance of the corpus can be said", where=str(run.root), hint=hint)
        for sequence in scheduler.step():
            tried += 1
            since_kept += 1
            take = _take(corpus, sequence)
            if take is not None and take.misread <= options.most_misread:
                append_takes(path, [take])
                kept, since_kept, kept_s = kept + 1, 0, kept_s + take.seconds
        if since_kept >= min(_HOPELESS, len(usable)):
            hint = "train the speech LM for longer first"
            raise InputError(f"the reader could follow none of {since_kept} takes", where=str(path), hint=hint)
        if time.monotonic() - said_s > _SAY_EVERY_S:
            said_s = time.monotonic()
            logger.info("takes: %.2f of %.2f hours; %d of %d kept", kept_s / 3600, wanted_s / 3600, kept, tried)
    logger.info("takes: %.2f hours; %d of %d kept", kept_s / 3600, kept, tried)
    return kept_s / 3600


def _open_model(run: RunFolder, corpus: LmCorpus, device: str) -> SpeechLM:
    model = new_model(corpus.config, 0)
    load_weights(nn.ModuleDict({"model": model}), run.root / STAGE, run.recipe().speech_lm.plan)
    model = model.to(device)
    if usual_layout(torch.bfloat16, device) is Layout.PACKED:
        model = model.bfloat16()
        model.lay_out(Layout.PACKED)
    return model.eval()


def _usable(corpus: LmCorpus) -> list[int]:
    return [
        place
        for place, item in enumerate(corpus.data.utterances)
        if place not in corpus.held_back and item.take_of is None and item.spelling and item.seconds <= _LONGEST_S
    ]


class _Scripts:
    """What is said, pass after pass over the usable utterances, in random order. ``seed`` decides all of it."""

    def __init__(self, corpus: LmCorpus, model: SpeechLM, speaker_share: float, seed: str) -> None:
        self._corpus, self._model, self._speaker_share = corpus, model, speaker_share
        self._random = random.Random(seed)

    def of(self, usable: list[int]) -> Iterator[Sequence]:
        utterances = self._corpus.data.utterances
        while usable:
            places = balanced(
                usable,
                lambda i: utterances[i].seconds,
                lambda i: utterances[i].speaker,
                self._speaker_share,
                0,
                self._random.randrange(1 << 30),
            )
            self._random.shuffle(places)
            num_said = 0
            for place in places:
                sequence = self._sequence(place, self._random.getrandbits(48))
                if sequence is not None:
                    num_said += 1
                    yield sequence
            if not num_said:
                return

    def _sequence(self, place: int, seed: int) -> Sequence | None:
        """None where no example can be made, or the text is more than one chunk."""
        corpus = self._corpus
        utterance, vocabulary = corpus.data.utterances[place], corpus.vocabulary
        example = corpus.data.example(place, f"takes {seed}", dropout=False, alone=True)
        if example is None:
            return None
        column = example.rows[example.num_prompt :, 0].tolist()
        if vocabulary.audio_sep in column:
            return None
        silent = (vocabulary.text_pad, vocabulary.audio_end, vocabulary.text_eos)
        ids = tuple(token for token in column if token not in silent)
        text = SpokenText(ids, (GOES_ON,) * (len(ids) - 1) + (CLOSES_TEXT,))
        num_rows = -(-len(utterance.codes) // vocabulary.codes_per_row)
        most_rows = corpus.config.dropped_rows + int(_SLOWEST * num_rows) + 10
        [prefix] = prefill(self._model, [example.rows[: example.num_prompt]])
        entry = Entry(prefix, text, Sampling(seed=seed), most_rows)
        return Sequence(SpeechRequest(str(place), ""), entry, Sounds(utterance.spelling))


def _take(corpus: LmCorpus, sequence: Sequence) -> CorpusTake | None:
    """None for one that went wrong, or at another pace than the recording."""
    result, place = sequence.result, int(sequence.request.key)
    if result is None or result.failures:
        return None
    codes = speech_codes(result.rows, corpus.vocabulary, corpus.config.dropped_rows).tolist()
    slowest, fastest = _PACE
    if not slowest <= len(codes) / len(corpus.data.utterances[place].codes) <= fastest:
        return None
    return CorpusTake(corpus.ids[place], tuple(codes), round(sequence.misread, 4))
