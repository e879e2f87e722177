"""The small model that comes along: whole, small, and it speaks: words that whisper knows, in the voice asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import omnitts
from omnitts.audio import Waveform, load
from omnitts.engines.checkpoints import find_checkpoint
from omnitts.models.hub import BUNDLED, bundled_folder, bundled_model
from omnitts.models.layout import model_files
from omnitts.models.manifest import verify
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.similarity import SpeakerEncoder, cosine
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.pipeline.check.wer import compare
from omnitts.pipeline.voices.library import resolve_voice

SENTENCES = (
    "The sea was calm, and a white boat came slowly into the harbour.",
    "We walked up the hill in the morning, and the old house was empty.",
    "He opened the letter, read it twice, and put it back upon the table.",
    "There was nothing to be done but to wait for the night to pass.",
)
VOICES = ("clara", "hugh")
MOST_WRONG = 0.25  # of the words; measured 0.06


@pytest.fixture(autouse=True, scope="module")
def bare_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No other model is here."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("OMNITTS_HOME", str(home))
        patch.setenv("HF_HUB_CACHE", str(home / "hub"))
        yield


@pytest.fixture(scope="module")
def takes() -> dict[str, list[Waveform]]:
    spoken = {}
    for voice in VOICES:
        speaker = omnitts.load_engine("mgm-omni", voice=voice, device="cpu")
        spoken[voice] = [speaker.say(sentence) for sentence in SENTENCES]
    return spoken


def test_it_is_whole_and_what_is_opened() -> None:
    found = bundled_model()
    assert found is not None
    assert found.missing == ()
    assert verify(found.folder).faults == ()
    assert find_checkpoint("") == bundled_folder()
    assert BUNDLED.repo in (found.folder / "config.json").read_text(encoding="utf-8")


def test_it_takes_at_most_60_mb_of_the_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in model_files(bundled_folder()):
            wheel.write(path)
    assert (tmp_path / "wheel.zip").stat().st_size <= 60e6


def test_its_card_says_what_it_is() -> None:
    card = (bundled_folder() / "MODEL_CARD.md").read_text(encoding="utf-8")
    facts = ("For trying omnitts", "omnitts models pull 2b", "hours of speech", "Apache-2.0", "whisper", "word errors")
    for fact in facts:
        assert fact in card


def test_its_words_are_heard(takes: dict[str, list[Waveform]]) -> None:
    ears = Transcriber(find_asr_model("base"))
    heard = {
        (voice, text): ears.transcribe(take, "en", careful=True).text
        for voice in VOICES
        for text, take in zip(SENTENCES, takes[voice], strict=True)
    }
    compared = [compare(text, words, "en") for (_, text), words in heard.items()]
    wrong = sum(found.errors for found in compared) / sum(found.words for found in compared)
    assert wrong <= MOST_WRONG, heard


def test_each_voice_is_its_own(takes: dict[str, list[Waveform]]) -> None:
    encoder = SpeakerEncoder()
    heard = {voice: encoder.embed(load(resolve_voice(voice).audio)) for voice in VOICES}
    for voice in VOICES:
        others = [name for name in VOICES if name != voice]
        for take in takes[voice]:
            own = encoder.embed(take)
            assert own is not None
            assert cosine(own, heard[voice]) > max(cosine(own, heard[name]) for name in others)


def test_the_same_words_are_the_same_sound(takes: dict[str, list[Waveform]]) -> None:
    again = omnitts.load_engine("mgm-omni", voice=VOICES[0], device="cpu").say(SENTENCES[0])
    assert (again.samples == takes[VOICES[0]][0].samples).all()
