"""Speech tokenizer: 16 kHz sound -> 25 tokens per second, by the checkpoint's ``speech_tokenizer_v2.onnx`` (spec 2.6).

Thin: features here, the network in onnxruntime. Knows nothing of voices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from omnitts.models.codec.features import FRONT_END_RATE, whisper_log_mel
from omnitts.models.codec.onnx_session import OnnxNetwork

BLOCK_SAMPLES: Final = 30 * FRONT_END_RATE
"""The network hears at most 30 s at once; longer clips are cut into blocks, each by itself."""
_HOP: Final = 160
_MEL_BINS: Final = 128


class S3Tokenizer:
    """Session over the tokenizer's file: inputs, in order, feature (1, 128, T) float32 and length int32 (1,)."""

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        self._network = OnnxNetwork(path, num_inputs=2, num_threads=num_threads)

    def tokens(self, samples: Tensor) -> Tensor:
        """(N,) float samples at 16 kHz -> (K,) int32 ids; a rest shorter than one feature frame has no token."""
        ids = [self._block(block) for block in torch.split(samples, BLOCK_SAMPLES) if len(block) > _HOP * 2]
        return torch.cat(ids) if ids else torch.zeros(0, dtype=torch.int32)

    def _block(self, samples: Tensor) -> Tensor:
        feature = whisper_log_mel(samples, _MEL_BINS).unsqueeze(0).numpy()  # (1, 128, T)
        ids = self._network.run(feature, np.array([feature.shape[2]], dtype=np.int32))
        return torch.from_numpy(ids.reshape(-1).astype(np.int32))
