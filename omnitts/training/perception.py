"""Perception: a network that hears sounds and voices in mel, and so knows which differences between two mels matter.

The flow's own loss counts every band of every frame alike, and what tells an f from a v is a small part of it. This
network learns from the corpus to read labels (CTC) and to know speakers by mel; the distance between what it hears in
two mels of equal length is then a loss that counts those parts, differentiable, of a frame at a time. Such a loss is
known from pictures (Johnson et al. 2016, arXiv 1603.08155). It judges while the flow learns and is not exported.
Corpus, labels and voice vectors in; a network out. Letters: B rows, F mel frames, M mel bands, W width, V labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.reading.conv_stack import ConvStack, inside_mask
from omnitts.models.reading.text_reader import READER, TextReader, num_wrong
from omnitts.training.batching import balanced_batches, batches_of
from omnitts.training.loop import Losses, train
from omnitts.training.preparing import Batch
from omnitts.training.reading import corpus_sounds
from omnitts.training.recipe import PerceptionRecipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import FloatTable
from omnitts.training.store import KINDS, CorpusStore
from omnitts.training.tables import sent
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer_network import USUAL_MEL

STAGE: Final = "perception"
_FRAMES: Final = KINDS["mel"].frames  # per code
_MEL_SPREAD: Final = 3.0  # of mel's numbers, about
_VOICE_WEIGHT: Final = 2.0
_MOST_NOISE: Final = 0.6  # added to mel in training: what is judged is never quite a recording


class Perception(nn.Module):
    """Sounds and voice of mel frames, by way of W numbers per frame."""

    def __init__(self, mel_bins: int, num_labels: int, voice_size: int, recipe: PerceptionRecipe) -> None:
        super().__init__()
        self.first = nn.Linear(mel_bins, recipe.width)
        self.stack = ConvStack(recipe.width, recipe.blocks)
        self.dropout = nn.Dropout(recipe.dropout)
        self.sounds = nn.Linear(recipe.width, num_labels)
        self.voice = nn.Linear(recipe.width, voice_size)

    def heard(self, mel: Tensor, inside: Tensor) -> Tensor:
        """(B, F, M) mel, (B, F, 1) ones inside each row -> (B, F, W), of about unit spread in every frame."""
        return self.stack(self.dropout(self.first((mel - USUAL_MEL) / _MEL_SPREAD)), inside)

    def forward(self, mel: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F, V) label logits and (B, E) the direction of each row's voice."""
        heard = self.dropout(self.heard(mel, inside))
        return self.sounds(heard), self._voice_of(heard, inside)

    def distances(self, made: Tensor, meant: Tensor, inside: Tensor, judged: Tensor) -> tuple[Tensor, Tensor]:
        """Between two mels (B, F, M), over the ``judged`` (B, F, 1) frames: the mean squared difference of what is
        heard, and 1 - the cosine of the voices, meant over the rows that have such frames.
        """
        with torch.no_grad():
            wanted = self.heard(meant, inside)
            wanted_voice = self._voice_of(wanted, judged)
        heard = self.heard(made, inside)
        off = (heard - wanted).square().mean(dim=-1, keepdim=True)
        voice_off = 1 - (self._voice_of(heard, judged) * wanted_voice).sum(dim=-1)  # (B,)
        has_any = judged.amax(dim=(1, 2))
        return (off * judged).sum() / judged.sum().clamp(min=1), (voice_off * has_any).sum() / has_any.sum().clamp(
            min=1
        )

    def _voice_of(self, heard: Tensor, counted: Tensor) -> Tensor:
        """(B, E) the direction of the voice in the ``counted`` (B, F, 1) frames of what is heard (B, F, W)."""
        mean = (heard * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        return F.normalize(self.voice(mean), dim=-1)


class PerceptionStage:
    """The loop's view of it. Utterances without labels take no part."""

    name = STAGE

    def __init__(
        self,
        corpus: CorpusStore,
        labels: Sequence[tuple[int, ...]],
        num_labels: int,
        voices: FloatTable,
        recipe: PerceptionRecipe,
        seed: int,
    ) -> None:
        self._corpus, self._labels, self._recipe, self._seed = corpus, labels, recipe, seed
        self._voices = F.normalize(torch.from_numpy(voices), dim=-1).to(corpus.device)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.perception = Perception(KINDS["mel"].width, num_labels, voices.shape[1], recipe)
        self.networks: nn.Module = nn.ModuleDict({"perception": self.perception})
        self.facts: dict[str, Any] = {"width": recipe.width, "blocks": recipe.blocks, "labels": num_labels}

    def batches(self, epoch: int) -> list[Batch]:
        learnt, recipe = self._labelled(self._corpus.training()), self._recipe
        return balanced_batches(
            learnt, self._seconds, self._speaker, recipe.speaker_share, recipe.plan.batch_s, self._seed, epoch
        )

    def validation(self) -> list[Batch]:
        return batches_of(self._labelled(self._corpus.validation()), self._seconds, self._recipe.plan.batch_s, 0, 0)

    def _labelled(self, indices: list[int]) -> list[int]:
        return [index for index in indices if self._labels[index]]

    def losses(self, batch: Batch, step: int) -> Losses:
        """``sounds``: CTC per label. ``voice``: 1 - cosine. Held back also ``misread``, the share of wrong labels."""
        device = self.perception.first.weight.device
        mel = self._corpus.padded("mel", self._corpus.whole(batch)).to(device, non_blocking=True)  # (B, F, M)
        lengths = [_FRAMES * self._corpus.utterances[index].num_codes for index in batch]
        labels = [self._labels[index] for index in batch]
        if self.perception.training:
            loud = _MOST_NOISE * torch.rand(len(batch), 1, 1, device=device)
            mel = mel + loud * torch.randn_like(mel)
        logits, voice = self.perception(mel, inside_mask(sent(lengths, device), mel.shape[1]))
        read = logits.float().log_softmax(-1)
        told = torch.tensor([label for own in labels for label in own])
        sizes = torch.tensor([len(own) for own in labels])
        loss = F.ctc_loss(
            read.transpose(0, 1), told, torch.tensor(lengths), sizes, reduction="sum", zero_infinity=True
        )  # fmt: skip
        sounds = loss / len(told)
        off = (1 - (voice.float() * self._voices[sent(list(batch), self._voices.device)].to(device)).sum(-1)).mean()
        losses = {"loss": sounds + _VOICE_WEIGHT * off, "sounds": sounds, "voice": off}
        if not self.perception.training:
            rows = zip(read, lengths, labels, strict=True)
            losses["misread"] = torch.tensor(sum(num_wrong(row[:length], own) for row, length, own in rows) / len(told))
        return losses

    def _seconds(self, index: int) -> float:
        return self._corpus.utterances[index].seconds

    def _speaker(self, index: int) -> str:
        return self._corpus.utterances[index].speaker


def trained_perception(run: RunFolder, corpus: CorpusStore, voices: FloatTable, *, workers: int = 0) -> Perception:
    """Of the run, trained first where it is not yet; for judging. Raises `InputError` without a spelling reader."""
    recipe, reader = run.recipe(), TextReader.open(run.need(TOKENIZER_STAGE, READER))
    labels = [sounds.labels for sounds in corpus_sounds(reader, corpus, workers)]
    stage = PerceptionStage(corpus, labels, reader.num_labels, voices, recipe.perception, recipe.seed)
    train(stage, recipe.perception.plan, run.stage(STAGE), recipe.seed, device=str(corpus.device))
    return stage.perception.requires_grad_(False)
