"""Speaker encoder: 16 kHz sound -> one vector of the voice, by the checkpoint's ``campplus.onnx`` (spec 2.6).

Thin: filter banks here, the network in onnxruntime. The vector is not normalised; the flow does that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnitts.errors import VoiceError
from omnitts.models.codec.features import kaldi_fbank
from omnitts.models.codec.onnx_session import OnnxNetwork


class CamPlus:
    """Session over the encoder's file: (1, T, 80) float32 -> (1, E) with E = 192 as published."""

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        self._network = OnnxNetwork(path, num_inputs=1, num_threads=num_threads)

    def embed(self, samples: Tensor) -> Tensor:
        """(N,) float samples at 16 kHz -> (E,) float32; VoiceError under 25 ms, which is less than one frame."""
        bank = kaldi_fbank(samples)  # (T, 80)
        if not len(bank):
            raise VoiceError("the reference clip is shorter than one frame of 25 ms")
        bank = bank - bank.mean(dim=0, keepdim=True)
        vector = self._network.run(bank.unsqueeze(0).numpy())
        return torch.from_numpy(vector.reshape(-1).astype(np.float32))
