"""The engine around a tiny whole checkpoint: voices, batches, failures, streams, and the files it stores."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from omnitts.audio import Waveform, save
from omnitts.engines.base import Engine, Speech, SpeechRequest
from omnitts.engines.mgm_omni import MgmOmniEngine
from omnitts.engines.mgm_omni_parts import Parts
from omnitts.engines.mgm_omni_settings import USUAL_PARTICLES
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import EngineError, ModelError, UsageError, VoiceError
from omnitts.models.codec.loading import SETTINGS, load_codec
from omnitts.models.layout import CODEC_DIR
from omnitts.models.reading.durations import DURATIONS
from omnitts.models.reading.labels import Sounds
from omnitts.models.reading.pronouncer import PRONOUNCER
from omnitts.models.reading.text_reader import READER, Spelling, TextReader
from omnitts.types import Voice
from tests.engines.tiny_checkpoint import write_checkpoint
from tests.models.codec.tiny_codec import ask_to_adapt
from tests.models.reading.random_durations import random_durations
from tests.models.reading.random_pronouncer import random_pronouncer
from tests.models.reading.random_reader import random_text_reader

TEXTS = ("Hello there.", "The sea was calm.", "One, two.", "No.", "Who is it?")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


def make_voice(
    folder: Path, name: str, pitch_hz: float, transcript: str = "A clip of speech.", seconds: int = 2
) -> Voice:
    time_s = np.arange(seconds * 16000) / 16000
    samples = sum(np.sin(2 * np.pi * pitch_hz * h * time_s) / h for h in range(1, 8)) * 0.2
    path = folder / f"{name}.wav"
    save(Waveform(samples.astype(np.float32), 16000), path)
    return Voice(name, path, digest=name[0] * 64, transcript=transcript)


@pytest.fixture
def voice(tmp_path: Path) -> Voice:
    return make_voice(tmp_path, "anna", 180.0)


def engine_of(checkpoint: Path, **options: object) -> MgmOmniEngine:
    engine = open_engine("mgm-omni", EngineOptions(model=str(checkpoint), device="cpu", **options))  # type: ignore[arg-type]
    assert isinstance(engine, MgmOmniEngine)
    return engine


def speak_all(engine: Engine, voice: Voice, texts: tuple[str, ...] = TEXTS) -> dict[str, Speech]:
    requests = [SpeechRequest(str(i), text, voice, "en", seed=i) for i, text in enumerate(texts)]
    return {speech.key: speech for speech in engine.speak(requests)}


def test_opening_loads_no_weights(checkpoint: Path) -> None:
    engine = engine_of(checkpoint)
    assert isinstance(engine, Engine)
    assert engine.capabilities.clones
    assert len(engine.revision) == 16
    assert "mouth" not in vars(engine._parts)


def test_revision_follows_what_decides_the_sound(checkpoint: Path, tmp_path: Path) -> None:
    revision = engine_of(checkpoint).revision
    assert engine_of(checkpoint).revision == revision
    assert engine_of(checkpoint, batch=3).revision == revision
    assert engine_of(checkpoint, temperature=0.7).revision != revision
    assert engine_of(checkpoint, dtype="bf16").revision != revision
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    (other / "generation_config.json").write_text('{"top_k": 5}')
    assert engine_of(other).revision != revision


def test_a_row_sounds_the_same_alone_and_in_any_batch(checkpoint: Path, voice: Voice) -> None:
    together = speak_all(engine_of(checkpoint, batch=4), voice)
    assert set(together) == {"0", "1", "2", "3", "4"}
    alone = engine_of(checkpoint, batch=1)
    for key, speech in speak_all(alone, voice).items():
        assert speech.failure == together[key].failure
        assert len(speech.waveform) == len(together[key].waveform)
        # The vocoder sums pitch over time, which lifts a last-bit difference of the mel to about this (differences.md).
        np.testing.assert_allclose(speech.waveform.samples, together[key].waveform.samples, atol=1e-3)


def test_a_longer_text_than_the_batch_was_made_for_is_spoken(
    checkpoint: Path, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnitts.engines.scheduler.USUAL_POSITIONS", 1)  # every batch just fits what waits for it
    texts = ("No.", "Yes.", "A longer one.", "No.")
    spoken = speak_all(engine_of(checkpoint, batch=2), voice, texts)
    monkeypatch.undo()
    usual = speak_all(engine_of(checkpoint, batch=2), voice, texts)
    assert {key: len(speech.waveform) for key, speech in spoken.items()} == {
        key: len(speech.waveform) for key, speech in usual.items()
    }


def test_failures_of_the_model_are_named(checkpoint: Path, voice: Voice) -> None:
    spoken = speak_all(engine_of(checkpoint), voice)
    assert {speech.failure for speech in spoken.values()} <= {"", "blank_run", "length", "row_limit", "empty"}
    [empty] = engine_of(checkpoint).speak([SpeechRequest("e", " \n* ", voice)])
    assert empty.failure == "empty_text"
    assert len(empty.waveform) > 0


def test_seeds_give_other_takes_and_the_same_seed_the_same(checkpoint: Path, voice: Voice) -> None:
    engine = engine_of(checkpoint, temperature=1.0)
    requests = [SpeechRequest(str(i), "Good evening.", voice, seed=seed) for i, seed in enumerate((1, 1, 2))]
    one, again, other = (speech.waveform.samples for speech in sorted(engine.speak(requests), key=lambda s: s.key))
    np.testing.assert_allclose(one, again, atol=1e-3)
    assert len(one) != len(other) or not np.allclose(one, other)


def test_the_stream_is_the_whole(checkpoint: Path, voice: Voice) -> None:
    """Short enough for one piece: then streaming and whole are the same computation."""
    engine = engine_of(checkpoint)
    request = SpeechRequest("k", "Hello there.", voice, seed=3)
    [whole] = engine.speak([request])
    pieces = list(_stream_until_failure(engine, request))
    streamed = np.concatenate([piece.samples for piece in pieces])
    if whole.failure != "row_limit":
        assert len(streamed) == len(whole.waveform)
    if len(pieces) == 1:
        np.testing.assert_allclose(streamed, whole.waveform.samples, atol=1e-4)


@pytest.fixture(scope="module")
def steered(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with a spelling reader."""
    folder = tmp_path_factory.mktemp("steered") / "tiny"
    shutil.copytree(checkpoint, folder)
    random_text_reader((3,) * 8).save(folder / CODEC_DIR / READER)
    return folder


