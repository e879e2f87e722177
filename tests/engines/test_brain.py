"""The brain protocol: opening by name, and the fake that stands in for a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnitts.audio import Waveform
from omnitts.engines.brain import AnswerEnd, AnswerOptions, Brain, BrainOptions, Picture, open_brain, quantise_by_name
from omnitts.errors import EngineError, InputError, UsageError
from omnitts.types import Voice


def test_an_unknown_brain_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="'gpt'"):
        open_brain("gpt", BrainOptions())


def test_only_known_quantisations_have_a_name() -> None:
    assert [quantise_by_name(name) for name in ("", "8bit", "4bit")] == ["", "8bit", "4bit"]
    with pytest.raises(UsageError, match="'3bit'"):
        quantise_by_name("3bit")


def test_the_fake_says_what_it_was_told_and_shown(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    brain = open_brain("fake", BrainOptions())
    assert isinstance(brain, Brain)
    talk = brain.converse()
    pieces = list(talk.say([Picture(tmp_path / "p.png"), "What is it?"], AnswerOptions()))
    end = pieces[-1]
    assert isinstance(end, AnswerEnd)
    assert end.text == "You said: [picture of 30 x 20] | What is it?"
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == end.text
    assert list(talk.say(["And now?"], AnswerOptions()))[-1] == AnswerEnd(f"{end.text} | And now?", 14, "end")
    talk.reset()
    assert list(talk.say(["Hm."], AnswerOptions(max_new_tokens=2)))[-1] == AnswerEnd("You said:", 2, "length")


def test_the_fake_speaks_only_with_a_voice(anna: Voice) -> None:
    silent = list(open_brain("fake", BrainOptions()).converse().say(["Hello."], AnswerOptions()))
    assert not any(isinstance(piece, Waveform) for piece in silent)
    brain = open_brain("fake", BrainOptions(voice=anna))
    sounds = [piece for piece in brain.converse().say(["Hello."], AnswerOptions()) if isinstance(piece, Waveform)]
    assert len(sounds) > 1
    assert {sound.sample_rate for sound in sounds} == {brain.sample_rate}


def test_the_fake_forgets_a_question_it_could_not_read(tmp_path: Path) -> None:
    talk = open_brain("fake", BrainOptions()).converse()
    with pytest.raises(InputError):
        list(talk.say([Picture(tmp_path / "gone.png"), "What?"], AnswerOptions()))
    assert list(talk.say(["Hello."], AnswerOptions()))[0:2] == ["You", " said:"]
    assert "What?" not in list(talk.say(["Again."], AnswerOptions()))[-1].text  # type: ignore[union-attr]


def test_single_questions_are_answered_apart() -> None:
    brain = open_brain("fake", BrainOptions())
    sound = Waveform(np.zeros(16000, np.float32), 16000)
    ends = brain.answer([["One."], [sound, "Two."]], AnswerOptions())
    assert [end.text for end in ends] == ["One.", "[sound of 1.0 s] Two."]
