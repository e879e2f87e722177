"""Sequence: one request on its way through the mouth, from waiting to finished. Sees no tensors of its own."""

from __future__ import annotations

from collections.abc import Sequence as ListLike
from dataclasses import dataclass, field

from omnitts.engines.base import SpeechRequest
from omnitts.engines.steering import Particles
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.speech_slots import Entry
from omnitts.models.reading.labels import Sounds


@dataclass(eq=False)
class Sequence:
    """What is spoken, for whom, and how far it is.

    ``sounds``: of its text, where speech is steered or pronounced; ``misread``: share of them that the reader
    got wrong in the result. ``compute_s``: its part of the steps it took part in. ``num_rows``: rows since it entered
    its slots, at most one more than it has really made.
    """

    request: SpeechRequest
    entry: Entry
    sounds: Sounds = field(default_factory=Sounds)
    result: SpeechResult | None = None
    misread: float = 0.0
    compute_s: float = 0.0
    num_rows: int = 0
    entered_at_step: int = field(default=-1, repr=False)
    particles: Particles | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Cache positions in use once the next row is made."""
        return self.entry.prefix.length + self.num_rows + 1

    def finish(self, results: ListLike[SpeechResult]) -> None:
        """``results``: of each particle, or the only one."""
        if self.particles is None:
            [self.result] = results
        else:
            self.result, self.misread = self.particles.best(results)
            self.particles = None

    def start_again(self) -> None:
        """Back to waiting; it will say the same, since its draws begin at its seed."""
        self.num_rows = 0
        self.entered_at_step = -1
        self.particles = None
