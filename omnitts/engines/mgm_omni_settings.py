"""Settings that only `mgm-omni` has (`EngineOptions.extra`), and the choices it makes by itself where none is set.

flow_dtype   fp32 or bf16. bf16 is about twice as fast on a CPU that has it; the mel differs by 0.005 on average
             (log scale, random weights of published size; benchmarks/codec.py prints it). By itself: as the mouth.
flow_steps   of the flow's solver, 1 to 100: fewer are faster, and coarser. By itself: the checkpoint's own, 10 in the
             published ones.
prompt_s     the flow hears only so many last seconds of the reference, since its cost is in proportion to reference
             plus speech; the speech LM and the speaker's vector hear all of it. By itself: 3. As long as the
             reference: all of it, as the reference implementation does.
memory_gb    what the cache of the mouth may take. By itself: a share of what is free.
particles    a piece is said so many times at once, and the checkpoint's spelling reader drops those that go wrong
             (steering.py). 1: it is said once. By itself: 12 where the checkpoint has a spelling reader, else 1.
pronouncer   on or off. off: the codes become sound as the speech LM said them. By itself: on, which does something
             where the checkpoint has a pronouncer (pronouncing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from omnitts.engines.memory import cache_budget
from omnitts.errors import EngineError, UsageError
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.linear_layout import multiplies_fast
from omnitts.models.weights import dtype_by_name

TOKENS_PER_S: Final = 25
USUAL_PROMPT_S: Final = 3.0
USUAL_PARTICLES: Final = 12
_MOST_PARTICLES: Final = 64
_MOST_FLOW_STEPS: Final = 100
_NAMES: Final = ("flow_dtype", "flow_steps", "prompt_s", "memory_gb", "particles", "pronouncer")


@dataclass(frozen=True, slots=True)
class Settings:
    """See the module's docstring. None or 0: by itself."""

    flow_dtype: torch.dtype | None = None
    flow_steps: int = 0
    prompt_s: float = 0.0
    memory_gb: float = 0.0
    particles: int = 0
    pronounces: bool = True

    @classmethod
    def parse(cls, extra: Mapping[str, str | float]) -> Settings:
        """Raises `EngineError` for an unknown name, `UsageError` for a value that cannot be."""
        unknown = sorted(set(extra) - set(_NAMES))
        if unknown:
            raise EngineError(f"mgm-omni has no setting {unknown[0]!r}", hint=f"it has {', '.join(_NAMES)}")
        name = str(extra.get("flow_dtype", "auto"))
        if name not in ("auto", "fp32", "bf16"):
            raise UsageError(f"the flow cannot run in {name!r}", where="flow_dtype", hint="choose fp32 or bf16")
        pronouncer = str(extra.get("pronouncer", "on"))
        if pronouncer not in ("on", "off"):
            raise UsageError(f"pronouncer cannot be {pronouncer!r}", where="pronouncer", hint="choose on or off")
        return cls(
            flow_dtype=None if name == "auto" else dtype_by_name(name),
            flow_steps=_count(extra, "flow_steps", _MOST_FLOW_STEPS),
            prompt_s=_positive(extra, "prompt_s"),
            memory_gb=_positive(extra, "memory_gb"),
            particles=_count(extra, "particles", _MOST_PARTICLES),
            pronounces=pronouncer == "on",
        )

    def flow_dtype_beside(self, mouth_dtype: torch.dtype, device: torch.device) -> torch.dtype:
        """What the flow runs in: bf16 where the mouth does and the device multiplies it fast."""
        if self.flow_dtype is not None:
            return self.flow_dtype
        is_fast = multiplies_fast(torch.bfloat16, device)
        return torch.bfloat16 if mouth_dtype == torch.bfloat16 and is_fast else torch.float32

    @property
    def heard_s(self) -> float:
        """How many last seconds of a reference the flow hears."""
        return self.prompt_s or USUAL_PROMPT_S

    def heard(self, prompt: VoicePrompt) -> VoicePrompt:
        """The part of a voice's prompt that the flow is given: its last seconds, or all of a shorter one."""
        kept = max(1, round(self.heard_s * TOKENS_PER_S))
        if kept >= prompt.num_tokens:
            return prompt
        return replace(prompt, tokens=prompt.tokens[-kept:], mel=prompt.mel[-2 * kept :])

    def num_particles(self, reader: Path) -> int:
        """Particles of a piece. Raises `EngineError` when several are asked for and there is no ``reader``."""
        if reader.is_file():
            return self.particles or USUAL_PARTICLES
        if self.particles > 1:
            hint = "leave particles away"
            raise EngineError("the checkpoint has no spelling reader to steer by", where=str(reader), hint=hint)
        return 1

    def cache_budget(self, device: torch.device) -> int:
        """Bytes for the mouth's cache."""
        return int(self.memory_gb * 1e9) or cache_budget(device)


def pick_device(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises `UsageError` for a name that is no device, `EngineError` for one that is not in this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        hint = "auto, cpu, cuda or cuda:N"
        raise UsageError(f"no device is called {name!r}", where="--device", hint=hint) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        hint = "see `omnitts doctor`, or leave --device away"
        raise EngineError(f"there is no {name} on this machine", where="--device", hint=hint)
    return device


def _count(extra: Mapping[str, str | float], name: str, most: int) -> int:
    number = _positive(extra, name)
    if number != int(number) or number > most:
        hint = f"give a whole number from 1 to {most}"
        raise UsageError(f"{name} cannot be {extra[name]!r}", where=name, hint=hint)
    return int(number)


def _positive(extra: Mapping[str, str | float], name: str) -> float:
    try:
        value = float(extra.get(name, 0.0))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name} cannot be {extra[name]!r}", where=name, hint="give a number above 0")
    return value
