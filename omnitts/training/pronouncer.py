"""Pronouncer stage: learns to write the corpus's codes from its sounds, their times and its voices.

The coded corpus goes in; when its sounds are said is what the tokenizer's spelling reader finds in the codes, as it
will in what a speech LM says. Comes out: a checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
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
from omnitts.training.batching import balanced, batches_of
from omnitts.training.loop import Losses, train
from omnitts.training.preparing import Batch
from omnitts.training.reading import corpus_labels, timed_sounds
from omnitts.training.recipe import PronouncerRecipe, Recipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.store import CODE_S, CorpusStore
from omnitts.training.tables import sent
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer import read_codes


@dataclass(frozen=True)
class PronouncedClip:
    """``labels`` of its sounds; ``codes`` (K,) int64 and, as long, what sounds at each; ``voice`` (E,)."""

    speaker: str
    labels: tuple[int, ...]
    codes: Tensor
    sounds: TimedSounds
    voice: Tensor


class PronouncerStage:
    """The loop's view of the pronouncer. ``clips`` without an entry are left out; ``held_back`` are places of clips."""

    name = STAGE

    def __init__(
        self,
        clips: Sequence[PronouncedClip | None],
        held_back: Sequence[int],
        reader: TextReader,
        sizes: PronouncerSizes,
        recipe: PronouncerRecipe,
        seed: int,
    ) -> None:
        self._clips, self._reader, self._recipe, self._seed = clips, reader, recipe, seed
        held = set(held_back)
        known = [place for place, clip in enumerate(clips) if clip is not None]
        self._learnt = [place for place in known if place not in held]
        self._held_back = [place for place in known if place in held]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.pronouncer = Pronouncer(sizes, recipe.dropout)
        self._of_speaker: dict[str, list[int]] = defaultdict(list)
        for place in self._learnt:
            self._of_speaker[self._clip(place).speaker].append(place)
        self.networks: nn.Module = nn.ModuleDict({"pronouncer": self.pronouncer})
        self.facts: dict[str, Any] = {"width": sizes.width, "blocks": sizes.blocks, "clips": len(known)}

    def batches(self, epoch: int) -> list[Batch]:
        share = self._recipe.speaker_share
        spread = balanced(self._learnt, self._seconds, lambda i: self._clip(i).speaker, share, self._seed, epoch)
        batch_s = self._recipe.plan.batch_s
        return list(batches_of(spread, self._cropped_seconds, batch_s, self._seed, epoch))

    def validation(self) -> list[Batch]:
        return list(batches_of(self._held_back, self._seconds, self._recipe.plan.batch_s, 0, 0))

    def losses(self, batch: Batch, step: int) -> Losses:
        """``right``: share of the codes guessed. Held back, ``misread`` is the share of labels that the spelling reader
        gets wrong in the likeliest codes.
        """
        device = self.pronouncer.last.weight.device
        clips = [self._clip(place) for place in batch]
        spans = [self._span(len(clip.codes)) for clip in clips]
        lengths = sent([stop - start for start, stop in spans], device)
        codes, labels, ages = (
            pad_sequence(list(rows), batch_first=True).to(device, non_blocking=True)
            for rows in zip(*(_crop(clip, *span) for clip, span in zip(clips, spans, strict=True)), strict=True)
        )
        inside = inside_mask(lengths, codes.shape[1])
        voices = torch.stack([self._voice(clip) for clip in clips]).to(device, non_blocking=True)
        logits = self.pronouncer(labels, ages, voices, inside)
        places = inside.flatten().nonzero().flatten()
        logits_there, wanted = (part.flatten(0, 1).index_select(0, places) for part in (logits, codes[..., None]))
        loss = F.cross_entropy(logits_there.float(), wanted[:, 0])
        losses = {"loss": loss, "right": (logits_there.argmax(-1) == wanted[:, 0]).float().mean().detach()}
        if not self.pronouncer.training:
            losses["misread"] = torch.tensor(self._misread(logits.argmax(-1), clips))
        return losses

    def _misread(self, codes: Tensor, clips: Sequence[PronouncedClip]) -> float:
        rows = zip(codes.tolist(), clips, strict=True)
        wrong = sum(self._reader.num_misread(row[: len(clip.codes)], clip.labels) for row, clip in rows)
        return wrong / max(sum(len(clip.labels) for clip in clips), 1)

    def _span(self, num_codes: int) -> tuple[int, int]:
        """A stretch of a clip in training, else all of it."""
        if not self.pronouncer.training:
            return 0, num_codes
        length = min(num_codes, round(self._recipe.longest_s / CODE_S))
        start = int(torch.randint(0, num_codes - length + 1, ()))
        return start, start + length

    def _voice(self, clip: PronouncedClip) -> Tensor:
        """In training any clip's of the speaker, as when it speaks: a clip's own vector would tell which clip it is."""
        others = self._of_speaker.get(clip.speaker, [])
        if not self.pronouncer.training or not others:
            return clip.voice
        return self._clip(others[int(torch.randint(len(others), ()))]).voice

    def _clip(self, place: int) -> PronouncedClip:
        clip = self._clips[place]
        assert clip is not None
        return clip

    def _seconds(self, place: int) -> float:
        return len(self._clip(place).codes) * CODE_S

    def _cropped_seconds(self, place: int) -> float:
        return min(self._seconds(place), self._recipe.longest_s)


def _crop(clip: PronouncedClip, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, labels and ages of a stretch."""
    sounds = clip.sounds.part(start, stop)
    return clip.codes[start:stop], sounds.labels, sounds.ages


def train_pronouncer(run: RunFolder, *, device: str = "cpu", steps: int | None = None, workers: int = 0) -> None:
    """The whole stage. Raises `InputError` when the tokenizer or the speaker encoder is not finished, or the tokenizer
    left no spelling reader.
    """
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    codes, voices = read_codes(run, corpus), torch.from_numpy(read_vectors(run, corpus))
    reader = TextReader.open(run.need(TOKENIZER_STAGE, READER))
    labels = corpus_labels(reader, corpus, workers)
    timed = timed_sounds(reader, corpus, codes, labels, workers)
    clips = [
        None
        if sounds is None
        else PronouncedClip(
            item.speaker,
            own,
            torch.from_numpy(codes[item.offset : item.offset + item.num_codes].astype(np.int64)),
            sounds,
            voice,
        )
        for item, own, sounds, voice in zip(corpus.utterances, labels, timed, voices, strict=True)
    ]
    stage = PronouncerStage(
        clips, corpus.validation(), reader, sizes_of(recipe, reader), recipe.pronouncer, recipe.seed
    )
    train(stage, recipe.pronouncer.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)


def sizes_of(recipe: Recipe, reader: TextReader) -> PronouncerSizes:
    """Of the pronouncer that goes with the recipe's speaker encoder and the tokenizer's ``reader``."""
    own = recipe.pronouncer
    return PronouncerSizes(
        reader.codes.quantiser.num_codes, reader.num_labels, recipe.speaker.size, own.width, own.blocks
    )
