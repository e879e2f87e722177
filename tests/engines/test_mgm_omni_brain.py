"""The real brain around tiny whole checkpoints: written and spoken answers, media kept between turns, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omnitts.audio import Waveform, save
from omnitts.engines.brain import (
    AnswerEnd,
    AnswerOptions,
    Brain,
    BrainOptions,
    Film,
    Part,
    Picture,
    Recording,
    open_brain,
)
from omnitts.engines.mgm_omni_brain import MgmOmniBrain, MgmOmniConversation
from omnitts.errors import InputError, ModelError
from omnitts.types import Voice
from tests.engines.test_media import write_film
from tests.engines.test_mgm_omni import make_voice
from tests.engines.tiny_brain import write_brain
from tests.engines.tiny_checkpoint import GOLDEN, write_checkpoint

GREEDY = AnswerOptions(temperature=0.0, max_new_tokens=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brain(tmp_path_factory.mktemp("models") / "tiny-brain")


@pytest.fixture(scope="module")
def mouth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny-mouth")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def brain(folder: Path) -> MgmOmniBrain:
    return brain_of(folder)


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    Image.effect_noise((96, 64), 80).save(tmp_path / "noise.png")
    return Picture(tmp_path / "noise.png")


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    save(Waveform(np.sin(np.arange(16000) / 20).astype(np.float32) / 2, 16000), tmp_path / "tone.wav")
    return Recording(tmp_path / "tone.wav")


@pytest.fixture
def voice(tmp_path: Path) -> Voice:
    return make_voice(tmp_path, "anna", 180.0)


def brain_of(folder: Path, **options: object) -> MgmOmniBrain:
    brain = open_brain("mgm-omni", BrainOptions(model=str(folder), device="cpu", **options))  # type: ignore[arg-type]
    assert isinstance(brain, MgmOmniBrain)
    return brain


def end_of(talk: MgmOmniConversation, *parts: Part, options: AnswerOptions = GREEDY) -> AnswerEnd:
    end = list(talk.say(parts, options))[-1]
    assert isinstance(end, AnswerEnd)
    return end


def test_opening_loads_no_weights(folder: Path) -> None:
    brain = brain_of(folder)
    assert isinstance(brain, Brain)
    assert len(brain.revision) == 16
    assert "loaded" not in brain.__dict__
    assert brain.revision != brain_of(folder, dtype="bf16").revision


def test_an_answer_comes_in_pieces_and_whole(brain: MgmOmniBrain) -> None:
    *pieces, end = list(brain.converse().say(["Hello there, how are you?"], GREEDY))
    assert isinstance(end, AnswerEnd)
    assert len(pieces) > 3
    assert "".join(map(str, pieces)) == end.text
    assert (end.num_tokens, end.ended) == (12, "length")


def test_the_answer_is_the_references_token_for_token(brain: MgmOmniBrain) -> None:
    """The recorded greedy run of the same weights, from the typed text on."""
    run = json.loads((GOLDEN / "brain-lm" / "meta.json").read_text())["runs"]["text"]
    said = run["prompt"].split("user\n")[1].split("<|im_end|>")[0]
    options = AnswerOptions(temperature=0.0, max_new_tokens=len(run["out"]))
    expected = brain.loaded.tokenizer.decode(run["out"], skip_special_tokens=True)
    assert end_of(brain.converse(), said, options=options).text == expected
    assert brain.answer([[said]], options)[0].text == expected


def test_pictures_and_sounds_stay_between_turns(
    brain: MgmOmniBrain, picture: Picture, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The follow-up sees the same embeddings as a first turn that shows them, and encodes nothing again."""
    talk = brain.converse()
    end_of(talk, picture, recording, "What is it?")
    picture.path.unlink()
    recording.path.unlink()
    prompt, _ = talk.ask(["And why?"])
    first, _ = brain.converse().ask(["And why?"])
    assert len(prompt.embeds) > len(first.embeds) + 100  # the picture has 12 embeddings, the sound 187
    assert (prompt.positions[0] != prompt.positions[1]).any()  # the picture's rows and columns are in it
    end_of(talk, "And why?")
    talk.reset()
    forgotten, _ = talk.ask(["And why?"])
    assert torch.equal(forgotten.embeds, first.embeds)


