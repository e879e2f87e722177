"""Flow stage: conditional flow matching of mel given codes, voice and a prompt; the module of the codec, trained.

The loss is that of Lipman et al. 2022 (arXiv 2210.02747) on straight paths from noise to mel: the estimator is asked,
at a random time, for the velocity. One in five rows hears no condition, for classifier-free guidance; most rows have
the beginning of their own mel as prompt; half of the batches see through the streaming masks.
Letters: B rows, T codes, F = 2 T mel frames, M mel bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.errors import UsageError
from omnitts.models.codec.attention import valid, visible
from omnitts.models.codec.flow import Flow
from omnitts.models.reading.code_reader import CodeReader
from omnitts.training.average_voice import average_mel, open_mel_reader
from omnitts.training.batching import balanced, batches_of
from omnitts.training.codec_settings import flow_config_of
from omnitts.training.flow_start import begin_near_straight
from omnitts.training.loop import Batch, Losses, train
from omnitts.training.recipe import AVERAGE_VOICE, PRIORS, Recipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import FloatTable, read_vectors
from omnitts.training.store import CODE_S, CorpusStore
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE
from omnitts.training.tokenizer import read_codes
from omnitts.training.tokenizer_network import USUAL_MEL

STAGE: Final = "flow"
_NOISE_LEFT: Final = 1e-6  # sigma_min of the published settings


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
    ) -> None:
        """``reader``: mu is drawn to what it makes of the codes (`average_voice`); without, to the clips' mel."""
        self._corpus, self._recipe, self._seed, self._reader = corpus, recipe.flow, recipe.seed, reader
        self._codes, self._voices = codes, torch.from_numpy(voices)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.flow = new_flow(recipe)
        self.networks: nn.Module = nn.ModuleDict({"flow": self.flow})
        self.facts: dict[str, Any] = {"codes": int(codes.astype(np.int64).sum()), "channels": recipe.flow.channels}

    def batches(self, epoch: int) -> list[Batch]:
        utterances, share = self._corpus.utterances, self._recipe.speaker_share
        learnt = balanced(
            self._corpus.training(), self._seconds, lambda i: utterances[i].speaker, share, self._seed, epoch
        )
        return self._batches(learnt, self._seed, epoch)

    def validation(self) -> list[Batch]:
        return self._batches(self._corpus.validation(), 0, 0)

    def _batches(self, indices: list[int], seed: int, epoch: int) -> list[Batch]:
        return list(batches_of(indices, self._seconds, self._recipe.plan.batch_s, seed, epoch))

    def losses(self, batch: Batch, step: int) -> Losses:
        device = self.flow.encoder_proj.weight.device
        spans = [self._span(index) for index in batch]
        lengths = [stop - start for _, start, stop in spans]
        ids = _padded([self.codes_of(*span) for span in spans]).to(device)
        mel = _padded([self._corpus.read("mel", *span) for span in spans]).to(device)  # (B, F, M)
        prompt_frames = [2 * self._prompt_codes(length) for length in lengths]
        B = len(batch)
        matching, prior = matching_losses(
            self.flow,
            ids,
            lengths,
            mel,
            self._voices[list(batch)].to(device),
            prior_mel=mel if self._reader is None else average_mel(self._reader, ids, lengths),
            prompt_frames=prompt_frames,
            has_condition=torch.rand(B, device=device) >= self._recipe.drop_condition,
            times=1 - torch.cos(_spread_times(B).to(device) * 0.5 * math.pi),  # as dense as the solver's own steps
            noise=torch.randn_like(mel),
            streaming=bool(torch.rand(()) < self._recipe.streaming_share),
        )
        return {"loss": matching + self._recipe.prior_weight * prior, "matching": matching, "prior": prior}

    def _span(self, index: int) -> tuple[int, int, int]:
        """The utterance, or a random stretch of a long one, in codes."""
        num_codes = self._corpus.utterances[index].num_codes
        most = round(self._recipe.longest_s / CODE_S)
        start = int(torch.randint(0, max(0, num_codes - most) + 1, ()))
        return index, start, min(num_codes, start + most)

    def codes_of(self, index: int, start: int, stop: int) -> Tensor:
        """The codes of an utterance from ``start`` to ``stop``."""
        offset = self._corpus.utterances[index].offset
        return torch.from_numpy(self._codes[offset + start : offset + stop].astype(np.int64))

    def _prompt_codes(self, length: int) -> int:
        if float(torch.rand(())) >= self._recipe.prompt_share:
            return 0
        return int(torch.randint(0, int(self._recipe.prompt_most * length) + 1, ()))

    def _seconds(self, index: int) -> float:
        return min(self._recipe.longest_s, self._corpus.utterances[index].seconds)


def new_flow(recipe: Recipe) -> Flow:
    """The module in the recipe's sizes, with fresh weights."""
    flow = Flow(flow_config_of(recipe.flow, math.prod(recipe.tokenizer.levels), recipe.speaker.size))
    for last in (flow.encoder_proj, flow.decoder.estimator.final_proj):
        nn.init.constant_(last.get_parameter("bias"), USUAL_MEL)  # else the first thousand steps learn the mean
    begin_near_straight(flow.decoder.estimator)
    return flow


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
) -> tuple[Tensor, Tensor]:
    """Mean squared errors over all frames of all rows: of the velocity, and of mu as ``prior_mel``.

    ids (B, T), mel and prior_mel (B, F, M) padded at the right, voices (B, E), has_condition (B,) bool, times (B,) in
    [0, 1], noise like mel.
    """
    mu, speaker = conditions(flow, ids, lengths, voices, streaming)
    given = torch.zeros_like(mel)
    for row, num_frames in enumerate(prompt_frames):
        given[row, :num_frames] = mel[row, :num_frames]
    time = times[:, None, None]
    noisy = (1 - (1 - _NOISE_LEFT) * time) * noise + time * mel
    told = has_condition[:, None, None].to(mel.dtype)
    guess = velocity(flow, noisy, mu * told, speaker * told[:, :, 0], given * told, times, lengths, streaming)
    inside = valid([2 * length for length in lengths], mel.shape[1], mel.device)
    return _squared(guess - (mel - (1 - _NOISE_LEFT) * noise), inside), _squared(mu - prior_mel, inside)


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


def train_flow(run: RunFolder, *, device: str = "cpu", steps: int | None = None) -> None:
    """The whole stage, after tokenizer and speaker encoder."""
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    prior = recipe.flow.prior
    if prior not in PRIORS:
        raise UsageError(f"flow.prior is {prior!r}", where=str(run.root), hint=f"one of {', '.join(PRIORS)}")
    reader = open_mel_reader(run.stage(TOKENIZER_STAGE), recipe.tokenizer) if prior == AVERAGE_VOICE else None
    stage = FlowStage(corpus, read_codes(run, corpus), read_vectors(run, corpus), recipe, reader)
    train(stage, recipe.flow.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)


def _padded(rows: list[Tensor]) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)
