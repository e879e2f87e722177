"""Speaker encoder stage: learns to tell voices apart from resemblyzer's, then is exported and hears the whole corpus.

Writes into RUN/speaker: teacher.npy (resemblyzer's vector of each utterance), checkpoint, losses, campplus.onnx and
vectors.npy (its own vectors, what the flow is trained with). Each is made once.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from omnitts.audio import Waveform
from omnitts.errors import InputError
from omnitts.models.codec.loading import SPEAKER
from omnitts.models.codec.onnx_session import OnnxNetwork
from omnitts.models.reading.conv_stack import inside_mask
from omnitts.pipeline.check.similarity import SpeakerEncoder as Teacher
from omnitts.training.batching import batches_of
from omnitts.training.loop import Losses, train
from omnitts.training.onnx_export import export, round_matrices
from omnitts.training.preparing import Batch
from omnitts.training.recipe import SpeakerRecipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker_network import TEACHER_SIZE, ExportedSpeaker, Pupil
from omnitts.training.store import CODE_S, KINDS, WAVE_RATE, CorpusStore, Span
from omnitts.training.tables import sent

logger = logging.getLogger(__name__)

STAGE: Final = "speaker"
TEACHER: Final = "teacher.npy"
VECTORS: Final = "vectors.npy"
_EMPTY_FRAMES: Final = 2  # at the end of each clip of the cache
_SAY_EVERY_S: Final = 30.0

FloatTable = NDArray[np.float32]


class SpeakerStage:
    """The loop's view of the speaker encoder. Utterances too short for the teacher take no part."""

    name = STAGE

    def __init__(self, corpus: CorpusStore, teacher: FloatTable, recipe: SpeakerRecipe, seed: int) -> None:
        self._corpus, self._recipe, self._seed = corpus, recipe, seed
        self._teacher = torch.from_numpy(teacher).to(corpus.device)
        self._known = set(np.flatnonzero(np.abs(teacher).sum(axis=1) > 0).tolist())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.pupil = Pupil(recipe)
        self.networks: nn.Module = nn.ModuleDict({"pupil": self.pupil})
        self.facts: dict[str, Any] = {
            "width": recipe.width,
            "size": recipe.size,
            "utterances": len(corpus.utterances),
        }

    def batches(self, epoch: int) -> list[Batch]:
        return self._batches(self._corpus.training(), self._seed, epoch)

    def validation(self) -> list[Batch]:
        return self._batches(self._corpus.validation(), 0, 0)

    def _batches(self, indices: list[int], seed: int, epoch: int) -> list[Batch]:
        known = [index for index in indices if index in self._known]
        longest_s = self._recipe.crop_s[1]
        return list(
            batches_of(known, lambda i: min(longest_s, self._seconds(i)), self._recipe.plan.batch_s, seed, epoch)
        )

    def losses(self, batch: Batch, step: int) -> Losses:
        """``angle``: 1 - cosine with the teacher. ``map``: how far the voices' distances are from the teacher's."""
        device = self.pupil.compare.weight.device
        spans = [self._span(index) for index in batch]
        bank = self._corpus.padded("fbank", spans).to(device, non_blocking=True)  # (B, T, 80)
        lengths = sent([self._num_frames(*span) for span in spans], device)
        bank = bank - _mean_over_time(bank, lengths)  # as at inference
        teacher = self._teacher[sent(list(batch), self._teacher.device)].to(device, non_blocking=True)
        teacher = F.normalize(teacher, dim=-1)
        vector, guess = self.pupil(bank, lengths)
        angle = (1 - (F.normalize(guess, dim=-1) * teacher).sum(dim=-1)).mean()
        own = F.normalize(vector, dim=-1)
        distances = F.mse_loss(own @ own.T, teacher @ teacher.T)
        return {"loss": angle + distances, "angle": angle, "map": distances}

    def _span(self, index: int) -> Span:
        """A stretch of a clip in training, its beginning otherwise."""
        shortest_s, longest_s = self._recipe.crop_s
        num_codes = self._corpus.utterances[index].num_codes
        most = min(num_codes, round(longest_s / CODE_S))
        if not self.pupil.training:
            return index, 0, most
        length = int(torch.randint(min(num_codes, round(shortest_s / CODE_S)), most + 1, ()))
        start = int(torch.randint(0, num_codes - length + 1, ()))
        return index, start, start + length

    def _num_frames(self, index: int, start: int, stop: int) -> int:
        """Of a stretch, less the empty ones at the clip's end."""
        empty = _EMPTY_FRAMES if stop == self._corpus.utterances[index].num_codes else 0
        return KINDS["fbank"].frames * (stop - start) - empty

    def _seconds(self, index: int) -> float:
        return self._corpus.utterances[index].seconds


