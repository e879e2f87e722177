"""Memory: how much there is for a cache, and whether an error says that there was not enough. Knows no model."""

from __future__ import annotations

import os
from typing import Final

import torch

_SHARE_OF_GPU: Final = 0.75  # of what is free once the weights are in; the rest is for activations and the codec
_SHARE_OF_HOST: Final = 0.5  # of what is free: the machine belongs to others too
_ALLOCATOR_WORDS: Final = ("can't allocate memory", "not enough memory", "out of memory")


def cache_budget(device: torch.device) -> int:
    """Bytes that a key/value cache may take on this device now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _SHARE_OF_GPU)
    return int(_free_on_host() * _SHARE_OF_HOST)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not get memory: its own error on a GPU, words in a RuntimeError on a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _ALLOCATOR_WORDS)


def _free_on_host() -> int:
    """Bytes available; where the system does not say, as much as a small machine has."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - no file, a window into the kernel
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return 4 << 30
