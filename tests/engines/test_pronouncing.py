"""What was said is said again at the same times; what nobody can read stays as it is; a foreign network is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnitts.engines.pronouncing import Pronouncing
from omnitts.errors import ModelError
from omnitts.models.reading.pronouncer import PRONOUNCER, TimedSounds
from tests.models.reading.random_pronouncer import random_pronouncer
from tests.models.reading.random_reader import random_text_reader

VOICE = torch.linspace(-1, 1, 8)
SAID = torch.tensor([5, 9, 60, 60, 1, 33, 17, 2, 8, 8])


def test_sounds_are_said_where_the_reader_finds_them() -> None:
    reader = random_text_reader()
    pronouncer = random_pronouncer(reader)
    labels = (1, 3, 2)
    times = reader.times(SAID.tolist(), labels)
    assert times is not None
    expected = pronouncer.pronounced(TimedSounds.of(labels, times, len(SAID)), VOICE)
    found = Pronouncing(reader, pronouncer).codes(SAID, labels, VOICE)
    assert torch.equal(found, expected)
    assert found.dtype == SAID.dtype
    assert not torch.equal(found, SAID)


@pytest.mark.parametrize(
    ("said", "labels"),
    [(SAID, ()), (SAID[:2], (1, 2, 3)), (SAID[:0], (1,))],
    ids=["no labels", "more labels than codes", "nothing said"],
)
def test_what_cannot_be_followed_stays(said: torch.Tensor, labels: tuple[int, ...]) -> None:
    reader = random_text_reader()
    assert torch.equal(Pronouncing(reader, random_pronouncer(reader)).codes(said, labels, VOICE), said)


@pytest.mark.parametrize(("levels", "voice_size"), [((4, 4, 4), 9), ((4, 4, 2), 8)], ids=["voices", "codes"])
def test_a_pronouncer_of_another_codec_is_refused(tmp_path: Path, levels: tuple[int, ...], voice_size: int) -> None:
    random_pronouncer(random_text_reader()).save(tmp_path / PRONOUNCER)
    Pronouncing.open(tmp_path / PRONOUNCER, random_text_reader(), 8)
    with pytest.raises(ModelError, match="its codec has"):
        Pronouncing.open(tmp_path / PRONOUNCER, random_text_reader(levels), voice_size)
