"""Quantise: the decoder's linear layers in 4 or 8 bits, through transformers' quantiser configs and bitsandbytes.

Goes in: a loaded decoder on the CPU. Comes out: the same module with its linears replaced, each on its device. The
embeddings, norms, towers and lm_head keep their precision. bitsandbytes is an optional package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from omnitts.errors import DependencyError

Quantisation = Literal["none", "4bit", "8bit"]


def require_bitsandbytes() -> None:
    """Raises `DependencyError` unless bitsandbytes is installed."""
    from transformers.utils.import_utils import is_bitsandbytes_available

    if not is_bitsandbytes_available():
        raise DependencyError("loading in 4 or 8 bits needs the package bitsandbytes", hint="pip install bitsandbytes")


def quantiser_config(quantisation: Quantisation, compute_dtype: torch.dtype) -> Any:
    """transformers' own config: NF4 with double quantisation for 4 bits, LLM.int8() for 8."""
    from transformers import BitsAndBytesConfig

    build: Any = BitsAndBytesConfig
    if quantisation == "8bit":
        return build(load_in_8bit=True)
    return build(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def quantise_linears(module: nn.Module, config: Any, device_of: Callable[[str], torch.device]) -> None:
    """Replaces every ``nn.Linear`` below ``module`` in place. ``device_of``: linear's name -> its device."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    linears = {name: child for name, child in module.named_modules() if type(child) is nn.Linear}
    replace_with_bnb_linear(module, quantization_config=config)
    for name, linear in linears.items():
        quantised: Any = module.get_submodule(name)
        empty = quantised.weight
        settings = {key: value for key, value in vars(empty).items() if key not in ("SCB", "CB")}
        weight = type(empty)(linear.weight.data, requires_grad=False, **settings)
        quantised.weight = weight.to(device_of(name))
        quantised.bias = linear.bias