def test_a_checkpoint_with_a_reader_is_steered(checkpoint: Path, steered: Path, voice: Voice) -> None:
    many = speak_all(engine_of(steered, batch=2), voice)
    again = speak_all(engine_of(steered, batch=3), voice)
    blind = speak_all(engine_of(steered, extra={"particles": 1}), voice)
    plain = speak_all(engine_of(checkpoint), voice)
    assert set(many) == set(again) == {"0", "1", "2", "3", "4"}
    for key, speech in many.items():
        np.testing.assert_allclose(speech.waveform.samples, again[key].waveform.samples, atol=1e-3)
        np.testing.assert_allclose(blind[key].waveform.samples, plain[key].waveform.samples, atol=1e-3)
    assert not any(np.array_equal(many[key].waveform.samples, blind[key].waveform.samples) for key in many)
    revisions = {engine_of(steered, extra=extra).revision for extra in ({}, {"particles": 1}, {"particles": 4})}
    assert len(revisions) == 3
    assert engine_of(steered, extra={"particles": USUAL_PARTICLES}).revision == engine_of(steered).revision
    with pytest.raises(EngineError, match="no spelling reader"):
        engine_of(checkpoint, extra={"particles": 2})


def test_a_steered_stream_is_the_whole(steered: Path, voice: Voice) -> None:
    engine = engine_of(steered)
    request = SpeechRequest("k", "Hello there.", voice, seed=3)
    [whole] = engine.speak([request])
    pieces = _stream_until_failure(engine, request)
    assert bool(pieces) == (not whole.failure), "what went wrong is not heard"
    assert sum(map(len, pieces)) == (0 if whole.failure else len(whole.waveform))
    [again] = engine.speak([request])
    assert len(again.waveform) == len(whole.waveform)


def test_greedy_speech_needs_no_particles(steered: Path) -> None:
    assert engine_of(steered)._parts.num_particles == USUAL_PARTICLES
    assert engine_of(steered, temperature=0)._parts.num_particles == 1
    assert engine_of(steered, top_k=1)._parts.num_particles == 1


