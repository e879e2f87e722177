"""Question audio: sound becomes the log-mel blocks that both audio towers hear (spec 5.2, 5.5).

Goes in: samples at any rate, one channel or several. Comes out: (blocks, 128, 3000). Knows nothing of towers and files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from omnitts.models.codec.features import resample_sinc

SAMPLE_RATE: Final = 16_000  # hertz
BLOCK_SAMPLES: Final = 480_000  # 30 s
MEL_BINS: Final = 128
BLOCK_FRAMES: Final = 3_000


def first_channel(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Channel 0 of (channels, N), or (N,) as it is. The brain hears the first channel, not the mean (spec 5.5)."""
    return samples if samples.ndim == 1 else samples[0]


def count_blocks(num_samples: int) -> int:
    """floor(N / 480000) + 1: an exact multiple of 30 s is followed by one block of silence (spec 5.5)."""
    return num_samples // BLOCK_SAMPLES + 1


def mel_blocks(samples: npt.NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> Tensor:
    """(N,) or (channels, N) -> (blocks, 128, 3000) float32; the last block is padded with silence.

    Another rate than 16 kHz is resampled by windowed sinc, as torchaudio does (spec 5.1, trap 20).
    """
    mono = first_channel(samples)
    if sample_rate != SAMPLE_RATE:
        mono = resample_sinc(torch.from_numpy(np.ascontiguousarray(mono)), sample_rate, SAMPLE_RATE).numpy()
    blocks = [mono[i * BLOCK_SAMPLES : (i + 1) * BLOCK_SAMPLES] for i in range(count_blocks(len(mono)))]
    padded = [np.pad(block, (0, BLOCK_SAMPLES - len(block))) for block in blocks]
    mels = [_extractor()(block, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features[0] for block in padded]
    return torch.from_numpy(np.stack(mels)).float()


def as_blocks(mel: Tensor) -> Tensor:
    """One block (128, 3000) or several (blocks, 128, 3000) -> (blocks, 128, 3000). Raises ValueError otherwise."""
    blocks = mel if mel.dim() == 3 else mel[None]
    if blocks.dim() != 3 or tuple(blocks.shape[1:]) != (MEL_BINS, BLOCK_FRAMES):
        raise ValueError(f"expected mel blocks of {MEL_BINS} x {BLOCK_FRAMES}, got {tuple(mel.shape)}")
    return blocks


@lru_cache(maxsize=1)
def _extractor() -> Any:
    from transformers import WhisperFeatureExtractor

    extractor: Any = WhisperFeatureExtractor
    return extractor(feature_size=MEL_BINS)
