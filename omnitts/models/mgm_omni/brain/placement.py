"""Placement: which device holds which part of the brain, and the hooks that carry activations between them.

Goes in: bytes of the parts and bytes free on the devices. Comes out: a `Placement`, whole layers at a time, in order.
Knows nothing of weights or files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from omnitts.errors import EngineError, ModelError

RESERVE: Final = 0.1  # of each device, kept free for caches and activations


@dataclass(frozen=True)
class Placement:
    """``home`` holds the embeddings, the towers and the projector; ``head`` the last norm and the lm_head."""

    home: torch.device
    layers: tuple[torch.device, ...]
    head: torch.device

    @property
    def is_split(self) -> bool:
        return len({self.home, self.head, *self.layers}) > 1

    def device_of(self, name: str) -> torch.device:
        """The device of a tensor of `Brain`."""
        if layer := re.match(r"text_model\.layers\.(\d+)\.", name):
            return self.layers[int(layer[1])]
        return self.head if name.startswith(("lm_head.", "text_model.norm.")) else self.home


def on_one_device(device: torch.device | str, num_layers: int) -> Placement:
    device = torch.device(device)
    return Placement(device, (device,) * num_layers, device)


def plan_placement(sizes: Mapping[str, int], num_layers: int, free: Mapping[torch.device, int]) -> Placement:
    """Spreads layers over the devices in proportion to what is free on each.

    ``sizes``: bytes of every tensor of `Brain` by name; ``free``: bytes free on each device, in the order of use.
    Raises `ModelError` when they do not fit.
    """
    devices = list(free)
    budget = {device: round(free[device] * (1 - RESERVE)) for device in devices}
    needed, available = sum(sizes.values()), sum(budget.values())
    if needed > available:
        raise ModelError(
            f"the brain needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free on {len(devices)} device(s)",
            hint="load it in 4 or 8 bits, or on more devices",
        )
    layer_bytes = [0] * num_layers
    home_bytes = head_bytes = 0
    for name, size in sizes.items():
        if layer := re.match(r"text_model\.layers\.(\d+)\.", name):
            layer_bytes[int(layer[1])] += size
        elif name.startswith(("lm_head.", "text_model.norm.")):
            head_bytes += size
        else:
            home_bytes += size
    used = dict.fromkeys(devices, 0)
    used[devices[0]] += home_bytes
    used[devices[-1]] += head_bytes
    chosen, i = [], 0
    for size in layer_bytes:
        share = budget[devices[i]] * needed / available
        if used[devices[i]] + size / 2 > share and i + 1 < len(devices):
            i += 1
        chosen.append(devices[i])
        used[devices[i]] += size
    for device in devices:
        if used[device] > budget[device]:
            raise ModelError(f"{device} would need {used[device] / 1e9:.1f} GB", hint="load the brain in 4 or 8 bits")
    return Placement(devices[0], tuple(chosen), devices[-1])


def resolve_devices(device_map: str | Sequence[str]) -> list[torch.device]:
    """``"auto"``: every GPU, else the CPU. One name or several: those. Raises `EngineError` for a missing GPU."""
    if device_map == "auto":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [torch.device("cuda", i) for i in range(count)] or [torch.device("cpu")]
    names = [device_map] if isinstance(device_map, str) else list(device_map)
    try:
        devices = [torch.device(name) for name in names]
    except RuntimeError as error:
        raise EngineError(f"unknown device in {', '.join(names)}", hint="say auto, cpu or cuda:0") from error
    if any(device.type == "cuda" for device in devices) and not torch.cuda.is_available():
        raise EngineError("no CUDA device is here", where=", ".join(names), hint="say auto or cpu")
    return devices


def free_bytes(device: torch.device) -> int:
    """Memory free on a GPU. Other devices count as unlimited: their memory can be swapped."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 2**62


def carry_activations(layers: Sequence[nn.Module], norm: nn.Module, placement: Placement) -> None:
    """Lets each layer, and the norm after them, fetch its inputs onto its own device."""
    for module, device in zip((*layers, norm), (*placement.layers, placement.head), strict=True):
        module.register_forward_pre_hook(_Fetch(device), with_kwargs=True)


class _Fetch:
    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self._fetch(args), {name: self._fetch(value) for name, value in kwargs.items()}

    def _fetch(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(self.device)
        return tuple(self._fetch(item) for item in value) if isinstance(value, tuple) else value
