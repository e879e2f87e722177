"""Speech tokenizer network: log-mel at 100 Hz -> one of a few hundred codes at 25 Hz, by finite scalar quantisation.

Readers hang on the codes while it learns: one spells the text (CTC), one rebuilds the mel given the clip's average
sound, one what a speech recogniser hears. What all need, the codes must carry; who speaks comes from the average. Only
the encoder is exported. Letters: B rows, T frames at 100 Hz, K codes, D width, M mel bands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.conv_stack import ConvStack, inside_mask
from omnitts.models.reading.quantiser import Quantiser
from omnitts.training.hearing import WIDTH as ASR_WIDTH
from omnitts.training.recipe import TokenizerRecipe
from omnitts.training.recogniser import FRAMES_PER_CODE, Recogniser
from omnitts.training.store import KINDS

_IN_MELS = 128
_OUT_MELS = 80
_FRAMES = KINDS["log_mel"].frames  # to a code
_STYLE = 64
USUAL_MEL = -5.0  # about the mean of log-mel over speech, where training starts


class MelEars(nn.Module):
    """Convolutions over the log-mel."""

    def __init__(self, recipe: TokenizerRecipe) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(_IN_MELS, recipe.width, 3, stride=2, padding=1)
        self.conv2 = nn.Conv1d(recipe.width, recipe.width, 3, stride=2, padding=1)

    def forward(self, log_mel: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, 128) and (B,) lengths -> (B, ceil(T / 4), D)"""
        log_mel = log_mel.transpose(1, 2)
        inside = inside_mask(lengths, log_mel.shape[2]).transpose(1, 2)  # (B, 1, T)
        hidden = nn.functional.gelu(self.conv1(log_mel * inside))
        return nn.functional.gelu(self.conv2(hidden * inside[:, :, ::2])).transpose(1, 2)


class StateEars(nn.Module):
    """The states of a recogniser, two to a code."""

    mean: Tensor
    spread: Tensor

    def __init__(self, recipe: TokenizerRecipe, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.pair = nn.Conv1d(width, recipe.width, FRAMES_PER_CODE, stride=FRAMES_PER_CODE)
        self.dropout = nn.Dropout(recipe.dropout)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(B, T / 2, width) states, of a row's ``lengths`` in frames of 10 ms -> (B, ceil(T / 4), D)"""
        even = ((states - self.mean) / self.spread).transpose(1, 2)
        even = nn.functional.pad(even, (0, FRAMES_PER_CODE - 1))  # an odd one at the end has silence beside it
        return nn.functional.gelu(self.pair(self.dropout(even))).transpose(1, 2)


class CodeEncoder(nn.Module):
    """What is exported: frames to rounded numbers. ``ear_width``: of a recogniser's states; 0 when it hears log-mel."""

    def __init__(self, recipe: TokenizerRecipe, ear_width: int = 0) -> None:
        super().__init__()
        self.ears: nn.Module = StateEars(recipe, ear_width) if ear_width else MelEars(recipe)
        self.stack = ConvStack(recipe.width, recipe.blocks)
        self.narrow = nn.Linear(recipe.width, len(recipe.levels))
        self.quantiser = Quantiser(recipe.levels)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, 128) log-mel, or (B, T / 2, ear width), and (B,) lengths in log-mel frames -> (B, ceil(T / 4), d)"""
        hidden = self.ears(frames, lengths)
        inside = inside_mask((lengths + _FRAMES - 1) // _FRAMES, hidden.shape[1])
        rounded: Tensor = self.quantiser(self.narrow(self.stack(hidden, inside)))
        return rounded


class ExportedTokenizer(nn.Module):
    """The encoder as speech_tokenizer_v2.onnx: feature (1, 128, T) float32, length int32 (1,) -> (1, K) int32 ids."""

    def __init__(self, encoder: CodeEncoder, recogniser: Recogniser | None = None) -> None:
        super().__init__()
        self.encoder, self.recogniser = encoder, recogniser

    def forward(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        frames = feats.transpose(1, 2) if self.recogniser is None else self.recogniser(feats)
        return self.encoder.quantiser.codes(self.encoder(frames, feats_length)).to(torch.int32)


def spelling_reader(recipe: TokenizerRecipe, num_labels: int) -> CodeReader:
    """The reader whose numbers are label logits (CTC)."""
    return CodeReader(recipe.levels, recipe.width, recipe.reader_blocks, num_labels, recipe.dropout)


def mel_reader(recipe: TokenizerRecipe) -> CodeReader:
    """A reader whose numbers are the two mel frames of a code, (B, K, 160)."""
    return CodeReader(recipe.levels, recipe.width, recipe.mel_blocks, 2 * _OUT_MELS)


class SpeechTokenizer(nn.Module):
    """Encoder, CTC reader and mel reader."""

    def __init__(self, recipe: TokenizerRecipe, num_labels: int, ear_width: int = 0) -> None:
        super().__init__()
        width = recipe.width
        self.encoder = CodeEncoder(recipe, ear_width)
        self.reader = spelling_reader(recipe, num_labels)
        self.asr: CodeReader | None = None
        if recipe.asr_weight:
            self.asr = CodeReader(recipe.levels, width, recipe.mel_blocks, FRAMES_PER_CODE * ASR_WIDTH)
        self.style_in = nn.Linear(_OUT_MELS, _STYLE)
        self.style_out = nn.Linear(2 * _STYLE, width)
        self.mel_in = nn.Linear(len(recipe.levels), width)
        self.mel = ConvStack(width, recipe.mel_blocks)
        self.mel_out = nn.Linear(width, 2 * _OUT_MELS)
        nn.init.constant_(self.mel_out.bias, USUAL_MEL)

    def read(self, rounded: Tensor, mel: Tensor, num_codes: Tensor) -> tuple[Tensor, Tensor]:
        """Label logits (B, K, labels) and rebuilt mel (B, 2 K, 80), from codes and the clip's average over ``mel``."""
        B, K, _ = rounded.shape
        inside = inside_mask(num_codes, K)
        heard = self.encoder.quantiser.centred(rounded)
        labels = self.reader(rounded, inside)
        frames = self.mel_out(self.mel(self.mel_in(heard) + self.style(mel, num_codes)[:, None], inside))
        return labels, frames.view(B, 2 * K, _OUT_MELS)

    def asr_states(self, rounded: Tensor, num_codes: Tensor) -> Tensor:
        """What the recogniser would hear, (B, 2 K, ASR_WIDTH), from codes alone."""
        assert self.asr is not None, "the recipe has an asr_weight"
        B, K, _ = rounded.shape
        states: Tensor = self.asr(rounded, inside_mask(num_codes, K))
        return states.view(B, FRAMES_PER_CODE * K, ASR_WIDTH)

    def style(self, mel: Tensor, num_codes: Tensor) -> Tensor:
        """(B, D): who speaks and how it was recorded: mean and spread over time of a few projections."""
        inside = inside_mask(2 * num_codes, mel.shape[1])
        count = inside.sum(dim=1)
        hidden = nn.functional.gelu(self.style_in(mel / 4)) * inside
        mean = hidden.sum(dim=1) / count
        spread = (((hidden - mean[:, None]) * inside).square().sum(dim=1) / count + 1e-5).sqrt()
        style: Tensor = self.style_out(torch.cat((mean, spread), dim=-1))
        return style
