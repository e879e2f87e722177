"""Saying something now: failed takes again with the next seed, pauses kept, an error when nothing helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from omnitts.engines.base import Speech, SpeechRequest
from omnitts.engines.fake import FakeEngine
from omnitts.engines.registry import EngineOptions
from omnitts.errors import EngineError, VoiceError
from omnitts.pipeline.cast import Cast
from omnitts.pipeline.say import Speaker, open_speaker


class Counting(FakeEngine):
    def __init__(self, **extra: str | float) -> None:
        super().__init__(EngineOptions(extra=extra))
        self.seeds: list[int] = []

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        for request in requests:
            self.seeds.append(request.seed)
            yield self._speak_one(request)


def test_a_failed_take_is_spoken_again_with_the_next_seed() -> None:
    engine = Counting(fail_on="oar", fail_seeds_below=7)
    good = Speaker(Counting(), None).say("A single oar lay there.", seed=7)
    sound = Speaker(engine, None).say("A single oar lay there.", seed=5)
    assert engine.seeds == [5, 6, 7]
    assert sound.duration_s == good.duration_s


def test_what_fails_every_time_is_an_error() -> None:
    engine = Counting(fail_on="oar")
    with pytest.raises(EngineError, match=r"the speech failed \(length\)"):
        Speaker(engine, None).say("A single oar lay there.", takes=2)
    assert len(engine.seeds) == 2
    with pytest.raises(EngineError, match="the speech failed"):
        list(Speaker(engine, None).stream("A single oar lay there."))


def test_a_pause_is_silence() -> None:
    speaker = Speaker(Counting(), None)
    longer = speaker.say("Hello there. [pause 2s] And on it goes.").duration_s
    assert longer - speaker.say("Hello there. And on it goes.").duration_s > 1.0


def test_unknown_speakers_are_errors() -> None:
    with pytest.raises(VoiceError, match="nobody"):
        open_speaker("fake").say("[voice nobody] Hello.")
    cast = Cast(None)
    assert "nobody" not in cast
    with pytest.raises(KeyError):
        cast["nobody"]


def test_a_cast_names_each_voice_once() -> None:
    cast = Cast(None)
    clara = cast["clara"]
    assert clara is not None
    assert cast["clara"] is clara
    assert cast.voices == (None, clara)
    assert Cast(clara).voices == (clara,)
