"""What was said is said again at the same times; what nobody can read stays as it is; a foreign network is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.engines.pronouncing import Pronouncing
from omnitts.errors import ModelError
from omnitts.models.reading.durations import DURATIONS, pace_of
from omnitts.models.reading.forced_alignment import lasting_times
from omnitts.models.reading.labels import Sounds
from omnitts.models.reading.pronouncer import PRONOUNCER, TimedSounds
from tests.models.reading.random_durations import random_durations
from tests.models.reading.random_pronouncer import random_pronouncer
from tests.models.reading.random_reader import random_text_reader

VOICE = torch.linspace(-1, 1, 8)
SOUNDS = Sounds((1, 3, 2), (0, 5, 9))
SAID = torch.tensor([5, 9, 60, 60, 1, 33, 17, 2, 8, 8])


def test_sounds_are_said_where_the_reader_finds_them() -> None:
    reader = random_text_reader()
    pronouncer = random_pronouncer(reader)
    times = reader.times(SAID.tolist(), SOUNDS.labels)
    assert times is not None
    expected = pronouncer.pronounced(TimedSounds.of(SOUNDS.labels, times, len(SAID)), VOICE)
    found = Pronouncing(reader, pronouncer).codes(SAID, SOUNDS, VOICE)
    assert torch.equal(found, expected)
    assert found.dtype == SAID.dtype
    assert not torch.equal(found, SAID)


@pytest.mark.parametrize(
    ("said", "sounds"),
    [(SAID, Sounds()), (SAID[:2], SOUNDS), (SAID[:0], Sounds((1,), (0,)))],
    ids=["no sounds", "more sounds than codes", "nothing said"],
)
@pytest.mark.parametrize("are_timed", [False, True])
def test_what_cannot_be_followed_stays(said: torch.Tensor, sounds: Sounds, are_timed: bool) -> None:
    reader = random_text_reader()
    durations = random_durations(reader) if are_timed else None
    assert torch.equal(Pronouncing(reader, random_pronouncer(reader), durations).codes(said, sounds, VOICE), said)


def test_sounds_are_said_where_they_last_as_long_as_they_should() -> None:
    """Times of a duration model that is all but sure: two codes from one sound to the next."""
    reader = random_text_reader()
    pronouncer, durations = random_pronouncer(reader), random_durations(reader, sure_of=2)
    found = Pronouncing(reader, pronouncer, durations).codes(SAID, SOUNDS, VOICE)
    begins = [(begin, begin + 2, begin + 4) for begin in range(5)]
    expected = [
        pronouncer.pronounced(TimedSounds.of(SOUNDS.labels, np.array(times, np.float32), len(SAID)), VOICE)
        for times in begins
    ]
    assert any(torch.equal(found, codes) for codes in expected)
    without = Pronouncing(reader, pronouncer).codes(SAID, SOUNDS, VOICE)
    assert not any(torch.equal(without, codes) for codes in expected)


def test_lengths_are_weighed_as_the_reader_reads_and_at_the_pace_of_the_take() -> None:
    reader = random_text_reader()
    pronouncer, durations = random_pronouncer(reader), random_durations(reader)
    read = reader.times(SAID.tolist(), SOUNDS.labels)
    assert read is not None
    lasting = 4 * durations.of(SOUNDS, VOICE, pace_of(read))
    times = lasting_times(reader.heard(SAID.tolist()), SOUNDS.labels, lasting)
    assert times is not None
    expected = pronouncer.pronounced(TimedSounds.of(SOUNDS.labels, times, len(SAID)), VOICE)
    assert torch.equal(Pronouncing(reader, pronouncer, durations).codes(SAID, SOUNDS, VOICE), expected)


@pytest.mark.parametrize(("levels", "voice_size"), [((4, 4, 4), 9), ((4, 4, 2), 8)], ids=["voices", "codes"])
def test_a_pronouncer_of_another_codec_is_refused(tmp_path: Path, levels: tuple[int, ...], voice_size: int) -> None:
    random_pronouncer(random_text_reader()).save(tmp_path / PRONOUNCER)
    Pronouncing.open(tmp_path, random_text_reader(), 8)
    with pytest.raises(ModelError, match="its codec has"):
        Pronouncing.open(tmp_path, random_text_reader(levels), voice_size)


def test_a_duration_model_of_other_voices_is_refused(tmp_path: Path) -> None:
    reader = random_text_reader()
    random_pronouncer(reader).save(tmp_path / PRONOUNCER)
    random_durations(reader, voice_size=9).save(tmp_path / DURATIONS)
    with pytest.raises(
        ModelError, match="duration model knows 27 sounds and voices of 9 numbers; its codec has 27 and 8"
    ):
        Pronouncing.open(tmp_path, reader, 8)
    random_durations(reader).save(tmp_path / DURATIONS)
    said = Pronouncing.open(tmp_path, reader, 8).codes(SAID, SOUNDS, VOICE)
    (tmp_path / DURATIONS).unlink()
    assert len(Pronouncing.open(tmp_path, reader, 8).codes(SAID, SOUNDS, VOICE)) == len(said)
