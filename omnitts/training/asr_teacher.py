"""What a speech recogniser hears: the states of whisper's encoder over a corpus, as a target for the speech tokenizer.

The cached sound goes in; a memory-mapped table of a few numbers per 20 ms comes out: the strongest directions of the
encoder's states (PCA), scaled so that they vary by 1 on average. Codes that can rebuild them carry words, whoever
speaks: a few hours of speech are too little to learn that from text alone. Made once, restarts from nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitts.audio import Waveform, resample
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.transcribe import open_whisper
from omnitts.training.store import CODE_S, FRONT_RATE, WAVE_RATE, CorpusStore

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

logger = logging.getLogger(__name__)

WIDTH: Final = 64
FRAMES_PER_CODE: Final = 2  # whisper's encoder gives 50 states a second
_WINDOW_S: Final = 30.0
_GAP_S: Final = 0.4  # between clips that share a window
_WINDOWS_TO_LEARN_FROM: Final = 40
_SAY_EVERY_S: Final = 30.0
_TABLE: Final = "asr_states.bin"

Half = NDArray[np.float16]


class AsrStates:
    """The table, opened for reading."""

    def __init__(self, corpus: CorpusStore, path: Path) -> None:
        self._corpus = corpus
        self._table = np.memmap(path, dtype=np.float16, mode="r").reshape(-1, WIDTH)

    def read(self, index: int) -> Tensor:
        """(2 K, WIDTH) float32 of one utterance."""
        utterance = self._corpus.utterances[index]
        first, last = (FRAMES_PER_CODE * code for code in (utterance.offset, utterance.offset + utterance.num_codes))
        return torch.from_numpy(np.array(self._table[first:last], dtype=np.float32))


def asr_states(corpus: CorpusStore, folder: Path, *, model: str = "base", threads: int = 1) -> AsrStates:
    """The table of a corpus in ``folder``, made when it is not there or of another corpus.

    Raises `DependencyError` or `ModelError` when there is no recogniser on this machine.
    """
    path = folder / _TABLE
    num_frames = FRAMES_PER_CODE * corpus.num_codes
    if not path.is_file() or path.stat().st_size != num_frames * WIDTH * 2:
        whisper = _open(model, threads)
        aside = path.with_suffix(".part")
        table = np.memmap(aside, dtype=np.float16, mode="w+", shape=(num_frames, WIDTH))
        _fill(table, corpus, whisper)
        table.flush()
        del table
        aside.replace(path)
    return AsrStates(corpus, path)


def _open(model: str, threads: int) -> WhisperModel:
    return open_whisper(find_asr_model(model), threads=threads)


def _fill(table: Half, corpus: CorpusStore, whisper: WhisperModel) -> None:
    """Window by window; the first ones are kept until the directions are known."""
    waiting: list[tuple[int, NDArray[np.float32]]] = []
    basis: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    said_s = time.monotonic()
    windows = list(_windows(corpus))
    for number, window in enumerate(windows, 1):
        waiting += _states(window, corpus, whisper)
        if basis is None and number < min(len(windows), _WINDOWS_TO_LEARN_FROM):
            continue
        if basis is None:
            basis = _directions(np.concatenate([states for _, states in waiting]))
        for index, states in waiting:
            start = FRAMES_PER_CODE * corpus.utterances[index].offset
            table[start : start + len(states)] = (states - basis[0]) @ basis[1]
        waiting = []
        if time.monotonic() - said_s > _SAY_EVERY_S:
            said_s = time.monotonic()
            logger.info("tokenizer: the recogniser has heard %d of %d windows", number, len(windows))


def _windows(corpus: CorpusStore) -> Iterator[list[int]]:
    """Utterances in order, as many as fit into a window."""
    window: list[int] = []
    filled_s = 0.0
    for index, utterance in enumerate(corpus.utterances):
        if window and filled_s + utterance.seconds > _WINDOW_S:
            yield window
            window, filled_s = [], 0.0
        window.append(index)
        filled_s += utterance.seconds + _GAP_S
    if window:
        yield window


def _states(window: list[int], corpus: CorpusStore, whisper: Any) -> list[tuple[int, NDArray[np.float32]]]:
    """(2 K, D) encoder states of each utterance of a window."""
    frames_per_s = FRAMES_PER_CODE / CODE_S
    sound = np.zeros(round(_WINDOW_S * FRONT_RATE), np.float32)
    places, at_s = [], 0.0
    for index in window:
        wave = resample(Waveform(corpus.read("wave", index)[:, 0].numpy(), WAVE_RATE), FRONT_RATE).samples
        start = round(at_s * FRONT_RATE)
        part = wave[: len(sound) - start]
        sound[start : start + len(part)] = part
        places.append(round(at_s * frames_per_s))
        at_s = (places[-1] + FRAMES_PER_CODE * corpus.utterances[index].num_codes) / frames_per_s + _GAP_S
    features = whisper.feature_extractor(sound)[:, : round(_WINDOW_S * 100)]
    states = np.asarray(whisper.encode(features), dtype=np.float32)[0]  # (1500, D)
    found = []
    for index, place in zip(window, places, strict=True):
        wanted = FRAMES_PER_CODE * corpus.utterances[index].num_codes
        own = states[place : place + wanted]
        found.append((index, np.pad(own, ((0, wanted - len(own)), (0, 0)), mode="edge")))
    return found


def _directions(states: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (D,) and the strongest directions (D, WIDTH), scaled to a variance of 1 on average."""
    mean = states.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((states - mean).T))
    strongest = np.argsort(values)[::-1][:WIDTH]
    return mean, (vectors[:, strongest] / np.sqrt(values[strongest].mean())).astype(np.float32)
