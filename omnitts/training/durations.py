"""Durations stage: learns how long each sound of a text lasts, from when the corpus's sounds are said.

The coded corpus goes in; when its sounds are said is what the tokenizer's spelling reader finds in the codes. A
checkpoint comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from omnitts.models.reading.conv_stack import inside_mask
from omnitts.models.reading.durations import STAGE, Durations, DurationsSizes, lengths_of, pace_of
from omnitts.models.reading.forced_alignment import FloatRow
from omnitts.models.reading.labels import Sounds
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.batching import balanced_batches, batches_of
from omnitts.training.checkpoint import load_weights
from omnitts.training.loop import Losses, train
from omnitts.training.preparing import Batch
from omnitts.training.reading import corpus_sounds, sound_times
from omnitts.training.recipe import DurationsRecipe, Recipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.speaker_voices import SpeakerVoices
from omnitts.training.store import CODE_S, CorpusStore
from omnitts.training.tables import sent
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer import read_codes


@dataclass(frozen=True)
class TimedText:
    """``sounds`` of an utterance, at least two, and the codes at which they begin; ``voice`` (E,)."""

    speaker: str
    sounds: Sounds
    times: FloatRow
    voice: Tensor


class DurationsStage:
    """The loop's view of the duration model."""

    name = STAGE

    def __init__(
        self,
        learnt: Sequence[TimedText],
        held_back: Sequence[TimedText],
        sizes: DurationsSizes,
        recipe: DurationsRecipe,
        seed: int,
    ) -> None:
        self._texts, self._num_learnt, self._recipe, self._seed = [*learnt, *held_back], len(learnt), recipe, seed
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.durations = Durations(sizes, recipe.dropout)
        self._voices = SpeakerVoices((text.speaker, text.voice) for text in learnt)
        self.networks: nn.Module = nn.ModuleDict({"durations": self.durations})
        self.facts: dict[str, Any] = {"width": sizes.width, "blocks": sizes.blocks, "texts": len(self._texts)}

    def batches(self, epoch: int) -> list[Batch]:
        learnt, recipe = range(self._num_learnt), self._recipe
        return balanced_batches(
            learnt, self._seconds, self._speaker, recipe.speaker_share, recipe.plan.batch_s, self._seed, epoch
        )

    def validation(self) -> list[Batch]:
        held_back = range(self._num_learnt, len(self._texts))
        return batches_of(held_back, self._seconds, self._recipe.plan.batch_s, 0, 0)

    def losses(self, batch: Batch, step: int) -> Losses:
        """``loss``: cross entropy of a length. ``right``: share of the lengths guessed."""
        device = self.durations.last.weight.device
        texts = [self._texts[place] for place in batch]
        sizes = sent([len(text.times) for text in texts], device)
        labels, cues, lengths = (
            pad_sequence([torch.tensor(part, dtype=torch.int64) for part in parts], batch_first=True).to(device)
            for parts in zip(
                *((text.sounds.labels, text.sounds.cues, lengths_of(text.times)) for text in texts), strict=True
            )
        )
        voices = torch.stack([self._voice(text) for text in texts]).to(device)
        paces = sent([pace_of(text.times) for text in texts], device)
        logits = self.durations(labels, cues, voices, paces, inside_mask(sizes, labels.shape[1]))
        last = inside_mask(sizes - 1, lengths.shape[1])[..., 0].bool()  # nothing follows a text's last sound
        guessed, wanted = logits[:, :-1][last].float(), lengths[last] - 1
        right = (guessed.argmax(-1) == wanted).float().mean()
        return {"loss": F.cross_entropy(guessed, wanted), "right": right}

    def _voice(self, text: TimedText) -> Tensor:
        return self._voices.drawn(text.speaker) if self.durations.training else text.voice

    def _seconds(self, place: int) -> float:
        return float(self._texts[place].times[-1] + 1) * CODE_S

    def _speaker(self, place: int) -> str:
        return self._texts[place].speaker


def train_durations(run: RunFolder, *, device: str = "cpu", steps: int | None = None, workers: int = 0) -> None:
    """The whole stage; utterances whose sounds do not fit into their codes take no part. Raises `InputError` when the
    tokenizer or the speaker encoder is not finished, or the tokenizer left no spelling reader.
    """
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    codes, voices = read_codes(run, corpus), torch.from_numpy(read_vectors(run, corpus))
    reader = TextReader.open(run.need(TOKENIZER_STAGE, READER))
    sounds = corpus_sounds(reader, corpus, workers)
    timed = sound_times(reader, corpus, codes, sounds, workers)
    learnt: list[TimedText] = []
    held_back: list[TimedText] = []
    for item, own, times, voice in zip(corpus.utterances, sounds, timed, voices, strict=True):
        if times is not None and len(times) > 1:
            (held_back if item.held_back else learnt).append(TimedText(item.speaker, own, times, voice))
    stage = DurationsStage(learnt, held_back, sizes_of(recipe, reader), recipe.durations, recipe.seed)
    train(stage, recipe.durations.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)


def trained_durations(run: RunFolder) -> Durations:
    """What the stage exports. Raises `InputError` when it has not been trained."""
    recipe, reader = run.recipe(), TextReader.open(run.need(TOKENIZER_STAGE, READER))
    durations = Durations(sizes_of(recipe, reader))
    load_weights(nn.ModuleDict({"durations": durations}), run.stage(STAGE), recipe.durations.plan)
    return durations


def sizes_of(recipe: Recipe, reader: TextReader) -> DurationsSizes:
    """Of the model that goes with the recipe's speaker encoder and the tokenizer's ``reader``."""
    own = recipe.durations
    return DurationsSizes(reader.num_labels, recipe.speaker.size, own.width, own.blocks)
