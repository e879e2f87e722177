"""Sequence: one request on its way through the mouth, from waiting to finished. Sees no tensors of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from omnitts.engines.base import SpeechRequest
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.speech_slots import Entry


@dataclass(eq=False)
class Sequence:
    """What is spoken, for whom, and how far it is.

    ``compute_s``: its part of the steps it took part in. ``num_rows``: rows since it entered its slot, at most one more
    than it has really made.
    """

    request: SpeechRequest
    entry: Entry
    result: SpeechResult | None = None
    compute_s: float = 0.0
    num_rows: int = 0
    entered_at_step: int = field(default=-1, repr=False)

    @property
    def length(self) -> int:
        """Cache positions in use once the next row is made."""
        return self.entry.prefix.length + self.num_rows + 1

    def start_again(self) -> None:
        """Back to waiting; it will say the same, since its draws begin at its seed."""
        self.num_rows = 0
        self.entered_at_step = -1
