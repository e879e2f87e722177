"""Which of a speaker's voice vectors an example hears while it is learnt: any of them, as when the model speaks.

An utterance's own vector would tell which utterance it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class SpeakerVoices:
    """Of what is learnt from."""

    def __init__(self, spoken: Iterable[tuple[str, Tensor]]) -> None:
        """``spoken``: each utterance's speaker and vector."""
        self._of: dict[str, list[Tensor]] = {}
        for speaker, voice in spoken:
            self._of.setdefault(speaker, []).append(voice)

    def drawn(self, speaker: str) -> Tensor:
        """One by chance. Raises `KeyError` for a speaker of whom nothing is learnt."""
        voices = self._of[speaker]
        return voices[int(torch.randint(len(voices), ()))]
