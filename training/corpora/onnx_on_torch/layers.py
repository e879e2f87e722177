"""The device operators that are layers of a network: products, convolutions, LSTMs, normalisations.

Float tensors in, one float tensor out. Lowering has put constant weights into the node's attributes, as float32 arrays
or a torch LSTM. Knows nothing of quantisation, nor which device the other operators run on.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .nodes import UnsupportedGraphError, symmetric_padding
from .operators import Function


def weights_of(attributes: dict[str, Any], device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    bias = attributes["bias"]
    return torch.tensor(attributes["weight"], device=device), (
        None if bias is None else torch.tensor(bias, dtype=torch.float32, device=device)
    )


def linear(attributes: dict[str, Any], device: torch.device) -> Function:
    weight, bias = weights_of(attributes, device)
    transposed = weight.T.contiguous()
    return lambda value: F.linear(value, transposed, bias)


def conv(attributes: dict[str, Any], device: torch.device) -> Function:
    weight, bias = weights_of(attributes, device)
    (stride,), (pad, _) = attributes.get("strides", (1,)), attributes.get("pads", (0, 0))
    (dilation,), groups = attributes.get("dilations", (1,)), attributes.get("group", 1)
    return lambda value: F.conv1d(value, weight, bias, stride, pad, dilation, groups)


def conv_transpose(attributes: dict[str, Any], _: torch.device) -> Function:
    if not symmetric_padding(attributes) or "output_shape" in attributes:
        raise UnsupportedGraphError("ConvTranspose: only with the same padding on both sides")
    (stride,), (pad, _) = attributes.get("strides", (1,)), attributes.get("pads", (0, 0))
    (extra,), (dilation,) = attributes.get("output_padding", (0,)), attributes.get("dilations", (1,))
    groups = attributes.get("group", 1)
    return lambda value, weight, bias=None: F.conv_transpose1d(
        value, weight, bias, stride, pad, extra, groups, dilation
    )


def lstm(attributes: dict[str, Any], device: torch.device) -> Function:
    """Runs on this device wherever its input is, and gives the states back there; between two devices both wait."""
    module = attributes["module"].to(device)
    module.flatten_parameters()
    hidden = module.hidden_size

    def run(value: torch.Tensor) -> torch.Tensor:
        T, B, _ = value.shape
        output: torch.Tensor = module(value.to(device))[0].to(value.device)  # (T, B, 2 H)
        return output.view(T, B, 2, hidden).transpose(1, 2)  # (T, 2, B, H)

    return run


def norm(attributes: dict[str, Any], _: torch.device) -> Function:
    axis, epsilon = attributes["axis"], attributes["epsilon"]

    def run(value: torch.Tensor) -> torch.Tensor:
        if axis in (-1, value.ndim - 1):
            return F.layer_norm(value, value.shape[-1:], eps=epsilon)  # one kernel
        variance, mean = torch.var_mean(value, axis, correction=0, keepdim=True)
        return (value - mean) * torch.rsqrt(variance + epsilon)

    return run


def layer_norm(attributes: dict[str, Any], _: torch.device) -> Function:
    if attributes.get("axis", -1) != -1:
        raise UnsupportedGraphError("LayerNormalization: only over the last axis")
    epsilon = attributes.get("epsilon", 1e-5)
    return lambda value, weight, bias=None: F.layer_norm(value, weight.shape, weight, bias, epsilon)


def skip_layer_norm(attributes: dict[str, Any], _: torch.device) -> Function:
    epsilon = attributes.get("epsilon", 1e-12)
    return lambda value, skip, weight, bias: F.layer_norm(value + skip, weight.shape, weight, bias, epsilon)
