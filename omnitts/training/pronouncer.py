"""Pronouncer stage: learns to write the corpus's codes from its sounds, their times and its voices.

The coded corpus goes in; when its sounds are said is what the tokenizer's spelling reader finds in the codes, as it
will in what a speech LM says. Comes out: a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from omnitts.models.reading.conv_stack import inside_mask
from omnitts.models.reading.pronouncer import STAGE, Pronouncer, PronouncerSizes, TimedSounds
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.batching import balanced_batches, batches_of
from omnitts.training.checkpoint import load_weights
from omnitts.training.loop import Losses, train
from omnitts.training.preparing import Batch
from omnitts.training.reading import corpus_sounds, sound_times
from omnitts.training.recipe import PronouncerRecipe, Recipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.speaker_voices import SpeakerVoices
from omnitts.training.spelling_loss import SpellingLoss, Stretch, Stretches
from omnitts.training.store import CODE_S, CorpusStore
from omnitts.training.tables import sent
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer import read_codes


@dataclass(frozen=True)
class PronouncedClip:
    """``codes`` (K,) int64 and, as long, what sounds at each; ``voice`` (E,)."""

    speaker: str
    codes: Tensor
    sounds: TimedSounds
    voice: Tensor


class PronouncerStage:
    """The loop's view of the pronouncer."""

    name = STAGE

    def __init__(
        self,
        learnt: Sequence[PronouncedClip],
        held_back: Sequence[PronouncedClip],
        reader: TextReader,
        sizes: PronouncerSizes,
        recipe: PronouncerRecipe,
        seed: int,
    ) -> None:
        self._clips, self._num_learnt, self._recipe, self._seed = [*learnt, *held_back], len(learnt), recipe, seed
        self._spelling = SpellingLoss(reader.codes)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.pronouncer = Pronouncer(sizes, recipe.dropout)
        self._voices = SpeakerVoices((clip.speaker, clip.voice) for clip in learnt)
        self.networks: nn.Module = nn.ModuleDict({"pronouncer": self.pronouncer})
        self.facts: dict[str, Any] = {"width": sizes.width, "blocks": sizes.blocks, "clips": len(self._clips)}

    def batches(self, epoch: int) -> list[Batch]:
        learnt, recipe = range(self._num_learnt), self._recipe
        return balanced_batches(
            learnt, self._cropped_seconds, self._speaker, recipe.speaker_share, recipe.plan.batch_s, self._seed, epoch
        )

    def validation(self) -> list[Batch]:
        held_back = range(self._num_learnt, len(self._clips))
        return batches_of(held_back, self._seconds, self._recipe.plan.batch_s, 0, 0)

    def losses(self, batch: Batch, step: int) -> Losses:
        """``right``: share of the codes guessed. ``spelling``: CTC per label of what drawn codes spell; held back it is
        that of the likeliest codes, and ``misread`` the share of labels that the reader gets wrong in them.
        """
        device = self.pronouncer.last.weight.device
        clips = [self._clips[place] for place in batch]
        crops = [_crop(clip, *self._span(len(clip.codes))) for clip in clips]
        lengths = sent([len(codes) for codes, _ in crops], device)
        rows = [(codes, sounds.labels, sounds.ages) for codes, sounds in crops]
        codes, labels, ages = (
            pad_sequence(list(parts), batch_first=True).to(device, non_blocking=True)
            for parts in zip(*rows, strict=True)
        )
        inside = inside_mask(lengths, codes.shape[1])
        voices = torch.stack([self._voice(clip) for clip in clips]).to(device, non_blocking=True)
        logits = self.pronouncer(labels, ages, voices, inside)
        places = inside.flatten().nonzero().flatten()
        logits_there, wanted = (part.flatten(0, 1).index_select(0, places) for part in (logits, codes[..., None]))
        loss = F.cross_entropy(logits_there.float(), wanted[:, 0])
        losses = {"loss": loss, "right": (logits_there.argmax(-1) == wanted[:, 0]).float().mean().detach()}
        told = _stretches([sounds for _, sounds in crops], codes.shape[1])
        if told.num_labels and (self._recipe.spelling_weight or not self.pronouncer.training):
            spelt = self._spelling(logits.flatten(0, 1)[:, None], told, draws=self.pronouncer.training)
            losses |= spelt | {"loss": loss + self._recipe.spelling_weight * spelt["spelling"]}
        return losses

    def _span(self, num_codes: int) -> tuple[int, int]:
        """A stretch of a clip in training, else all of it."""
        if not self.pronouncer.training:
            return 0, num_codes
        length = min(num_codes, round(self._recipe.longest_s / CODE_S))
        start = int(torch.randint(0, num_codes - length + 1, ()))
        return start, start + length

    def _voice(self, clip: PronouncedClip) -> Tensor:
        return self._voices.drawn(clip.speaker) if self.pronouncer.training else clip.voice

    def _seconds(self, place: int) -> float:
        return len(self._clips[place].codes) * CODE_S

    def _cropped_seconds(self, place: int) -> float:
        return min(self._seconds(place), self._recipe.longest_s)

    def _speaker(self, place: int) -> str:
        return self._clips[place].speaker


