"""Reading: the times of words and sounds that the tokenizer's spelling reader gives for codes, and for a coded corpus.

Codes and texts in; for each utterance the codes at which the bytes of its text are said, its labels, and when those
sound. Needs no sound, so a run that took over its tokenizer can be aligned as well.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.forced_alignment import FloatRow
from omnitts.models.reading.labels import Alphabet, Sounds
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.alignment import byte_times
from omnitts.training.store import CorpusStore
from omnitts.training.workers import mapped

logger = logging.getLogger(__name__)

_TIMES: Final = "times.npy"


def keep_reader(reader: CodeReader, alphabet: Alphabet, kind: str, folder: Path) -> None:
    """Writes the reader; times that an older one found are forgotten."""
    (folder / _TIMES).unlink(missing_ok=True)
    TextReader(reader, alphabet, kind).save(folder / READER)


class WordTimes:
    """When codes say which byte of a text."""

    def __init__(self, reader: TextReader, form: TextForm = TextForm.LETTERS) -> None:
        """``form``: of the texts."""
        self._reader = reader
        is_spelled = form is TextForm.PHONEMES
        self._num_labels = cache(
            lambda word, accent: len(reader.labels_of(word) if is_spelled else reader.labels(word, accent))
        )

    def of(self, codes: Sequence[int], text: str, transcript: str, accent: str) -> FloatRow:
        """The code at which each byte of ``text``, the transcript as it is spoken, is said."""
        times = self._reader.times(codes, self._reader.labels(transcript, accent))
        return byte_times(text, times, lambda word: self._num_labels(word, accent), len(codes))


def text_times(
    folder: Path,
    corpus: CorpusStore,
    codes: NDArray[np.int16],
    texts: Sequence[str],
    form: TextForm = TextForm.LETTERS,
    workers: int = 0,
) -> list[FloatRow] | list[None]:
    """For each utterance the code at which each byte of its text (as spoken, in ``form``) is said; computed once, by
    ``workers``.

    Kept in ``folder``. None for all when ``folder`` holds no reader.
    """
    ends = np.cumsum([len(text.encode()) for text in texts])
    if (folder / _TIMES).is_file():
        flat = np.load(folder / _TIMES, allow_pickle=False)
        if len(flat) == ends[-1]:
            return list(np.split(flat, ends[:-1]))
    if not (folder / READER).is_file():
        logger.warning("%s holds no %s: nobody knows when each word is spoken", folder, READER)
        return [None] * len(texts)
    times = WordTimes(TextReader.open(folder / READER), form)
    for accent in {item.accent for item in corpus.utterances}:
        times.of([0], "a", "a", accent)  # what it opens when it is first wanted, workers shall inherit

    def times_of(place: int) -> FloatRow:
        item = corpus.utterances[place]
        own = codes[item.offset : item.offset + item.num_codes].tolist()
        return times.of(own, texts[place], item.text, item.accent)

    found = mapped(times_of, len(texts), workers)
    aside = folder / f"part-{_TIMES}"
    np.save(aside, np.concatenate(found))
    aside.replace(folder / _TIMES)
    return found


def corpus_sounds(reader: TextReader, corpus: CorpusStore, workers: int = 0) -> list[Sounds]:
    """Of each utterance, found by ``workers``."""
    items = corpus.utterances
    for accent in {item.accent for item in items}:
        reader.labels("a", accent)  # what it opens when it is first wanted, workers shall inherit
    return mapped(lambda place: reader.sounds(items[place].text, items[place].accent), len(items), workers)


def sound_times(
    reader: TextReader,
    corpus: CorpusStore,
    codes: NDArray[np.int16],
    sounds: Sequence[Sounds],
    workers: int = 0,
) -> list[FloatRow | None]:
    """The codes at which the ``sounds`` of each utterance begin; None where they do not fit into its codes."""

    def times_of(place: int) -> FloatRow | None:
        item = corpus.utterances[place]
        own = codes[item.offset : item.offset + item.num_codes].tolist()
        return reader.times(own, sounds[place].labels)

    return mapped(times_of, len(corpus.utterances), workers)
