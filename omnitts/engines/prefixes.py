"""Prefixes: each voice's prompt through the mouth once, kept for all that is spoken in it. Knows voices by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from omnitts.engines.memory import is_out_of_memory
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import Prefix, prefill

MOST_PREFIXES: Final = 32  # about 20 MB each for the 2B; a cast that is larger prefills its rarest voices again


class PrefixStore:
    """The prefixes of the voices that spoke last. Those of sequences on their way are kept by the sequences."""

    def __init__(self, model: SpeechLM, most: int = MOST_PREFIXES) -> None:
        self._model = model
        self._most = most
        self._prefixes: OrderedDict[str, Prefix] = OrderedDict()

    def get(self, prompts: Mapping[str, Tensor]) -> dict[str, Prefix]:
        """The prefix of each voice, by key, from its prompt rows (T, 1 + K); new ones are prefilled together."""
        new = [key for key in prompts if key not in self._prefixes]
        for start in range(0, len(new), self._most):
            keys = new[start : start + self._most]
            self._prefixes.update(zip(keys, self._prefill([prompts[key] for key in keys]), strict=True))
        found = {key: self._prefixes[key] for key in prompts}
        for key in prompts:
            self._prefixes.move_to_end(key)
        while len(self._prefixes) > self._most:
            self._prefixes.popitem(last=False)
        return found

    def _prefill(self, prompts: list[Tensor]) -> list[Prefix]:
        """All together, or one by one where memory does not suffice for that."""
        try:
            return prefill(self._model, prompts)
        except RuntimeError as error:
            if len(prompts) == 1 or not is_out_of_memory(error):
                raise
        return [prefix for prompt in prompts for prefix in prefill(self._model, [prompt])]
