"""What the speech LM learns from: the coded corpus, its texts, when each word is said, how it is spelled, and takes.

A run folder in, `LmData` out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.models.reading.forced_alignment import FloatRow
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.lm_data import LmData, LmUtterance
from omnitts.training.reading import WordTimes, corpus_sounds, text_times
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.speech_lm import open_language, prepare_text, spoken, text_form
from omnitts.training.store import CorpusStore
from omnitts.training.takes_file import kept_takes
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer import read_codes
from omnitts.training.workers import mapped


@dataclass(frozen=True)
class LmCorpus:
    """``ids``: of the recorded utterances, which come first. ``held_back``: those that only measure. ``reader``: of
    spellings, where the recipe asks for one.
    """

    data: LmData
    ids: tuple[str, ...]
    held_back: frozenset[int]
    config: MouthConfig
    vocabulary: SpeechVocabulary
    reader: TextReader | None


def open_lm_corpus(
    run: RunFolder, books: list[str] | None = None, *, for_takes: bool = False, workers: int = 0
) -> LmCorpus:
    """``books``: more sentences to learn the text tokenizer from, the first time. ``for_takes``: to make some, so
    labels are wanted, and neither times nor takes. ``workers``: processes that find labels and times. Raises
    `InputError` when an earlier stage is not finished.
    """
    if workers:  # what reads text for them is forked as well, and would warn
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    sizes, folder = recipe.speech_lm, run.stage(TOKENIZER_STAGE)
    codes = read_codes(run, corpus)
    form = text_form(recipe)
    written = form.writer()
    texts = [written(spoken(item.text, item.accent), item.accent) for item in corpus.utterances]
    prepare_text(run, [*texts, *(written(text, "") for text in books or [])])
    _, config, vocabulary, prompts, coder = open_language(run)
    times: list[FloatRow] | list[None] = [None] * len(texts)
    if sizes.guide_weight and not for_takes:
        times = text_times(folder, corpus, codes, texts, form, workers)
    reader: TextReader | None = None
    labels: list[tuple[int, ...]] = [()] * len(texts)
    if for_takes or sizes.spelling_weight or sizes.takes_share:
        reader = TextReader.open(run.need(TOKENIZER_STAGE, READER))
        labels = [sounds.labels for sounds in corpus_sounds(reader, corpus, workers)]
    utterances = [
        LmUtterance(
            text,
            item.text,
            item.speaker,
            tuple(codes[item.offset : item.offset + item.num_codes].tolist()),
            item.accent,
            own,
            says,
        )
        for item, text, own, says in zip(corpus.utterances, texts, times, labels, strict=True)
    ]
    voices = read_vectors(run, corpus)
    if sizes.takes_share and reader is not None and not for_takes:
        places = {item.id: place for place, item in enumerate(corpus.utterances)}
        takes, times_of = [take for take in kept_takes(run) if take.id in places], WordTimes(reader, form)

        def times_of_take(number: int) -> FloatRow:
            take, place = takes[number], places[takes[number].id]
            item = corpus.utterances[place]
            return times_of.of(take.codes, texts[place], item.text, item.accent)

        for take, said in zip(takes, mapped(times_of_take, len(takes), workers), strict=True):
            place = places[take.id]
            utterances.append(replace(utterances[place], codes=take.codes, byte_codes=said, take_of=place))
        voices = np.concatenate((voices, voices[[places[take.id] for take in takes]]))
    data = LmData(utterances, voices, prompts, vocabulary, coder, sizes, recipe.text.dropout, config.dropped_rows)
    ids = tuple(item.id for item in corpus.utterances)
    return LmCorpus(data, ids, frozenset(corpus.validation()), config, vocabulary, reader)
