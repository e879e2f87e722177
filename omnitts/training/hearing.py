"""What a speech recogniser hears of a corpus: whisper's encoder states, memory-mapped.

The cached log-mel goes in; two tables come out, in the cache's order, a row per 20 ms. ``asr_states.bin``: the
strongest directions (PCA) of the top layer's states, scaled to vary by 1 on average; codes that can rebuild them carry
words, whoever speaks: a few hours of speech are too little to learn that from text alone. ``ears.bin``: the states of
a lower layer as they are, for a speech tokenizer that hears with whisper's ears. A stopped run goes on behind the last
utterance heard, and so does one whose corpus has grown; another corpus in the same folder is heard from the start.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.training.onnx_export import round_matrices
from omnitts.training.recogniser import FRAMES_PER_CODE, Recogniser, open_recogniser
from omnitts.training.store import CorpusStore
from omnitts.training.tables import Table

logger = logging.getLogger(__name__)

WIDTH: Final = 64
MODEL: Final = "base"
_SAMPLE: Final = 200  # utterances from which the directions are learnt
_SAY_EVERY_S: Final = 30.0
_TEACHER: Final = "asr_states.bin"
_EARS: Final = "ears.bin"
_BASIS: Final = "asr_directions.npz"


class StateTable:
    """(2 K, width) float32 per utterance; on a device other than the CPU all of it lies there (`tables`)."""

    def __init__(self, corpus: CorpusStore, path: Path, width: int, device: torch.device | str = "cpu") -> None:
        self._corpus, self.width = corpus, width
        self._table = Table(path, "float16", FRAMES_PER_CODE, width, device)

    def read(self, index: int) -> Tensor:
        return self._table.read(*self._corpus.codes_at(index))

    def padded(self, indices: Sequence[int]) -> Tensor:
        """(B, 2 K of the longest, width), zero behind each row's end."""
        return self._table.padded([self._corpus.codes_at(index) for index in indices])

    def spread(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (width,) of some ten thousand rows, on the CPU."""
        rows = self._table.stored.reshape(-1, self.width)
        some = torch.from_numpy(np.array(rows[:: max(1, len(rows) // 20_000)], dtype=np.float32))
        return some.mean(dim=0), some.std(dim=0) + 1e-3


def open_ears() -> Recogniser:
    """The recogniser on this machine, rounded as it can be exported small.

    Raises `DependencyError` or `ModelError` when there is none.
    """
    recogniser = open_recogniser(find_asr_model(MODEL).folder)
    round_matrices(recogniser)
    return recogniser


def hear(
    corpus: CorpusStore, folder: Path, ear_layers: int = 0, device: torch.device | str = "cpu"
) -> tuple[StateTable, StateTable | None]:
    """The teacher's table of a corpus and that of layer ``ear_layers`` (0: none), made as far as they are not there.

    ``device``: where the recogniser hears, and where the tables are read to. Raises as `open_ears`, which is asked only
    when something must be heard.
    """
    widths = {_TEACHER: WIDTH, _EARS: _ears_width(folder, ear_layers)} if ear_layers else {_TEACHER: WIDTH}
    first = 0
    if _is_of(corpus, folder):
        first = min(_whole(corpus, folder / name, width) for name, width in widths.items())
    if first < len(corpus.utterances):
        recogniser = open_ears().to(device)
        with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            _fill(corpus, folder, recogniser, ear_layers, first)
    ears = StateTable(corpus, folder / _EARS, _ears_width(folder, ear_layers), device) if ear_layers else None
    return StateTable(corpus, folder / _TEACHER, WIDTH, device), ears


def _ears_width(folder: Path, ear_layers: int) -> int:
    """Of the table that is there; 0 when it is none of that layer."""
    if not (folder / _BASIS).is_file():
        return 0
    with np.load(folder / _BASIS) as kept:
        return len(kept["mean"]) if int(kept["ear_layers"]) == ear_layers else 0


def _is_of(corpus: CorpusStore, folder: Path) -> bool:
    """Whether the tables were begun with this corpus, which may have grown since."""
    if not (folder / _BASIS).is_file():
        return False
    with np.load(folder / _BASIS) as kept:
        return "corpus" in kept and str(kept["corpus"]) == _beginning(corpus, int(kept["utterances"]))


def _beginning(corpus: CorpusStore, count: int) -> str:
    """Stands for the first ``count`` utterances: their names and lengths."""
    known = "".join(f"{utterance.id} {utterance.num_codes}\n" for utterance in corpus.utterances[:count])
    return hashlib.sha256(known.encode()).hexdigest()


def _whole(corpus: CorpusStore, path: Path, width: int) -> int:
    """How many of the corpus's utterances a table holds; none when it cannot be this corpus's."""
    row_bytes = 2 * width
    if not width or not path.is_file() or path.stat().st_size > _rows(corpus, -1)[1] * row_bytes:
        return 0
    rows = path.stat().st_size // row_bytes
    return sum(_rows(corpus, index)[1] <= rows for index in range(len(corpus.utterances)))


def _fill(corpus: CorpusStore, folder: Path, recogniser: Recogniser, ear_layers: int, first: int) -> None:
    """Both tables from utterance ``first`` on."""
    count = len(corpus.utterances)
    if not first:
        some = range(0, count, max(1, count // _SAMPLE))
        mean, directions = _directions(torch.cat([_states(corpus, index, recogniser)[1] for index in some]))
        for name in (_TEACHER, _EARS):  # a kill before the first row must not leave tables of another corpus
            (folder / name).unlink(missing_ok=True)
        np.savez(
            folder / _BASIS,
            mean=mean.numpy(),
            directions=directions.numpy(),
            ear_layers=ear_layers,
            corpus=_beginning(corpus, count),
            utterances=count,
        )
    with np.load(folder / _BASIS) as kept:
        mean, directions = torch.from_numpy(kept["mean"]), torch.from_numpy(kept["directions"])
    said_s = time.monotonic()
    with ExitStack() as stack:
        files = {}
        for name, width in ((_TEACHER, WIDTH), (_EARS, recogniser.width))[: 2 if ear_layers else 1]:
            files[name] = stack.enter_context((folder / name).open("ab"))
            files[name].truncate(_rows(corpus, first)[0] * 2 * width)
        for index in range(first, count):
            lower, top = _states(corpus, index, recogniser, ear_layers)
            files[_TEACHER].write(_as_bytes((top - mean) @ directions))
            if ear_layers:
                files[_EARS].write(_as_bytes(lower))
            if time.monotonic() - said_s > _SAY_EVERY_S:
                said_s = time.monotonic()
                logger.info("tokenizer: the recogniser has heard %d of %d utterances", index, count)


def _states(corpus: CorpusStore, index: int, recogniser: Recogniser, ear_layers: int = 0) -> tuple[Tensor, Tensor]:
    """(2 K, D) of layer ``ear_layers`` and of the top one, normalised; on the CPU, where the tables are written."""
    states = recogniser.layers_heard(corpus.read("log_mel", index).to(recogniser.bands.device).T[None])
    return states[ear_layers - 1][0].float().cpu(), recogniser.norm(states[-1])[0].float().cpu()


def _directions(states: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and the strongest directions (D, WIDTH), scaled to a variance of 1 on average."""
    mean = states.mean(dim=0)
    values, vectors = torch.linalg.eigh((states - mean).T.cov())  # in ascending order
    return mean, vectors[:, -WIDTH:].flip(1) / values[-WIDTH:].mean().sqrt()


def _as_bytes(states: Tensor) -> bytes:
    return states.half().numpy().tobytes()


def _rows(corpus: CorpusStore, index: int) -> tuple[int, int]:
    utterance = corpus.utterances[index]
    return FRAMES_PER_CODE * utterance.offset, FRAMES_PER_CODE * (utterance.offset + utterance.num_codes)
