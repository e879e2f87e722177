"""Linear layers with weights in the layout the CPU multiplies fastest.

Goes in: a module in bf16 or fp16 on the CPU. Comes out: the same module, its `nn.Linear` layers replaced by packed
ones: oneDNN's blocked layout, made once, so that a decode step reads weights at memory speed. The plain twin is
`nn.Linear`; both round alike up to the order of addition. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """x W^T + b of a packed weight; takes the place of an `nn.Linear` for inference. Not part of any state dict.

    ``then``: "gelu" (the exact one) applies it before the product is rounded; "none".
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> None:
        super().__init__()
        self._then = then
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), 1)
        self._bias = None if bias is None else bias.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self._bias, self._then, [], "none")


def can_pack(dtype: torch.dtype, device: torch.device | str) -> bool:
    """Whether this torch and this processor multiply packed weights of `dtype` on `device`. fp32 stays plain."""
    if torch.device(device).type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float16 and bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def replace_layers(module: nn.Module, packed: Callable[[nn.Module], nn.Module | None]) -> None:
    """Puts what `packed` makes of each layer below `module` in its place; where that is None, it is asked about the
    layers within. The plain weights are let go one by one.
    """
    for name, child in module.named_children():
        replacement = packed(child)
        if replacement is None:
            replace_layers(child, packed)
        else:
            setattr(module, name, replacement)
