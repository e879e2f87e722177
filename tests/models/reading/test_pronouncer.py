"""Sounds stand at their times; codes hang on sounds and voice alone; a pronouncer's file holds all that it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.reading.pronouncer import PRONOUNCER, Pronouncer, TimedSounds
from tests.models.reading.random_pronouncer import random_pronouncer
from tests.models.reading.random_reader import random_text_reader

VOICE = torch.linspace(-1, 1, 8)


def sounds(labels: list[int], times: list[float], num_codes: int) -> TimedSounds:
    return TimedSounds.of(labels, np.array(times, np.float32), num_codes)


def test_a_sound_lasts_until_the_next_begins() -> None:
    found = sounds([7, 3], [1, 4], 7)
    assert found.labels.tolist() == [0, 7, 7, 7, 3, 3, 3]
    assert found.ages.tolist() == [0, 0, 1, 2, 0, 1, 2]
    part = found.part(2, 5)
    assert (part.labels.tolist(), part.ages.tolist()) == ([7, 7, 3], [1, 2, 0])


def test_a_long_pause_is_as_old_as_can_be() -> None:
    assert sounds([5], [0], 30).ages.tolist() == [*range(11), *[11] * 19]
    assert sounds([5], [25], 30).ages.tolist() == [*range(11), *[11] * 14, *range(5)]


def test_codes_hang_on_sounds_and_voice() -> None:
    pronouncer = random_pronouncer(random_text_reader())
    said = sounds([1, 2, 3], [2, 6, 9], 14)
    codes = pronouncer.pronounced(said, VOICE)
    assert codes.shape == (14,)
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < 64
    assert torch.equal(codes, pronouncer.pronounced(said, 3 * VOICE)), "how long the vector is says nothing"
    assert not torch.equal(codes, pronouncer.pronounced(said, -VOICE))
    assert not torch.equal(codes, pronouncer.pronounced(sounds([1, 4, 3], [2, 6, 9], 14), VOICE))


def test_padding_changes_nothing() -> None:
    pronouncer = random_pronouncer(random_text_reader())
    said = sounds([1, 2, 3], [2, 6, 9], 14)
    labels, ages = (torch.nn.functional.pad(part[None], (0, 6)) for part in (said.labels, said.ages))
    inside = (torch.arange(20) < 14).float()[None, :, None]
    alone = pronouncer(said.labels[None], said.ages[None], VOICE[None], torch.ones(1, 14, 1))
    padded = pronouncer(labels, ages, VOICE[None], inside)
    torch.testing.assert_close(padded[:, :14], alone)


def test_what_is_saved_is_opened(tmp_path: Path) -> None:
    saved = random_pronouncer(random_text_reader())
    saved.save(tmp_path / PRONOUNCER)
    opened = Pronouncer.open(tmp_path / PRONOUNCER)
    assert [path.name for path in tmp_path.iterdir()] == [PRONOUNCER]
    assert opened.sizes == saved.sizes
    assert not any(weight.requires_grad for weight in opened.parameters())
    said = sounds([1, 2, 3], [2, 6, 9], 14)
    given = (said.labels[None], said.ages[None], VOICE[None], torch.ones(1, 14, 1))
    torch.testing.assert_close(opened(*given), saved(*given), atol=0.02, rtol=0)  # float16


@pytest.mark.parametrize("content", [b"", b"no tensors at all", None])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / PRONOUNCER
    if content is None:
        random_pronouncer(random_text_reader()).save(path)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ModelError, match="pronouncer cannot be opened") as caught:
        Pronouncer.open(path)
    assert caught.value.where == str(path)
    assert caught.value.hint is not None
    assert "omnitts train pronouncer" in caught.value.hint