def _crop(clip: PronouncedClip, start: int, stop: int) -> tuple[Tensor, TimedSounds]:
    return clip.codes[start:stop], clip.sounds.part(start, stop)


def _stretches(sounds: Sequence[TimedSounds], width: int) -> Stretches:
    """What each row of a batch, padded to ``width`` codes, must spell: the sounds that begin in it."""
    return Stretches.of(
        [
            Stretch(row * width + torch.arange(len(own.labels)), tuple(own.begun().tolist()))
            for row, own in enumerate(sounds)
            if len(own.begun())
        ]
    )


def train_pronouncer(run: RunFolder, *, device: str = "cpu", steps: int | None = None, workers: int = 0) -> None:
    """The whole stage; utterances whose sounds do not fit into their codes take no part. Raises `InputError` when the
    tokenizer or the speaker encoder is not finished, or the tokenizer left no spelling reader.
    """
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    codes, voices = read_codes(run, corpus), torch.from_numpy(read_vectors(run, corpus))
    reader = TextReader.open(run.need(TOKENIZER_STAGE, READER))
    sounds = corpus_sounds(reader, corpus, workers)
    timed = sound_times(reader, corpus, codes, sounds, workers)
    learnt: list[PronouncedClip] = []
    held_back: list[PronouncedClip] = []
    for item, own, times, voice in zip(corpus.utterances, sounds, timed, voices, strict=True):
        if times is not None:
            said = torch.from_numpy(codes[item.offset : item.offset + item.num_codes].astype(np.int64))
            clip = PronouncedClip(item.speaker, said, TimedSounds.of(own.labels, times, len(said)), voice)
            (held_back if item.held_back else learnt).append(clip)
    stage = PronouncerStage(learnt, held_back, reader, sizes_of(recipe, reader), recipe.pronouncer, recipe.seed)
    train(stage, recipe.pronouncer.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)


def trained_pronouncer(run: RunFolder) -> tuple[TextReader, Pronouncer]:
    """What the stage exports, and the reader that goes with it. Raises `InputError` when it has not been trained."""
    recipe, reader = run.recipe(), TextReader.open(run.need(TOKENIZER_STAGE, READER))
    pronouncer = Pronouncer(sizes_of(recipe, reader))
    load_weights(nn.ModuleDict({"pronouncer": pronouncer}), run.stage(STAGE), recipe.pronouncer.plan)
    return reader, pronouncer


def sizes_of(recipe: Recipe, reader: TextReader) -> PronouncerSizes:
    """Of the pronouncer that goes with the recipe's speaker encoder and the tokenizer's ``reader``."""
    own = recipe.pronouncer
    return PronouncerSizes(
        reader.codes.quantiser.num_codes, reader.num_labels, recipe.speaker.size, own.width, own.blocks
    )
