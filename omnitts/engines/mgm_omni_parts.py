"""What the engine `mgm-omni` opens of a checkpoint folder: each part when it is first wanted, and once.

A folder and the user's options in; mouth and codec, and what a checkpoint may bring beside them, out: the spelling
reader that steers, the pronouncer that says its sounds, the duration model that helps to time them. Speaks nothing
itself.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from omnitts.engines.casting import Casting
from omnitts.engines.mgm_omni_settings import Settings, pick_device
from omnitts.engines.pronouncing import Pronouncing
from omnitts.engines.registry import EngineOptions
from omnitts.engines.steering import Steering
from omnitts.engines.tuning import fastest_layout
from omnitts.errors import ModelError
from omnitts.models.codec.features import CODEC_RATE
from omnitts.models.codec.loading import Codec, load_codec
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.layout import CODEC_DIR, model_revision
from omnitts.models.linear_layout import Layout
from omnitts.models.mgm_omni.checkpoint import Mouth, load_mouth
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.reading.pronouncer import PRONOUNCER
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.models.weights import dtype_by_name
from omnitts.utilisation import Utilisation

logger = logging.getLogger(__name__)

HALF_PRECISION_FROM_BYTES: Final = 1 << 30  # smaller checkpoints stay fp32 on a CPU: exact, and fast enough
BATCH_ON_GPU, BATCH_ON_CPU = 64, 8


class Parts:
    """Of one checkpoint. Whoever holds it decides how long: dropping it frees the weights."""

    def __init__(self, folder: Path, options: EngineOptions, settings: Settings, utilisation: Utilisation) -> None:
        self._folder, self._options, self._settings, self._utilisation = folder, options, settings, utilisation

    def check(self) -> None:
        """Raises `EngineError` or `ModelError` where the checkpoint lacks a file that it or the options ask for."""
        _ = self.num_particles, self.has_pronouncer

    # What is known without opening any ------------------------------------------------------------------------------

    @cached_property
    def device(self) -> torch.device:
        return pick_device(self._options.device)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Of the mouth."""
        if self._options.dtype != "auto":
            return dtype_by_name(self._options.dtype)
        size = sum(path.stat().st_size for path in self._folder.glob("*.safetensors"))
        return torch.bfloat16 if self.device.type == "cuda" or size >= HALF_PRECISION_FROM_BYTES else torch.float32

    @cached_property
    def flow_dtype(self) -> torch.dtype:
        return self._settings.flow_dtype_beside(self.dtype, self.device)

    @cached_property
    def max_batch(self) -> int:
        return self._options.batch or (BATCH_ON_GPU if self.device.type == "cuda" else BATCH_ON_CPU)

    @cached_property
    def num_particles(self) -> int:
        number = self._settings.num_particles(self._codec_folder / READER)
        is_greedy = self._options.temperature == 0 or self._options.top_k == 1  # all particles would say the same
        return 1 if is_greedy else number

    @property
    def has_pronouncer(self) -> bool:
        """Raises `ModelError` for one that nobody can tell the times of its sounds."""
        if not self._settings.pronounces or not (self._codec_folder / PRONOUNCER).is_file():
            return False
        if not (self._codec_folder / READER).is_file():
            hint = 'get the whole checkpoint again, or open the engine with its setting pronouncer "off"'
            raise ModelError(f"{PRONOUNCER} needs {READER}, which is not there", where=str(self._folder), hint=hint)
        return True

    @property
    def _codec_folder(self) -> Path:
        return self._folder / CODEC_DIR

    # The parts ------------------------------------------------------------------------------------------------------

    @cached_property
    def mouth(self) -> Mouth:
        logger.debug("loading %s on %s as %s", self._folder, self.device, self.dtype)
        batch, dtype, device = self.max_batch * self.num_particles, self.dtype, self.device

        def layout(config: MouthConfig) -> Layout:
            return fastest_layout(config.backbone.hidden_size, batch, dtype, device)

        return load_mouth(self._folder, dtype=dtype, device=device, layout=layout)

    @cached_property
    def codec(self) -> Codec:
        codec = load_codec(
            self._codec_folder, device=self.device, dtype=self.flow_dtype, num_steps=self._settings.flow_steps
        )
        codec.detokenizer.utilisation = self._utilisation
        if codec.detokenizer.rate_hz != CODEC_RATE:
            raise ModelError(
                f"the vocoder speaks at {codec.detokenizer.rate_hz} Hz, not {CODEC_RATE}", where=str(self._folder)
            )
        return codec

    @cached_property
    def reader(self) -> TextReader | None:
        path = self._codec_folder / READER
        return TextReader.open(path, self.device) if path.is_file() else None

    @cached_property
    def steering(self) -> Steering | None:
        if self.num_particles == 1 or self.reader is None:
            return None
        return Steering(self.reader, self.mouth.vocabulary, self.mouth.config.dropped_rows, self.num_particles)

    @cached_property
    def pronouncing(self) -> Pronouncing | None:
        if not self.has_pronouncer or self.reader is None:
            return None
        voice_size = self.codec.detokenizer.flow.config.speaker_size
        return Pronouncing.open(self._codec_folder, self.reader, voice_size)

    @cached_property
    def casting(self) -> Casting:
        """The digest names front ends, flow and vocoder, of which a prompt is made, without opening them."""
        return Casting(self.mouth.prompts, self.reader, model_revision(self._codec_folder), self._listen)

    def _listen(self, samples: torch.Tensor) -> VoicePrompt:
        """Opens the codec only for a voice whose prompt is not stored yet."""
        return self.codec.listen(samples)
