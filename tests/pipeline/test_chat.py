"""Chat: options that contradict each other, lines, attachments, turns and the files of their sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.engines.brain import AnswerOptions
from omnitts.errors import InputError, OmnittsError, UsageError, VoiceError
from omnitts.pipeline.chat import Chat, ChatOptions, Command, Turn, open_chat, parse_line

FAKE = ChatOptions(engine="fake")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def turn_of(chat: Chat, text: str) -> Turn:
    turn = list(chat.ask(text))[-1]
    assert isinstance(turn, Turn)
    return turn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speech": "2b"}, "a mouth needs a voice"),
        ({"out": Path("a.wav")}, "only with a voice"),
        ({"voice": "clara"}, "nowhere to put the sound"),
        ({"voice": "clara", "out": Path("a.mp3")}, "cannot write .mp3"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(FAKE, **options)  # type: ignore[arg-type]


def test_an_unknown_voice_is_never_another_voice(tmp_path: Path) -> None:
    with pytest.raises(VoiceError):
        open_chat(replace(FAKE, voice="nobody", out=tmp_path / "a.wav"))


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("How are you?\n", Command("say", "How are you?")),
        ("/image my photo.jpg", Command("image", "my photo.jpg")),
        ("/audio 'a b.wav'", Command("audio", "a b.wav")),
        ("/video film.mp4 ", Command("video", "film.mp4")),
        ("/reset", Command("reset")),
        ("/exit", Command("quit")),
        ("//etc/passwd, what is it?", Command("say", "/etc/passwd, what is it?")),
        ("", Command("say", "")),
    ],
)
def test_lines(line: str, command: Command) -> None:
    assert parse_line(line) == command


@pytest.mark.parametrize("line", ["/dance", "/image", "/audio  "])
def test_lines_that_mean_nothing(line: str) -> None:
    with pytest.raises(UsageError):
        parse_line(line)


def test_attachments_go_with_the_next_question_only(picture: Path) -> None:
    with open_chat(FAKE) as chat:
        chat.attach("image", str(picture))
        assert turn_of(chat, "What is it?").end.text == "You said: [picture of 30 x 20] | What is it?"
        assert chat.num_attached == 0
        assert turn_of(chat, "Sure?").end.text.endswith("What is it? | Sure?")
        chat.reset()
        second = turn_of(chat, "Hm.")
        assert (second.number, second.end.text) == (3, "You said: Hm.")


def test_a_question_that_fails_keeps_its_attachments(tmp_path: Path) -> None:
    (tmp_path / "none.png").write_text("none")
    with open_chat(FAKE) as chat:
        chat.attach("image", str(tmp_path / "none.png"))
        for _ in range(2):
            with pytest.raises(InputError, match="not a picture"):
                turn_of(chat, "What is it?")
        chat.reset()
        assert turn_of(chat, "Hello.").number == 1
        with pytest.raises(InputError, match="no such file"):
            chat.attach("image", "nowhere.png")
        with pytest.raises(OmnittsError, match="no question"):
            turn_of(chat, "  ")


def test_spoken_answers_become_files(tmp_path: Path) -> None:
    out = tmp_path / "said" / "answer.wav"
    with open_chat(replace(FAKE, voice="clara", out=out)) as chat:
        only = turn_of(chat, "Hello.")
        assert only.file == out
        assert audio.load(out).duration_s == pytest.approx(only.audio_s, abs=0.001)
        chat.numbers_files = True
        assert turn_of(chat, "Again.").file == tmp_path / "said" / "answer-2.wav"


def test_an_answer_not_waited_for_leaves_what_was_heard(tmp_path: Path) -> None:
    with open_chat(replace(FAKE, voice="clara", out=tmp_path / "a.wav")) as chat:
        answer = chat.ask("A rather long question, so that there are some pieces of sound.")
        first = next(piece for piece in answer if isinstance(piece, Waveform))
        answer.close()
    assert len(audio.load(tmp_path / "a.wav")) == len(first)


def test_the_longest_answer_is_kept_to(tmp_path: Path) -> None:
    with open_chat(replace(FAKE, answer=AnswerOptions(max_new_tokens=2))) as chat:
        assert turn_of(chat, "Hello.").end.ended == "length"