def test_a_picture_changes_the_answer(brain: MgmOmniBrain, picture: Picture) -> None:
    assert end_of(brain.converse(), picture, "What is it?") != end_of(brain.converse(), "What is it?")


def test_a_film_is_looked_at_in_order_and_its_frames_count_in_positions(brain: MgmOmniBrain, tmp_path: Path) -> None:
    film = Film(write_film(tmp_path / "film.mp4", 12))  # 3 s: 6 frames, which make 3 pairs
    prompt, _ = brain.converse().ask([film, "What happens?"])
    plain, _ = brain.converse().ask(["What happens?"])
    times = prompt.positions[0].tolist()
    assert len(set(times)) < len(times)  # a frame's patches share one time
    assert len(prompt.embeds) > len(plain.embeds)
    assert end_of(brain.converse(), film, "What happens?") != end_of(brain.converse(), "What happens?")


def test_an_unreadable_medium_is_not_remembered(brain: MgmOmniBrain, tmp_path: Path) -> None:
    talk = brain.converse()
    (tmp_path / "note.png").write_text("none")
    with pytest.raises(InputError, match="not a picture"):
        end_of(talk, Picture(tmp_path / "note.png"), "What?")
    assert end_of(talk, "Hello.") == end_of(brain.converse(), "Hello.")


def test_an_answer_not_waited_for_is_remembered_as_far_as_it_came(brain: MgmOmniBrain) -> None:
    talk = brain.converse()
    answer = talk.say(["Hello there."], GREEDY)
    heard = [next(answer), next(answer)]
    answer.close()
    assert talk._memory.turns[-1].parts == ("".join(map(str, heard)),)


def test_questions_together_are_answered_as_alone(brain: MgmOmniBrain, picture: Picture) -> None:
    questions: list[list[Part]] = [["Hello."], [picture, "What is in the picture, please?"]]
    alone = [brain.answer([question], GREEDY)[0] for question in questions]
    assert brain.answer(questions, GREEDY) == alone


def test_too_long_a_conversation_says_so(brain: MgmOmniBrain, monkeypatch: pytest.MonkeyPatch) -> None:
    brain.prepare()
    monkeypatch.setattr(brain.loaded.network.text_model.config, "max_position_embeddings", 20)
    with pytest.raises(InputError, match="tokens long, the brain takes 20"):
        end_of(brain.converse(), "A question of some length, is it not?")


def test_a_spoken_answer_is_the_written_one_with_sound(folder: Path, mouth: Path, voice: Voice) -> None:
    brain = brain_of(folder, speech=str(mouth), voice=voice)
    assert brain.sample_rate == 24000
    pieces = list(brain.converse().say(["Hello there."], AnswerOptions(temperature=0.0, max_new_tokens=40)))
    end = pieces[-1]
    sounds = [piece for piece in pieces if isinstance(piece, Waveform)]
    assert isinstance(end, AnswerEnd)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == end.text
    assert sum(sound.duration_s for sound in sounds) > 1.0
    assert end.speech_failure  # random weights do not come to an end: the reason is given
    written = end_of(
        brain_of(folder).converse(), "Hello there.", options=AnswerOptions(temperature=0.0, max_new_tokens=40)
    )
    assert end.text == written.text
    brain.close()
    assert "loaded" not in brain.__dict__


def test_wrong_checkpoints_are_named(folder: Path, mouth: Path, voice: Voice, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a mouth, it cannot think"):
        brain_of(mouth)
    with pytest.raises(ModelError, match="is a brain, it cannot speak"):
        brain_of(folder, speech=str(folder), voice=voice)
    with pytest.raises(ModelError, match=r"no mouth on this machine.*--speech"):
        brain_of(folder, voice=voice)
    with pytest.raises(ModelError, match="no brain of MGM-Omni"):
        open_brain("mgm-omni", BrainOptions())
    with pytest.raises(ModelError, match="no model folder"):
        brain_of(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"not on this machine.*pull 7b"):
        open_brain("mgm-omni", BrainOptions(model="7b"))
