"""Vocoder stage: HiFT learns to turn mel into sound, its pitch predictor to hear pitch; the module of the codec.

The module is made for inference, so this file adds what learning needs: weight norm on its convolutions (stored as
published, folded again by the loader), a forward pass of crops of one length that keeps gradients, and losses.
Letters: B crops, M mel bands, F frames, N samples.
"""

from __future__ import annotations

import math
import random
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from omnitts.models.codec.config import HiftConfig
from omnitts.models.codec.hift import Hift, Snake
from omnitts.models.codec.source import HarmonicSource
from omnitts.models.codec.spectrum import inverse_stft
from omnitts.training.batching import batches_of
from omnitts.training.codec_settings import hift_config_of
from omnitts.training.fusing import fuse
from omnitts.training.loop import Losses, train
from omnitts.training.preparing import Batch
from omnitts.training.recipe import VocoderRecipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.store import KINDS, CorpusStore, Span
from omnitts.training.vocoder_losses import Discriminators, adversarial_losses, mel_loss, spectral_loss

STAGE: Final = "vocoder"
_PITCH_SCALE_HZ: Final = 100.0
_MOST_MAGNITUDE: Final = 100.0
_LAST_SLOPE: Final = 0.01
_OWN_PITCH_FROM: Final = 0.25  # of the plan; then half of the crops are made from the predicted pitch


