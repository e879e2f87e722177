"""Flow stage: conditional flow matching of mel given codes, voice and a prompt; the module of the codec, trained.

The loss is that of Lipman et al. 2022 (arXiv 2210.02747) on straight paths from noise to mel: the estimator is asked,
at a random time, for the velocity. Some rows hear no condition, for classifier-free guidance; most have a prompt, their
own beginning or the end of another clip; some batches see through the streaming masks; where a pronouncer is to speak,
some rows hear its codes behind their prompt. The recipe says how many.
Letters: B rows, T codes, F = 2 T mel frames, M mel bands.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.errors import UsageError
from omnitts.models.codec.attention import valid, visible
from omnitts.models.codec.flow import Flow
from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.conv_stack import inside_mask
from omnitts.training.average_voice import average_mel, open_mel_reader
from omnitts.training.batching import balanced_batches, batches_of
from omnitts.training.codec_settings import flow_config_of
from omnitts.training.flow_start import begin_near_straight
from omnitts.training.loop import Losses, train
from omnitts.training.perception import Perception, trained_perception
from omnitts.training.preparing import Batch
from omnitts.training.pronounced_corpus import pronounced_codes
from omnitts.training.recipe import AVERAGE_VOICE, PRIORS, Recipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import FloatTable, read_vectors
from omnitts.training.store import CODE_S, CorpusStore, Span
from omnitts.training.tables import gathered, sent
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer import read_codes
from omnitts.training.tokenizer_network import USUAL_MEL

STAGE: Final = "flow"
_NOISE_LEFT: Final = 1e-6  # sigma_min of the published settings
_SHORTEST_PROMPT: Final = 10  # codes, of a prompt that is another clip


@dataclass(frozen=True)
class _Row:
    """What a row of a batch says: stretches of clips, one behind the other, of which the first codes are its prompt.

    ``voice``: the utterance whose vector it hears. ``pronounced``: behind the prompt it hears the pronouncer's codes.
    """

    spans: tuple[Span, ...]
    prompt_codes: int
    voice: int
    pronounced: bool

    @property
    def num_codes(self) -> int:
        return sum(stop - start for _, start, stop in self.spans)


class FlowStage:
    """The loop's view of the flow."""

    name = STAGE

    def __init__(
        self,
        corpus: CorpusStore,
        codes: np.ndarray[Any, np.dtype[np.int16]],
        voices: FloatTable,
        recipe: Recipe,
        reader: CodeReader | None = None,
        pronounced: np.ndarray[Any, np.dtype[np.int16]] | None = None,
        perception: Perception | None = None,
    ) -> None:
        """``reader``: mu is drawn to what it makes of the codes (`average_voice`); without, to the clips' mel.
        ``pronounced``: the codes as the pronouncer says them, of which ``pronounced_share`` of the rows learn.
        ``perception``: judges beside the matching.
        """
        self._corpus, self._recipe, self._seed, self._reader = corpus, recipe.flow, recipe.seed, reader
        self._perception = perception
        self._codes, self._voices = (torch.from_numpy(table).to(corpus.device) for table in (codes, voices))
        self._pronounced = None if pronounced is None else torch.from_numpy(pronounced).to(corpus.device)
        self._of_speaker: dict[str, list[int]] = defaultdict(list)
        for index in corpus.training():
            self._of_speaker[corpus.utterances[index].speaker].append(index)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.flow = new_flow(recipe)
        self.networks: nn.Module = nn.ModuleDict({"flow": self.flow})
        self.facts: dict[str, Any] = {"codes": int(codes.astype(np.int64).sum()), "channels": recipe.flow.channels}

    def batches(self, epoch: int) -> list[Batch]:
        learnt, recipe = self._corpus.training(), self._recipe
        return balanced_batches(
            learnt, self._seconds, self._speaker, recipe.speaker_share, recipe.plan.batch_s, self._seed, epoch
        )

    def validation(self) -> list[Batch]:
        return batches_of(self._corpus.validation(), self._seconds, self._recipe.plan.batch_s, 0, 0)

    def losses(self, batch: Batch, step: int) -> Losses:
        device = self.flow.encoder_proj.weight.device
        rows = [self._row(index) for index in batch]
        lengths = [row.num_codes for row in rows]
        ids = self._ids(rows).to(device)
        mel = self._corpus.joined("mel", [row.spans for row in rows]).to(device, non_blocking=True)  # (B, F, M)
        voices = self._voices[sent([row.voice for row in rows], self._voices.device)].to(device)
        B = len(batch)
        has_condition = torch.rand(B, device=device) >= self._recipe.drop_condition
        spread = _spread_times(B).to(device, non_blocking=True)
        prompt_frames = [2 * row.prompt_codes for row in rows]
        found = matching_losses(
            self.flow,
            ids,
            lengths,
            mel,
            voices,
            prior_mel=mel if self._reader is None else average_mel(self._reader, ids, lengths),
            prompt_frames=prompt_frames,
            has_condition=has_condition,
            times=1 - torch.cos(spread * 0.5 * math.pi),  # as dense as the solver's own steps
            noise=torch.randn_like(mel),
            streaming=self._drawn() < self._recipe.streaming_share,
        )
        loss = found.matching + self._recipe.prior_weight * found.prior
        losses = {"loss": loss, "matching": found.matching, "prior": found.prior}
        if self._perception is not None:
            width, device = mel.shape[1], mel.device
            inside, given = (
                inside_mask(sent(part, device), width) for part in ([2 * n for n in lengths], prompt_frames)
            )
            judged = inside * (1 - given) * has_condition[:, None, None]
            heard, voice = self._perception.distances(found.guessed, mel, inside, judged)
            judgement = self._recipe.perception_weight * heard + self._recipe.voice_weight * voice
            losses |= {"heard": heard, "voice": voice, "loss": loss + judgement}
        return losses

    def _ids(self, rows: list[_Row]) -> Tensor:
        """(B, T) int64: what the rows hear."""
        codes_at = [[self._corpus.codes_at(*span) for span in row.spans] for row in rows]
        ids = gathered(self._codes, codes_at)
        if self._pronounced is not None:
            own = [row.prompt_codes if row.pronounced else row.num_codes for row in rows]
            is_own = inside_mask(sent(own, ids.device), ids.shape[1])[..., 0].bool()
            ids = torch.where(is_own, ids, gathered(self._pronounced, codes_at))
        return ids.long()

    def _drawn(self) -> float:
        """Evenly from 0 to 1."""
        return float(torch.rand(()))

    def _row(self, index: int) -> _Row:
        """The utterance, or a random stretch of it, and its prompt: its own beginning, or the end of another clip."""
        most, prompted = round(self._recipe.longest_s / CODE_S), self._drawn() < self._recipe.prompt_share
        pronounced = self._pronounced is not None and self._drawn() < self._recipe.pronounced_share
        others = [place for place in self._of_speaker[self._corpus.utterances[index].speaker] if place != index]
        if prompted and others and self._drawn() < self._recipe.other_prompt_share:
            other = others[int(torch.randint(0, len(others), ()))]
            length = self._corpus.utterances[other].num_codes
            prompt = min(length, int(torch.randint(_SHORTEST_PROMPT, most // 2 + 1, ())))
            return _Row(((other, length - prompt, length), self._span(index, most - prompt)), prompt, other, pronounced)
        span = self._span(index, most)
        longest = int(self._recipe.prompt_most * (span[2] - span[1])) if prompted else 0
        return _Row((span,), int(torch.randint(0, longest + 1, ())), index, pronounced)

    def _span(self, index: int, most: int) -> Span:
        """The utterance, or a random stretch of ``most`` of its codes."""
        num_codes = self._corpus.utterances[index].num_codes
        start = int(torch.randint(0, max(0, num_codes - most) + 1, ()))
        return index, start, min(num_codes, start + most)

    def codes_of(self, index: int, start: int, stop: int) -> Tensor:
        """The codes of an utterance from ``start`` to ``stop``."""
        first, last = self._corpus.codes_at(index, start, stop)
        return self._codes[first:last].long()

    def _seconds(self, index: int) -> float:
        return min(self._recipe.longest_s, self._corpus.utterances[index].seconds)

    def _speaker(self, index: int) -> str:
        return self._corpus.utterances[index].speaker


def new_flow(recipe: Recipe) -> Flow:
    """The module in the recipe's sizes, with fresh weights."""
    flow = Flow(flow_config_of(recipe.flow, math.prod(recipe.tokenizer.levels), recipe.speaker.size))
    for last in (flow.encoder_proj, flow.decoder.estimator.final_proj):
        nn.init.constant_(last.get_parameter("bias"), USUAL_MEL)  # else the first thousand steps learn the mean
    begin_near_straight(flow.decoder.estimator)
    return flow


class Matching(NamedTuple):
    """Mean squared errors of velocity and mu, and the mel (B, F, M) that the velocity leads to."""

    matching: Tensor
    prior: Tensor
    guessed: Tensor


def matching_losses(
    flow: Flow,
    ids: Tensor,
    lengths: list[int],
    mel: Tensor,
    voices: Tensor,
    *,
    prior_mel: Tensor,
    prompt_frames: Sequence[int],
    has_condition: Tensor,
    times: Tensor,
    noise: Tensor,
    streaming: bool,
) -> Matching:
    """Mean squared errors over all frames of all rows: of the velocity, and of mu as ``prior_mel``.

    ids (B, T), mel and prior_mel (B, F, M) padded at the right, voices (B, E), has_condition (B,) bool, times (B,) in
    [0, 1], noise like mel.
    """
    mu, speaker = conditions(flow, ids, lengths, voices, streaming)
    given = mel * inside_mask(sent(list(prompt_frames), mel.device), mel.shape[1])
    time = times[:, None, None]
    noisy = (1 - (1 - _NOISE_LEFT) * time) * noise + time * mel
    told = has_condition[:, None, None].to(mel.dtype)
    guess = velocity(flow, noisy, mu * told, speaker * told[:, :, 0], given * told, times, lengths, streaming)
    inside = valid([2 * length for length in lengths], mel.shape[1], mel.device)
    matching = _squared(guess - (mel - (1 - _NOISE_LEFT) * noise), inside)
    return Matching(matching, _squared(mu - prior_mel, inside), noisy + (1 - time) * guess)


def _squared(error: Tensor, inside: Tensor | None) -> Tensor:
    """Mean square of (B, F, M) over the frames ``inside`` (B, F) their rows."""
    if inside is None:
        return error.square().mean()
    return (error.square() * inside.unsqueeze(-1)).sum() / (inside.sum() * error.shape[2])


def conditions(flow: Flow, ids: Tensor, lengths: list[int], voices: Tensor, streaming: bool) -> tuple[Tensor, Tensor]:
    """What every frame should sound like, mu (B, F, M), and the voice (B, M): the first half of `Flow.forward`."""
    hidden = flow.encoder(flow.input_embedding(ids), lengths, 0, streaming)
    return flow.encoder_proj(hidden), flow.spk_embed_affine_layer(F.normalize(voices, dim=1))


def velocity(
    flow: Flow,
    noisy: Tensor,
    mu: Tensor,
    speaker: Tensor,
    given: Tensor,
    times: Tensor,
    lengths: list[int],
    streaming: bool,
) -> Tensor:
    """The estimator's velocity (B, F, M) at one time per row."""
    B, T, M = noisy.shape
    frames = torch.cat((noisy, mu, speaker[:, None].expand(B, T, M), given), dim=-1)
    estimator = flow.decoder.estimator
    inside = valid([2 * length for length in lengths], T, noisy.device)
    mask = visible(inside, T, estimator.config.chunk if streaming else None, noisy.device)
    embedded = estimator.time_mlp(times).unsqueeze(1)  # (B, 1, 4 C): each row's own time
    guess: Tensor = estimator(frames, embedded, mask)
    return guess


def _spread_times(count: int) -> Tensor:
    """(count,) random numbers in [0, 1), one in each of as many equal parts: few rows still see all of the way."""
    return (torch.randperm(count) + torch.rand(count)) / count


def train_flow(run: RunFolder, *, device: str = "cpu", steps: int | None = None, workers: int = 0) -> None:
    """The whole stage, after tokenizer and speaker encoder, and after the pronouncer where it is to learn from that."""
    recipe, corpus = run.recipe(), CorpusStore(run.corpus, device)
    prior = recipe.flow.prior
    if prior not in PRIORS:
        raise UsageError(f"flow.prior is {prior!r}", where=str(run.root), hint=f"one of {', '.join(PRIORS)}")
    reader = open_mel_reader(run.stage(TOKENIZER_STAGE), recipe.tokenizer) if prior == AVERAGE_VOICE else None
    codes, voices = read_codes(run, corpus), read_vectors(run, corpus)
    pronounced = pronounced_codes(run, corpus, codes, voices, workers) if recipe.flow.pronounced_share else None
    judges = recipe.flow.perception_weight or recipe.flow.voice_weight
    perception = trained_perception(run, corpus, voices, workers=workers) if judges else None
    stage = FlowStage(corpus, codes, voices, recipe, reader, pronounced, perception)
    train(stage, recipe.flow.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)
