"""A tiny codec, opened from a complete folder, shared by this room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnitts.models.codec.loading import Codec, load_codec
from omnitts.models.codec.prompt import VoicePrompt
from tests.models.codec.tiny_codec import write_codec


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_codec(tmp_path_factory.mktemp("checkpoint") / "cosyvoice2")


@pytest.fixture(scope="session")
def codec(codec_folder: Path) -> Codec:
    return load_codec(codec_folder, num_threads=1)


def random_prompt(num_tokens: int, seed: int, vocab_size: int = 97) -> VoicePrompt:
    generator = torch.Generator().manual_seed(seed)
    return VoicePrompt(
        tokens=torch.randint(0, vocab_size, (num_tokens,), generator=generator),
        mel=torch.randn(2 * num_tokens, 80, generator=generator) - 5.0,
        speaker=torch.randn(192, generator=generator),
    )


def random_tokens(num_tokens: int, seed: int, vocab_size: int = 97) -> torch.Tensor:
    return torch.randint(0, vocab_size, (num_tokens,), generator=torch.Generator().manual_seed(seed))
