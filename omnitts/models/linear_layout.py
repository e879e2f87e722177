"""How the linear layers of a model are laid out for the processor at hand.

Goes in: a dtype and a device, later a module. Comes out: the layout that multiplies it fastest, and the module in it.

plain     torch's own layers: float32, a GPU, training, and the twin that the others are tested against.
packed    half precision on a processor that multiplies it (packed_linear.py).
widened   half precision on one that does not (widened_linear.py).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import torch
from torch import Tensor, nn

from omnitts.models.packed_linear import PackedLinear, can_pack, replace_layers
from omnitts.models.widened_linear import WidenedLinear

_HALVES: Final = (torch.bfloat16, torch.float16)


class Layout(Enum):
    PLAIN = "plain"
    PACKED = "packed"
    WIDENED = "widened"


_LAYERS: Final[dict[Layout, Callable[[Tensor, Tensor | None], nn.Module]]] = {
    Layout.PACKED: PackedLinear,
    Layout.WIDENED: WidenedLinear,
}


def usual_layout(dtype: torch.dtype, device: torch.device | str) -> Layout:
    """Packed or widened for half precision on a CPU, by what it can multiply; plain for all else."""
    if can_pack(dtype, device):
        return Layout.PACKED
    is_slow = torch.device(device).type == "cpu" and dtype in _HALVES
    return Layout.WIDENED if is_slow else Layout.PLAIN


def multiplies_fast(dtype: torch.dtype, device: torch.device | str) -> bool:
    """Whether ``dtype`` is a gain over float32 in large products on this device."""
    return torch.device(device).type == "cuda" or can_pack(dtype, device)


def lay_out(module: nn.Module, layout: Layout) -> None:
    """Replaces every `nn.Linear` below ``module``, for good; its plain weights are let go one by one."""
    if layout is Layout.PLAIN:
        return
    replace_layers(
        module, lambda layer: laid_out(layer.weight, layer.bias, layout) if isinstance(layer, nn.Linear) else None
    )


def laid_out(weight: Tensor, bias: Tensor | None, layout: Layout) -> nn.Module:
    """One layer of a layout that is not plain."""
    return _LAYERS[layout](weight, bias)
