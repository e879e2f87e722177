"""The speech LM's stage: examples in batches, and what is asked of the model on them.

The text column is given; the loss is on the four codes of every row behind the prompt: sound, end of a chunk,
separators. The reference within the prompt may be learnt too: text and codes run side by side there as they do in
speech. Beside the codes (cross entropy), as the recipe weighs them: a `guide` teaches it to find its place in the text,
the spelling loss to say codes that together make the words. In the input, never in the target, some rows lose their
codes and some have the model's own, so that it does not trust its last step too much.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.training.batching import balanced, batches_of, mixed
from omnitts.training.fusing import fuse
from omnitts.training.guide import Guide, told_places
from omnitts.training.lm_batch import LmBatch
from omnitts.training.lm_corpus import open_lm_corpus
from omnitts.training.lm_data import LmData
from omnitts.training.lm_pass import IGNORED, collate, row_states
from omnitts.training.loop import Losses, train
from omnitts.training.preparing import Batch
from omnitts.training.recipe import SpeechLmRecipe
from omnitts.training.rows import Example
from omnitts.training.run_folder import RunFolder
from omnitts.training.speech_lm import new_model
from omnitts.training.spelling_loss import SpellingLoss, Stretches, drawn, stretches

STAGE: Final = "speech-lm"
_OWN_EVERY: Final = 2  # steps: a pass more for the model's own codes makes one a quarter longer


class SpeechLmStage:
    """The loop's view of the speech LM; fine-tuning uses it too."""

    name = STAGE

    def __init__(
        self,
        model: SpeechLM,
        data: LmData,
        held_back: set[int],
        recipe: SpeechLmRecipe,
        seed: int,
        learner: nn.Module | None = None,
        spelling: SpellingLoss | None = None,
    ) -> None:
        """``learner``: the part of the model that learns and is saved, when it is not all of it.

        ``spelling`` judges what would be said, where the labels of the sounds are known.
        """
        self.model, self._data, self._held_back = model, data, held_back
        self._recipe, self._seed = recipe, seed
        self._guide = Guide(model) if recipe.guide_weight else None
        self._spelling = spelling
        self.networks: nn.Module = nn.ModuleDict({"model": learner or model})
        self._num_codes = model.config.codebook_size - 2  # less eos and pad
        backbone = model.config.backbone
        self.facts: dict[str, Any] = {
            "hidden_size": backbone.hidden_size,
            "vocab_size": backbone.vocab_size,
            "layers": backbone.num_hidden_layers,
            "utterances": sum(item.take_of is None for item in data.utterances),  # takes may come while it learns
        }

    def batches(self, epoch: int) -> list[Batch]:
        """Batches of example numbers: epoch * utterances + utterance."""
        count = len(self._data.utterances)
        utterances = self._data.utterances
        takes = [index for index in range(count) if utterances[index].take_of is not None]
        learnt = [i for i in range(count) if utterances[i].take_of is None and i not in self._held_back]
        chance, alone = self._chance(epoch), epoch < self._recipe.alone_epochs

        @cache
        def seconds(index: int) -> float:
            return self._data.seconds(index, chance, alone=alone)

        share = self._recipe.speaker_share
        spread = balanced(learnt, seconds, lambda i: utterances[i].speaker, share, self._seed, epoch)
        if takes:
            spread = mixed(spread, takes, seconds, self._recipe.takes_share, self._seed, epoch)
        found = batches_of(spread, seconds, self._recipe.plan.batch_s, self._seed, epoch)
        return [[epoch * count + index for index in batch] for batch in found]

    def validation(self) -> list[Batch]:
        return list(
            batches_of(
                sorted(self._held_back),
                lambda i: self._data.seconds(i, self._chance(0)),
                self._recipe.plan.batch_s,
                0,
                0,
            )
        )

    def prepare(self, batch: Batch, step: int) -> LmBatch | None:
        """All that is learnt from example numbers; None when no example can be made of any."""
        examples = self._examples(batch)
        if not examples:
            return None
        recipe, training = self._recipe, self.networks.training
        speech_pad = self.model.config.codebook_size - 1
        inputs, targets, said = collate(examples, speech_pad if recipe.learn_reference and training else None)
        known = targets[..., 0] != IGNORED
        if training and recipe.dropout:
            inputs = self._without_some_codes(inputs, known)
        own = torch.zeros(0, dtype=torch.int64)
        if training and recipe.own_share and step % _OWN_EVERY == 0:
            own = self._own_places(targets)
        wanted = targets[known]
        spoken = [] if self._spelling is None else stretches(examples, known, wanted, self._num_codes)
        told_now, told_next = told_places(said)
        return LmBatch.of(
            Stretches.of(spoken),
            inputs=inputs,
            learnt=known.flatten().nonzero().flatten(),
            wanted=wanted,
            own=own,
            said=said,
            told_now=told_now,
            told_next=told_next,
        )

    def losses(self, batch: LmBatch | None, step: int) -> Losses:
        if batch is None:
            zero = next(self.networks.parameters()).sum() * 0.0  # nothing to learn from here, but a loss all the same
            return {"loss": zero, "right": zero.detach()}
        given = batch.on(self.model.model.norm.weight.device)
        speaks = self._speaks(step) or not self.networks.training
        inputs = self._with_own_codes(given.inputs, given.own) if speaks and len(given.own) else given.inputs
        states = row_states(self.model, inputs)
        logits = self.model.speech_logits(states.adapter.flatten(0, 1).index_select(0, given.learnt))  # (N, K, V)
        loss = F.cross_entropy(logits.flatten(0, 1), given.wanted.flatten())
        losses = {"loss": loss, "right": (logits.argmax(-1) == given.wanted).float().mean().detach()}
        if self._guide is not None and len(given.told_next):
            guide = self._guide.loss(states.backbone, inputs, given.said, (given.told_now, given.told_next))
            losses |= {"loss": loss + self._recipe.guide_weight * guide, "codes": loss, "guide": guide}
        if speaks and self._spelling is not None and batch.num_labels:
            judged = self._spelling(logits, batch.spoken(given), draws=self.networks.training)
            weighted = self._recipe.spelling_weight * judged["spelling"]
            losses |= {"loss": losses["loss"] + weighted, "codes": loss, **judged}
        return losses

    def _speaks(self, step: int) -> bool:
        """Whether it knows enough to learn from what it would say."""
        return step >= self._recipe.own_from * self._recipe.plan.steps

    def _examples(self, batch: Batch) -> list[Example]:
        """Of example numbers (epoch * utterances + utterance)."""
        count, training = len(self._data.utterances), self.networks.training
        made = [
            self._data.example(
                number % count,
                self._chance(number // count),
                dropout=training,
                alone=training and number // count < self._recipe.alone_epochs,
            )
            for number in batch
        ]
        return [item for item in made if item is not None]

    def _without_some_codes(self, inputs: Tensor, known: Tensor) -> Tensor:
        """Rows that are learnt from, ``known`` (B, T), lose their codes (pad instead) with probability ``dropout``."""
        drops = (torch.rand(inputs.shape[:2]) < self._recipe.dropout) & known
        changed = inputs.clone()
        changed[..., 1:].masked_fill_(drops.unsqueeze(-1), self.model.config.codebook_size - 1)
        return changed

    def _own_places(self, targets: Tensor) -> Tensor:
        """Places, of the B * T, behind which a row sounds: each with probability ``own_share``."""
        sounds = ((targets >= 0) & (targets < self._num_codes)).all(dim=-1)[:, :-1]  # (B, T - 1): the row behind each
        chosen = sounds & (torch.rand(sounds.shape) < self._recipe.own_share)
        return F.pad(chosen, (0, 1)).flatten().nonzero().flatten()

    @torch.no_grad()
    def _with_own_codes(self, inputs: Tensor, own: Tensor) -> Tensor:
        """Behind the places ``own`` (C,) stand the codes that the model itself would have said there.

        Scheduled sampling (arXiv 1506.03099) with all rows drawn at once from one pass over the true ones.
        """
        adapted = row_states(self.model, inputs).adapter.flatten(0, 1).index_select(0, own)
        torch.clear_autocast_cache()  # weights that were shortened here have no gradients
        rows = inputs.flatten(0, 1)
        text = rows[:, :1].index_select(0, own + 1)
        codes = drawn(self.model.speech_logits(adapted)[..., : self._num_codes])
        return rows.index_copy(0, own + 1, torch.cat([text, codes], dim=1)).view_as(inputs)

    def _chance(self, epoch: int) -> str:
        return f"{self._seed} {epoch}"


def train_speech_lm(
    run: RunFolder,
    *,
    books: list[str] | None = None,
    device: str = "cpu",
    steps: int | None = None,
    workers: int = 0,
) -> None:
    """The whole stage. ``books``: more sentences to learn the text tokenizer from, the first time."""
    recipe, corpus = run.recipe(), open_lm_corpus(run, books, workers=workers)
    sizes = recipe.speech_lm
    spelling = None
    if sizes.spelling_weight and corpus.reader is not None:
        spelling = SpellingLoss(corpus.reader.codes.to(device))
    model = new_model(corpus.config, recipe.seed)
    if sizes.fused and not device.startswith("cuda"):  # there, every new length would be compiled anew
        fuse([*model.model.layers, *model.tts_adapter.layers], "speech_lm.fused")
    stage = SpeechLmStage(model, corpus.data, set(corpus.held_back), sizes, recipe.seed, spelling=spelling)
    train(stage, sizes.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps, workers=workers)
