"""Takes: the model says texts of its corpus, and what it says well is kept, to learn from as if it had been recorded.

Recordings teach what to say behind a perfect past, in codes that vary for no reason that the text gives. A take's past
is the model's own, and its codes are ones that it finds likely: learning the takes that a reader could follow makes the
model sure of what it can already say (expert iteration; takes of the better model are better again). Speakers with many
hours give no more of them than the recipe's `speaker_share`. Appends to RUN/takes/takes.jsonl; may be stopped at any
moment.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from omnitts.errors import InputError
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.packed_linear import can_pack
from omnitts.training.batching import balanced
from omnitts.training.lm_corpus import LmCorpus, open_lm_corpus
from omnitts.training.loop import load_weights
from omnitts.training.run_folder import RunFolder
from omnitts.training.speech_lm import new_model
from omnitts.training.speech_lm_stage import STAGE
from omnitts.training.take_search import Script, TakeSearch
from omnitts.training.takes_file import FOLDER, TAKES, CorpusTake, append_takes, mend_takes, read_takes

logger = logging.getLogger(__name__)

_LONGEST_S: Final = 8.0  # of a text as recorded: the longer, the fewer takes come through
_PACE: Final = (0.8, 1.3)  # times as long as the recording
_SORTED: Final = 16  # groups among which texts are sorted by length
_HOPELESS: Final = 400  # texts of which no take could be followed
_SAY_EVERY_S: Final = 30.0


@dataclass(frozen=True)
class TakesOptions:
    """``num_takes`` of each text; the best is kept unless more than ``most_misread`` of its sounds are misread."""

    num_takes: int = 8
    most_misread: float = 0.18
    texts_at_once: int = 8


def make_takes(run: RunFolder, hours: float, options: TakesOptions, *, device: str = "cpu") -> float:
    """Adds ``hours`` of takes to those that are there; returns the hours that there are then.

    Raises `InputError` when the speech LM has no weights yet, or its takes are so bad that none is kept.
    """
    corpus, recipe, path = open_lm_corpus(run, for_takes=True), run.recipe(), run.root / FOLDER / TAKES
    model = _open_model(run, corpus, device)
    assert corpus.reader is not None, "labels were asked for"
    reader = corpus.reader.codes.to(device)
    search = TakeSearch(model, corpus.vocabulary, reader, corpus.config.dropped_rows, options.num_takes)
    mend_takes(path)
    already = read_takes(path)
    kept_s = sum(take.seconds for take in already)
    wanted_s = kept_s + 3600 * hours
    tried, kept, said_s = 0, 0, time.monotonic()
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(recipe.seed + len(already))
        rng = random.Random(f"{recipe.seed} {len(already)}")
        while kept_s < wanted_s:
            before_s = kept_s
            for group in _groups(corpus, options.texts_at_once, recipe.speech_lm.speaker_share, rng):
                found = zip(group, search.best([script for _, script in group]), strict=True)
                takes = [
                    CorpusTake(corpus.ids[place], take.codes, round(take.misread, 4))
                    for (place, _), take in found
                    if take and take.misread <= options.most_misread and _in_pace(corpus, place, len(take.codes))
                ]
                append_takes(path, takes)
                tried, kept = tried + len(group), kept + len(takes)
                kept_s += sum(take.seconds for take in takes)
                if time.monotonic() - said_s > _SAY_EVERY_S:
                    said_s = time.monotonic()
                    logger.info("takes: %.2f of %.2f hours; %d of %d kept", kept_s / 3600, wanted_s / 3600, kept, tried)
                if kept_s >= wanted_s or (not kept and tried >= _HOPELESS):
                    break
            if kept_s == before_s:
                hint = "train the speech LM for longer first"
                raise InputError(f"the reader could follow none of {tried} takes", where=str(path), hint=hint)
    logger.info("takes: %.2f hours; %d of %d kept", kept_s / 3600, kept, tried)
    return kept_s / 3600


def _open_model(run: RunFolder, corpus: LmCorpus, device: str) -> SpeechLM:
    model = new_model(corpus.config, 0)
    load_weights(nn.ModuleDict({"model": model}), run.root / STAGE, run.recipe().speech_lm.plan)
    model = model.to(device)
    if can_pack(torch.bfloat16, device):
        model = model.bfloat16()
        model.pack()
    return model.eval()


def _groups(
    corpus: LmCorpus, num_texts: int, speaker_share: float, rng: random.Random
) -> Iterator[list[tuple[int, Script]]]:
    """All usable utterances once, in groups of about one length."""
    data, pass_number = corpus.data, rng.randrange(1 << 30)
    usable = [
        place
        for place, item in enumerate(data.utterances)
        if place not in corpus.held_back and item.take_of is None and item.spelling and item.seconds <= _LONGEST_S
    ]
    utterances = data.utterances
    places = balanced(
        usable, lambda i: utterances[i].seconds, lambda i: utterances[i].speaker, speaker_share, 0, pass_number
    )
    rng.shuffle(places)
    for start in range(0, len(places), _SORTED * num_texts):
        alike = sorted(places[start : start + _SORTED * num_texts], key=lambda i: utterances[i].seconds)
        groups = [alike[at : at + num_texts] for at in range(0, len(alike), num_texts)]
        rng.shuffle(groups)
        for group in groups:
            made = [(place, _script(corpus, place, f"takes {pass_number}")) for place in group]
            yield [(place, script) for place, script in made if script is not None]


def _script(corpus: LmCorpus, place: int, seed: str) -> Script | None:
    """None where no example can be made, or the text is more than one chunk."""
    utterance, vocabulary = corpus.data.utterances[place], corpus.vocabulary
    example = corpus.data.example(place, seed, dropout=False, alone=True)
    if example is None:
        return None
    text = example.rows[example.num_prompt :, 0].tolist()
    if vocabulary.audio_sep in text:
        return None
    silent = (vocabulary.text_pad, vocabulary.audio_end, vocabulary.text_eos)
    ids = tuple(token for token in text if token not in silent)
    num_rows = -(-len(utterance.codes) // vocabulary.codes_per_row)
    return Script(example.rows[: example.num_prompt], ids, utterance.spelling, num_rows)


def _in_pace(corpus: LmCorpus, place: int, num_codes: int) -> bool:
    slowest, fastest = _PACE
    return slowest <= num_codes / len(corpus.data.utterances[place].codes) <= fastest