class VocoderStage:
    """The loop's view of the vocoder."""

    name = STAGE

    def __init__(self, corpus: CorpusStore, recipe: VocoderRecipe, seed: int) -> None:
        self._corpus, self._recipe, self._seed = corpus, recipe, seed
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.hift = normed(Hift(hift_config_of(recipe)))
            parts: dict[str, nn.Module] = {"hift": self.hift}
            if recipe.adversarial_from is not None:
                parts["judges"] = Discriminators(recipe.discriminator_channels)
        self.networks: nn.Module = nn.ModuleDict(parts)
        if recipe.fused:
            fuse_activations(self.hift, corpus.device)
        self.facts: dict[str, Any] = {
            "base_channels": recipe.base_channels,
            "adversarial": recipe.adversarial_from is not None,
            "utterances": len(corpus.utterances),
        }

    def batches(self, epoch: int) -> list[Batch]:
        return self._batches(self._corpus.training(), self._seed, epoch)

    def validation(self) -> list[Batch]:
        return self._batches(self._corpus.validation(), 0, 0)

    def _batches(self, indices: list[int], seed: int, epoch: int) -> list[Batch]:
        """Crops of one length; an utterance has a chance in proportion to its length, at least once an epoch."""
        crop_s = self._recipe.crop_frames / 50
        usable = [i for i in indices if 2 * self._corpus.utterances[i].num_codes > self._recipe.crop_frames]
        turns = [i for i in usable for _ in range(max(1, round(self._corpus.utterances[i].seconds / 4)))]
        random.Random(f"{seed} {epoch} turns").shuffle(turns)
        return batches_of(turns, lambda _: crop_s, self._recipe.plan.batch_s, seed, epoch)

    def losses(self, batch: Batch, step: int) -> Losses:
        device = self.hift.f0_predictor.classifier.weight.device
        mel, pitch, real = (part.to(device, non_blocking=True) for part in self._crops(batch))
        with torch.autocast(device.type, enabled=False):  # bfloat16 knows a pitch to two hertz
            guess = self.hift.f0_predictor(mel)  # (B, F)
        pitch_off = (guess - pitch).abs().mean() / _PITCH_SCALE_HZ
        used = pitch
        if step > _OWN_PITCH_FROM * self._recipe.plan.steps:
            own = torch.rand(len(batch), 1, device=device) < 0.5
            used = torch.where(own, guess.detach(), pitch)
        made = sound(self.hift, mel, used)
        with torch.autocast(device.type, enabled=False):
            spectral, mel_off = spectral_loss(made, real), mel_loss(made, real)
        recipe = self._recipe
        loss = recipe.spectral_weight * spectral + recipe.mel_weight * mel_off + recipe.pitch_weight * pitch_off
        losses = {"spectral": spectral, "mel": mel_off, "pitch": pitch_off}
        first = recipe.adversarial_from
        if first is not None and step >= first and self.networks.training:
            fool, judge = adversarial_losses(self.networks["judges"], made, real)  # type: ignore[index]
            loss = loss + fool + judge
            losses |= {"fooling": fool, "judging": judge}
        return {"loss": loss, **losses}

    def _crops(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(B, M, F) mel, (B, F) pitch and (B, N) sound of random stretches; they begin at whole codes."""
        frames = self._recipe.crop_frames
        samples = frames * KINDS["wave"].frames // KINDS["mel"].frames
        spans = [self._span(index) for index in batch]
        mel, pitch, wave = (self._corpus.padded(kind, spans) for kind in ("mel", "pitch", "wave"))
        return mel[:, :frames].transpose(1, 2).contiguous(), pitch[:, :frames, 0], wave[:, :samples, 0]

    def _span(self, index: int) -> Span:
        """Of the codes that a crop touches."""
        num_codes = -(-self._recipe.crop_frames // KINDS["mel"].frames)
        start = int(torch.randint(0, self._corpus.utterances[index].num_codes - num_codes + 1, ()))
        return index, start, start + num_codes


def normed(hift: Hift) -> Hift:
    """Weight norm on the convolutions that are stored so in published checkpoints: all but those of the source."""
    for name, module in hift.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and not name.startswith("source_downs"):
            weight_norm(module)
    return hift


def fuse_activations(hift: Hift, device: torch.device | str = "cpu") -> None:
    """The snakes: as they stand, their five passes over memory take a third of a training step on a CPU."""
    fuse((module for module in hift.modules() if isinstance(module, Snake)), "vocoder.fused", device)


def sound(hift: Hift, mel: Tensor, pitch: Tensor) -> Tensor:
    """(B, N) waves of (B, M, F) mel and (B, F) pitch, with gradients: `Hift.forward` for rows of one length."""
    config = hift.config
    num_samples = pitch.shape[1] * config.samples_per_frame
    noise = torch.randn(len(pitch), config.num_harmonics + 1, num_samples, device=pitch.device)
    return decode(hift, mel, excitation(hift.m_source, pitch, noise))


def excitation(source: HarmonicSource, pitch: Tensor, noise: Tensor) -> Tensor:
    """(B, N) sources of (B, F) Hz and (B, H, N) standard normal noise: `HarmonicSource` for many rows at once."""
    config = source.config
    ratio, num_sines = config.samples_per_frame, config.num_harmonics + 1
    with torch.autocast(pitch.device.type, enabled=False):  # it never speaks from a source in bfloat16
        harmonics = torch.arange(1, num_sines + 1, device=pitch.device, dtype=torch.float32)
        turns = (pitch[:, None] * harmonics[:, None] / config.rate_hz) % 1  # (B, H, F) per sample
        phase = torch.cumsum(turns, dim=2) * 2 * math.pi
        phase = F.interpolate(phase * ratio, scale_factor=float(ratio), mode="linear")  # (B, H, N)
        voiced = (pitch > config.voiced_hz).float().repeat_interleave(ratio, dim=1)[:, None]  # (B, 1, N)
        loudness = voiced * config.noise_std + (1 - voiced) * config.sine_amplitude / 3
        waves = phase.sin() * config.sine_amplitude * voiced + loudness * noise
        return torch.tanh(source.l_linear(waves.transpose(1, 2))).squeeze(-1)


def decode(hift: Hift, mel: Tensor, source: Tensor) -> Tensor:
    """(B, N) waves of (B, M, F) mel and (B, N) sources: the plain twin of `Hift.decode`, for rows of one length."""
    config: HiftConfig = hift.config
    window = torch.hann_window(config.n_fft, device=mel.device)
    heard = torch.stft(source, config.n_fft, config.hop, window=window, return_complex=True)
    spectrum = torch.cat((heard.real, heard.imag), dim=1)
    hidden = hift.conv_pre(mel)
    per_stage, last = len(config.block_kernels), len(config.upsample_rates) - 1
    for stage in range(last + 1):
        hidden = hift.ups[stage](F.leaky_relu(hidden, config.slope))
        if stage == last:
            hidden = torch.cat((hidden[..., 1:2], hidden), dim=2)  # one reflected step before the first
        hidden = hidden + hift.source_resblocks[stage](hift.source_downs[stage](spectrum), None)
        blocks = hift.resblocks[stage * per_stage : (stage + 1) * per_stage]
        hidden = torch.stack([block(hidden, None) for block in blocks]).mean(dim=0)
    with torch.autocast(hidden.device.type, enabled=False):  # the sound is a small difference of large magnitudes
        magnitude, phase = hift.conv_post(F.leaky_relu(hidden.float(), _LAST_SLOPE)).chunk(2, dim=1)
    polar = torch.polar(magnitude.exp().clamp(max=_MOST_MAGNITUDE), phase.sin())
    wave = inverse_stft(polar, [polar.shape[2]] * len(mel), config.n_fft, config.hop)  # torch's waits for a GPU
    return wave[:, : source.shape[1]].clamp(-config.limit, config.limit)


def train_vocoder(run: RunFolder, *, device: str = "cpu", steps: int | None = None) -> None:
    """The whole stage; needs nothing but the corpus."""
    recipe = run.recipe()
    stage = VocoderStage(CorpusStore(run.corpus, device), recipe.vocoder, recipe.seed)
    train(stage, recipe.vocoder.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)