def test_steering_listens_for_the_voices_own_accent(steered: Path, voice: Voice) -> None:
    engine, heard = engine_of(steered), []
    assert engine._parts.steering is not None
    engine._parts.steering.reader.sounds = lambda *asked: heard.append(asked) or Sounds()  # type: ignore[method-assign,assignment,func-returns-value]
    for accent in ("", "British"):
        list(engine.speak([SpeechRequest("k", "Hello.", dataclasses.replace(voice, accent=accent), "en")]))
    assert [asked for asked in heard if asked[0] == "Hello."] == [("Hello.", "en", "en"), ("Hello.", "British", "en")]


@pytest.mark.parametrize("accent", ["en-us", "en-gb"])
def test_an_accent_that_no_card_names_is_heard(
    steered: Path, voice: Voice, accent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader spells the recording as one of the accents would say it, and the text is listened for in that one."""
    engine = engine_of(steered)
    assert engine._parts.reader is not None
    reader, heard = engine._parts.reader, []

    def sounds(text: str, own: str, language: str = "") -> Sounds:
        heard.append((text, own))
        return Sounds() if language == "zh" else Sounds((1 + (own == "en-gb"),), (0,))

    monkeypatch.setattr(reader, "sounds", sounds)
    monkeypatch.setattr(reader, "spelling", lambda _, labels: Spelling(float(labels != (1 + (accent == "en-gb"),)), 0))
    assert engine._cast(voice).accent == accent
    list(engine.speak([SpeechRequest("k", "Hello.", voice, "en")]))
    assert ("Hello.", accent) in heard
    foreign = dataclasses.replace(voice, language="zh", digest="f" * 64)
    assert engine._cast(foreign).accent == ""


def test_a_mouth_that_reads_phonemes_is_given_them(checkpoint: Path, voice: Voice, tmp_path: Path) -> None:
    """Words that sound alike are the same to it, and a brain, which writes letters, cannot speak through it."""
    folder = tmp_path / "phonemic"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "text_form": "phonemes"}))
    texts = ("The knight rode.", "The night rowed.")

    def said(model: Path) -> list[Speech]:
        engine = engine_of(model)
        return [next(iter(engine.speak([SpeechRequest("k", text, voice, "en")]))) for text in texts]

    np.testing.assert_array_equal(*(speech.waveform.samples for speech in said(folder)))
    assert not np.array_equal(*(speech.waveform.samples for speech in said(checkpoint)))
    with pytest.raises(ModelError, match="reads phonemes"):
        engine_of(folder).lend(voice)


def test_a_damaged_reader_is_named(steered: Path, tmp_path: Path, voice: Voice) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(steered, folder)
    (folder / CODEC_DIR / READER).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="spelling reader cannot be opened"):
        speak_all(engine_of(folder), voice)


@pytest.fixture(scope="module")
def pronounced(steered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with a spelling reader and a pronouncer."""
    folder = tmp_path_factory.mktemp("pronounced") / "tiny"
    shutil.copytree(steered, folder)
    reader = TextReader.open(folder / CODEC_DIR / READER)
    voice_size = load_codec(folder / CODEC_DIR).detokenizer.flow.config.speaker_size
    random_pronouncer(reader, voice_size).save(folder / CODEC_DIR / PRONOUNCER)
    return folder


@pytest.mark.parametrize("particles", [1, 3])
def test_a_checkpoint_with_a_pronouncer_says_its_sounds(
    steered: Path, pronounced: Path, voice: Voice, particles: int
) -> None:
    """As long as without it, other sounds; the same as without it where it is turned off; a stream is the whole."""
    request = SpeechRequest("k", "Hello there.", voice, seed=3)
    on, off = ({"particles": particles, "pronouncer": state} for state in ("on", "off"))
    engines = [engine_of(pronounced, extra=on), engine_of(pronounced, extra=off), engine_of(steered, extra=off)]
    found, turned_off, without = (next(iter(engine.speak([request]))) for engine in engines)
    assert len(found.waveform) == len(without.waveform)
    np.testing.assert_allclose(turned_off.waveform.samples, without.waveform.samples, atol=1e-3)
    assert not np.allclose(found.waveform.samples, without.waveform.samples, atol=1e-3)
    assert engines[0].revision != engines[1].revision
    pieces = _stream_until_failure(engines[0], request)
    assert sum(map(len, pieces)) == (0 if found.failure else len(found.waveform))


def test_a_checkpoint_with_a_duration_model_times_its_sounds(pronounced: Path, tmp_path: Path, voice: Voice) -> None:
    """As long as without it, other sounds."""
    folder = tmp_path / "timed"
    shutil.copytree(pronounced, folder)
    reader = TextReader.open(folder / CODEC_DIR / READER)
    voice_size = load_codec(folder / CODEC_DIR).detokenizer.flow.config.speaker_size
    random_durations(reader, voice_size, sure_of=2).save(folder / CODEC_DIR / DURATIONS)
    request = SpeechRequest("k", "Hello there.", voice, seed=3)
    timed, untimed = (next(iter(engine_of(model).speak([request]))) for model in (folder, pronounced))
    assert len(timed.waveform) == len(untimed.waveform)
    assert not np.allclose(timed.waveform.samples, untimed.waveform.samples, atol=1e-3)


def test_a_pronouncer_of_other_voices_is_refused(pronounced: Path, tmp_path: Path, voice: Voice) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(pronounced, folder)
    random_pronouncer(TextReader.open(folder / CODEC_DIR / READER), 5).save(folder / CODEC_DIR / PRONOUNCER)
    with pytest.raises(ModelError, match="voices of 5 numbers"):
        speak_all(engine_of(folder), voice)


def test_a_pronouncer_without_its_reader_is_told_before_anything_is_loaded(pronounced: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deaf"
    shutil.copytree(pronounced, folder)
    (folder / CODEC_DIR / READER).unlink()
    with pytest.raises(ModelError, match=f"{PRONOUNCER} needs {READER}") as caught:
        open_engine("mgm-omni", EngineOptions(model=str(folder), device="cpu"))
    assert "pronouncer" in (caught.value.hint or "")
    open_engine("mgm-omni", EngineOptions(model=str(folder), device="cpu", extra={"pronouncer": "off"}))


def _stream_until_failure(engine: MgmOmniEngine, request: SpeechRequest) -> list[Waveform]:
    pieces = []
    try:
        for piece in engine.stream(request):
            pieces.append(piece)
    except EngineError as error:
        assert "went wrong" in str(error)  # noqa: PT017 - a random model may fail; the sound before it counts
    return pieces


def test_the_voice_prompt_is_stored_once_in_the_voice_folder(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home" / "voices" / "anna"
    folder.mkdir(parents=True)
    loose = make_voice(folder, "anna", 180.0)
    voice = Voice("anna", loose.audio, loose.digest, loose.transcript, folder=folder)
    first = engine_of(checkpoint)
    first.prepare(voice)
    [stored] = folder.glob("prompt-*.safetensors")

    second = engine_of(checkpoint)
    monkeypatch.setattr(Parts, "_listen", lambda *_: pytest.fail("the clip was heard again"))
    second.prepare(voice)
    stored.write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    engine_of(checkpoint).prepare(voice)
    assert stored.stat().st_size > 100


def test_what_a_codec_learns_of_a_voice_is_stored_with_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "adapting"
    shutil.copytree(checkpoint, folder)
    ask_to_adapt(folder / CODEC_DIR / SETTINGS, 50)
    voice = make_voice(tmp_path, "anna", 180.0, seconds=4)
    first = engine_of(folder)
    learnt = first._cast(voice).prompt.adaptation
    assert learnt is not None
    monkeypatch.setattr(Parts, "_listen", lambda *_: pytest.fail("the clip was heard again"))
    stored = engine_of(folder)._cast(voice).prompt.adaptation
    assert stored is not None
    for name in ("matrix", "made", "wanted", "loud"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(learnt, name))
    monkeypatch.undo()
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    request = [SpeechRequest("k", "Hello there.", voice, "en", seed=3)]
    [adapted], [plain] = first.speak(request), engine_of(checkpoint).speak(request)
    assert len(adapted.waveform) == len(plain.waveform)
    assert not np.array_equal(adapted.waveform.samples, plain.waveform.samples)


def test_a_loose_recording_is_stored_in_the_cache(checkpoint: Path, voice: Voice, tmp_path: Path) -> None:
    engine_of(checkpoint).prepare(voice)
    assert len(list((tmp_path / "home").rglob("prompt-*.safetensors"))) == 1
    assert list(voice.audio.parent.glob("*.safetensors")) == []


def test_what_cannot_be_spoken_is_refused_by_name(checkpoint: Path, voice: Voice, tmp_path: Path) -> None:
    engine = engine_of(checkpoint)
    with pytest.raises(VoiceError, match="cloned voice"):
        engine.prepare(None)
    with pytest.raises(VoiceError, match="what the reference recording says"):
        engine.prepare(make_voice(tmp_path, "mute", 100.0, transcript=""))
    with pytest.raises(EngineError, match="does not speak 'fr'"):
        list(engine.speak([SpeechRequest("k", "Bonjour.", voice, "fr")]))
    with pytest.raises(EngineError, match="speed"):
        list(engine.speak([SpeechRequest("k", "Hello.", voice, "en", speed=1.2)]))


@pytest.mark.usefixtures("no_small_model")
def test_bad_checkpoints_and_devices_are_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint"):
        open_engine("mgm-omni")
    with pytest.raises(ModelError):
        engine_of(tmp_path / "nowhere")
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken)
    (broken / "cosyvoice2" / "flow.pt").unlink()
    with pytest.raises(ModelError, match=r"flow\.pt"):
        engine_of(broken)
    with pytest.raises(UsageError, match="no device"):
        open_engine("mgm-omni", EngineOptions(model=str(checkpoint), device="toaster"))
    with pytest.raises(EngineError, match="no cuda:9"):
        open_engine("mgm-omni", EngineOptions(model=str(checkpoint), device="cuda:9"))


def test_special_strings_in_a_text_are_only_text(checkpoint: Path, voice: Voice) -> None:
    [speech] = engine_of(checkpoint).speak([SpeechRequest("k", "Say <|audio_start|> and <speech> now.", voice)])
    assert len(speech.waveform) > 0


def test_close_frees_and_the_engine_works_again(checkpoint: Path, voice: Voice) -> None:
    engine = engine_of(checkpoint)
    [before] = engine.speak([SpeechRequest("k", "Hello.", voice)])
    engine.close()
    assert "mouth" not in vars(engine._parts)
    [after] = engine.speak([SpeechRequest("k", "Hello.", voice)])
    np.testing.assert_array_equal(before.waveform.samples, after.waveform.samples)


def test_stages_report_how_busy_they_were(checkpoint: Path, voice: Voice) -> None:
    engine = engine_of(checkpoint)
    speak_all(engine, voice)
    assert {line.stage for line in engine.utilisation.table(1.0)} == {"prefill", "decode", "flow", "vocoder"}


def test_sound_goes_on_in_smaller_batches_when_memory_is_short(
    checkpoint: Path, voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = speak_all(engine_of(checkpoint), voice)
    engine = engine_of(checkpoint)
    detokenizer = engine._parts.codec.detokenizer
    speak, asked = detokenizer.speak, []

    def short_of_memory(*args: object, max_batch_frames: int) -> object:
        asked.append(max_batch_frames)
        if max_batch_frames > 1000:
            raise RuntimeError("CUDA out of memory")
        return speak(*args, max_batch_frames=max_batch_frames)  # type: ignore[arg-type]

    monkeypatch.setattr(detokenizer, "speak", short_of_memory)
    spoken = speak_all(engine, voice)
    assert min(asked) <= 1000
    assert {key: len(speech.waveform) for key, speech in spoken.items()} == {
        key: len(speech.waveform) for key, speech in usual.items()
    }
    monkeypatch.setattr(detokenizer, "speak", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(EngineError, match="not enough memory"):
        speak_all(engine, voice)


def test_a_caller_that_goes_away_leaves_the_engine_usable(checkpoint: Path, voice: Voice) -> None:
    engine = engine_of(checkpoint, batch=2)
    speeches = engine.speak(SpeechRequest(str(i), "Hello.", voice, seed=i) for i in range(6))
    next(speeches)
    speeches.close()
    [again] = engine.speak([SpeechRequest("k", "Hello.", voice, seed=1)])
    [alone] = engine_of(checkpoint).speak([SpeechRequest("k", "Hello.", voice, seed=1)])
    assert len(again.waveform) == len(alone.waveform)
