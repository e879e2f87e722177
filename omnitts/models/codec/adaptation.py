"""Speaker adaptation: an affine map of mel frames that undoes what a codec gets wrong in a voice.

Frames as the codec makes them and as they were recorded in; the map out. It is the ridge regression from one to the
other, drawn towards leaving frames as they are, with the spread of every band restored (regression alone flattens it).
Sources: feature-space speaker adaptation (Gales 1998), variance compensation in voice conversion (Toda et al. 2007).
Letters: M mel bands, F frames. Where the frames come from: ``enrolment.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

_FEWEST_FRAMES: Final = 40
_LOUD: Final = 0.95  # share of the frames that are not louder than loud speech; above it may be a click
_SPEECH_RANGE: Final = 3.5  # below loud speech, in mean log-mel: what lies lower is pause
_NO_CHANGE_BELOW, _ALL_CHANGE_ABOVE = -5.5, -3.5  # relative to loud speech; between them it fades in


@dataclass(frozen=True)
class Adaptation:
    """wanted + matrix (frame - made), faded out in pauses; all in float32.

    ``matrix`` (M, M); ``made`` and ``wanted`` (M,), the mean frame of the codec and of the recording; ``loud`` (), the
    mean over the bands of a frame of loud speech.
    """

    matrix: Tensor
    made: Tensor
    wanted: Tensor
    loud: Tensor

    def __call__(self, mel: Tensor) -> Tensor:
        """(M, F) -> (M, F)"""
        matrix, made, wanted, loud = (
            part.to(mel) for part in (self.matrix, self.made, self.wanted, self.loud)
        )  # fmt: skip
        changed = matrix @ (mel - made[:, None]) + wanted[:, None]
        level = mel.mean(dim=0) - loud
        share = ((level - _NO_CHANGE_BELOW) / (_ALL_CHANGE_ABOVE - _NO_CHANGE_BELOW)).clamp(0, 1)
        return mel + share * (changed - mel)

    def then(self, last: Adaptation) -> Adaptation:
        """Both maps, one after the other, as one; what is a pause the first says."""
        wanted = last.matrix @ (self.wanted - last.made) + last.wanted
        return replace(self, matrix=last.matrix @ self.matrix, wanted=wanted)


def fitted(made: Tensor, recorded: Tensor, frames: float) -> Adaptation | None:
    """The map from (F, M) frames as made to those that were recorded; None where hardly any is speech.

    ``frames``: so many recorded frames weigh as much as the wish to change nothing.
    """
    loudness = recorded.mean(dim=1)
    loud = loudness.quantile(_LOUD)
    is_speech = loudness > loud - _SPEECH_RANGE
    if int(is_speech.sum()) < _FEWEST_FRAMES:
        return None
    made, recorded = made[is_speech], recorded[is_speech]
    made_mean, recorded_mean = made.mean(dim=0), recorded.mean(dim=0)
    made, recorded = made - made_mean, recorded - recorded_mean
    plain = torch.eye(made.shape[1], dtype=made.dtype)
    prior = frames * made.square().mean() * plain
    change = torch.linalg.solve(made.T @ made + prior, made.T @ (recorded - made)).T
    matrix = plain + change
    spread = recorded.std(dim=0) / (made @ matrix.T).std(dim=0).clamp(min=1e-6)
    matrix = spread[:, None] * matrix
    return Adaptation(*(part.float() for part in (matrix, made_mean, recorded_mean, loud)))