def _mean_over_time(bank: Tensor, lengths: Tensor) -> Tensor:
    """(B, 1, 80) of (B, T, 80) over each row's own (B,) frames."""
    return (bank * inside_mask(lengths, bank.shape[1])).sum(dim=1, keepdim=True) / lengths[:, None, None]


def train_speaker(run: RunFolder, *, device: str = "cpu", steps: int | None = None) -> None:
    """The whole stage; without the export when ``steps`` stops it before the plan's end."""
    recipe = run.recipe()
    corpus, folder = CorpusStore(run.corpus), run.stage(STAGE)
    teacher = teacher_vectors(corpus, folder, device)
    stage = SpeakerStage(CorpusStore(run.corpus, device), teacher, recipe.speaker, recipe.seed)
    train(stage, recipe.speaker.plan, folder, recipe.seed, device=device, steps=steps)
    if steps is not None and steps < recipe.speaker.plan.steps:
        return
    network = ExportedSpeaker(stage.pupil.encoder).cpu().eval()
    round_matrices(network)  # its vectors keep their direction: cosine 0.99999
    example = (torch.zeros(1, 200, 80),)
    export(network, example, folder / SPEAKER, inputs=("input",), output="output", dynamic={"input": 1})
    save_table(folder / VECTORS, own_vectors(corpus, folder / SPEAKER))


def teacher_vectors(corpus: CorpusStore, folder: Path, device: str = "cpu") -> FloatTable:
    """(utterances, 256) of resemblyzer, zeros where a clip is too short; computed once (40 times real time a core).

    The corpus is one that is read to the CPU; the teacher hears on ``device``.
    """
    path = folder / TEACHER
    done = load_table(path, len(corpus.utterances))
    if done is not None:
        return done
    teacher, said_s = Teacher(device), time.monotonic()
    vectors = np.zeros((len(corpus.utterances), TEACHER_SIZE), np.float32)
    for index in range(len(vectors)):
        vector = teacher.embed(Waveform(corpus.read("wave", index)[:, 0].numpy(), WAVE_RATE))
        if vector is not None:
            vectors[index] = vector
        if time.monotonic() - said_s > _SAY_EVERY_S:
            said_s = time.monotonic()
            logger.info("speaker: the teacher has heard %d of %d utterances", index + 1, len(vectors))
    save_table(path, vectors)
    return vectors


def own_vectors(corpus: CorpusStore, network: Path) -> FloatTable:
    """(utterances, size) by the exported file."""
    session = OnnxNetwork(network, num_inputs=1, num_threads=1)
    rows = []
    for index in range(len(corpus.utterances)):
        bank = corpus.read("fbank", index)[:-_EMPTY_FRAMES]
        rows.append(session.run((bank - bank.mean(dim=0, keepdim=True)).unsqueeze(0).numpy()).reshape(-1))
    return np.stack(rows).astype(np.float32)


def read_vectors(run: RunFolder, corpus: CorpusStore) -> FloatTable:
    """The voices of all utterances. Raises `InputError` when the stage is not finished or knew another corpus."""
    path = run.need(STAGE, VECTORS)
    vectors = load_table(path, len(corpus.utterances))
    if vectors is None:
        hint = "run `omnitts train speaker` again: the corpus has changed"
        raise InputError("the voices are those of another corpus", where=str(path), hint=hint)
    return vectors


def save_table(path: Path, table: FloatTable) -> None:
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        np.save(file, table)
    aside.replace(path)


def load_table(path: Path, rows: int) -> FloatTable | None:
    """A table saved before; None when there is none or it is of another corpus."""
    if not path.is_file():
        return None
    table: FloatTable = np.load(path, allow_pickle=False)
    return table if len(table) == rows else None
