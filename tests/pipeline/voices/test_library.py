"""Names, presets and recordings become voices; what is unknown or unusable never becomes another voice."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform, join, silence
from omnitts.errors import VoiceError
from omnitts.pipeline.voices.card import CARD_FILE, CLIP_FILE
from omnitts.pipeline.voices.library import (
    EXCERPT_S,
    describe_clip,
    find_entry,
    list_voices,
    remove_voice,
    resolve_voice,
    with_transcript,
)
from omnitts.pipeline.voices.speakers import embed
from omnitts.presets import preset_dir

Clip = Callable[[str], Waveform]


def own(home: Path, name: str, preset: str = "clara") -> Path:
    """An own voice made of a preset's files."""
    folder = home / "voices" / name
    shutil.copytree(preset_dir("voices") / preset, folder)
    card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    (folder / CARD_FILE).write_text(json.dumps(card | {"name": name, "note": "mine"}), encoding="utf-8")
    return folder


def test_the_presets_are_what_the_readme_says() -> None:
    entries = [entry for entry in list_voices() if entry.is_preset]
    cards = [entry.card for entry in entries if entry.card]
    assert len(cards) == len(entries) >= 6
    assert {card.gender for card in cards} == {"female", "male"}
    assert {card.accent for card in cards} == {"American", "British"}
    page = (preset_dir("voices") / "README.md").read_text(encoding="utf-8")
    held_out = ("af_nova", "am_puck", "bf_lily", "bm_daniel")
    for card in cards:
        voice = resolve_voice(card.name)
        assert 6.0 <= audio.load(voice.audio).duration_s <= 12.0
        assert "Apache-2.0" in voice.licence
        assert f"| `{card.name}` | {card.gender} | {card.accent} |" in page
        assert card.source.split()[-1] not in held_out
        assert voice.transcript.endswith((".", "!", "?"))


def test_no_two_presets_are_alike(clip: Clip) -> None:
    vectors = [embed(clip(entry.name)) for entry in list_voices() if entry.is_preset]
    assert max(float(a @ b) for a, b in combinations(vectors, 2)) < 0.8


def test_a_preset_by_name_in_any_case() -> None:
    voice = resolve_voice("Clara")
    assert (voice.name, voice.language, voice.folder) == ("clara", "en", preset_dir("voices") / "clara")
    bytes_and_text = (voice.folder / CLIP_FILE).read_bytes() + b"\0" + voice.transcript.encode()
    assert voice.digest == hashlib.sha256(bytes_and_text).hexdigest()


def test_an_own_voice_goes_before_a_preset(home: Path) -> None:
    own(home, "clara", preset="hugh")
    assert resolve_voice("clara").note == "mine"
    assert [entry.is_preset for entry in list_voices() if entry.name == "clara"] == [False]


def test_text_and_language_given_overrule_and_change_the_digest() -> None:
    plain, other = resolve_voice("clara"), resolve_voice("clara", "Something  else.", "ZH")
    assert (other.transcript, other.language) == ("Something else.", "zh")
    assert other.digest != plain.digest
    assert resolve_voice("clara", plain.transcript).digest == plain.digest


@pytest.mark.parametrize(("asked", "meant"), [("clra", "clara"), ("Beatrix", "beatrice"), ("edmond", "edmund")])
def test_an_unknown_name_lists_those_like_it(asked: str, meant: str) -> None:
    with pytest.raises(VoiceError, match="no voice or recording") as caught:
        resolve_voice(asked)
    assert f"did you mean {meant}" in caught.value.hint


@pytest.mark.parametrize("asked", ["anna.wav", "./clara", "voices/clara", ""])
def test_a_path_that_is_not_there_is_not_taken_for_a_name(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VoiceError, match=r"no such recording|no voice or recording"):
        resolve_voice(asked)


def test_a_recording_with_its_text_beside_it(tmp_path: Path, clip: Clip) -> None:
    path = tmp_path / "ref.wav"
    audio.save(clip("june"), path)
    assert resolve_voice(str(path)).transcript == ""
    path.with_suffix(".txt").write_text("\ufeffWhat is\nsaid. ", encoding="utf-8")
    voice = resolve_voice(str(path), language="EN")
    assert (voice.name, voice.audio, voice.folder) == ("ref", path, None)
    assert (voice.transcript, voice.language) == ("What is said.", "en")
    assert resolve_voice(str(path), "Other.").transcript == "Other."
    path.with_suffix(".txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(VoiceError, match="not UTF-8"):
        resolve_voice(str(path))


def test_the_transcript_is_heard_only_when_unknown(tmp_path: Path, clip: Clip, ear) -> None:  # type: ignore[no-untyped-def]
    listener = ear("  Heard words. ")
    known = resolve_voice("clara")
    assert with_transcript(known, listener) is known
    assert listener.given == []
    path = tmp_path / "ref.wav"
    audio.save(clip("june"), path)
    unknown = resolve_voice(str(path))
    voice = with_transcript(unknown, listener, language="zh")
    assert voice.transcript == "Heard words."
    assert voice.digest == resolve_voice(str(path), "Heard words.").digest != unknown.digest
    assert listener.given[0][1] == "zh"
    with pytest.raises(VoiceError, match="no words are heard"):
        with_transcript(unknown, ear(" "))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.wav", b"not audio at all", "not an audio file"),
        ("a.wav", b"", "not an audio file"),
        ("a.txt", b"words, not sound", "not an audio file"),
    ],
)
def test_what_is_not_audio_is_a_voice_error(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VoiceError, match=said) as caught:
        resolve_voice(str(tmp_path / name))
    assert "record" in caught.value.hint


def test_too_short_silent_and_endless_recordings(tmp_path: Path, clip: Clip) -> None:
    path = tmp_path / "ref.wav"
    audio.save(clip("june").slice_s(0, 1.2), path)
    with pytest.raises(VoiceError, match=r"1\.2 s long"):
        resolve_voice(str(path))
    audio.save(silence(6.0, 24_000), path)
    with pytest.raises(VoiceError, match="silent"):
        resolve_voice(str(path))
    audio.save(Waveform(np.zeros(8000 * 1900, np.float32), 8000), path)
    with pytest.raises(VoiceError, match="longer than 30 minutes"):
        resolve_voice(str(path))


def test_a_long_recording_becomes_the_same_excerpt_each_time(tmp_path: Path, home: Path, clip: Clip) -> None:
    path = tmp_path / "long.wav"
    audio.save(join([clip("hugh"), silence(0.6, 24_000), clip("hugh"), silence(0.6, 24_000), clip("hugh")]), path)
    path.with_suffix(".txt").write_text("The words of the whole.", encoding="utf-8")
    voice = resolve_voice(str(path))
    assert voice.transcript == ""
    assert home in voice.audio.parents
    assert 5.0 < audio.load(voice.audio).duration_s <= EXCERPT_S + 0.2
    assert resolve_voice(str(path)) == voice
    with pytest.raises(VoiceError, match="will be cut"):
        resolve_voice(str(path), "The words of the whole.")
    time_s = np.arange(30 * 24_000) / 24_000
    audio.save(Waveform((0.3 * np.sin(2 * np.pi * 220 * time_s)).astype(np.float32), 24_000), path)
    with pytest.raises(VoiceError, match="nobody speaks"):
        resolve_voice(str(path))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / CLIP_FILE).unlink(), "clip is missing"),
        (lambda folder: (folder / CLIP_FILE).write_bytes(b"other"), "sha256 differs"),
        (lambda folder: (folder / CARD_FILE).write_text("{", encoding="utf-8"), "card cannot be read"),
        (lambda folder: (folder / CARD_FILE).write_text("[]", encoding="utf-8"), "not a JSON object"),
        (lambda folder: (folder / CARD_FILE).write_text('{"name": "anna"}', encoding="utf-8"), "'transcript'"),
    ],
)
def test_a_damaged_voice_is_named_not_replaced(home: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    spoil(own(home, "anna"))
    with pytest.raises(VoiceError, match=said):
        resolve_voice("anna")
    assert "anna" in {entry.name for entry in list_voices()}


def test_only_own_voices_are_removed(home: Path) -> None:
    folder = own(home, "anna")
    (folder / "prompt.safetensors").write_bytes(b"derived")
    assert remove_voice("ANNA") == folder
    assert not folder.exists()
    assert find_entry("anna") is None
    with pytest.raises(VoiceError, match="presets cannot be removed"):
        remove_voice("clara")
    with pytest.raises(VoiceError, match="no voice"):
        remove_voice("anna")


def test_an_unfit_recording_can_still_be_described(tmp_path: Path, clip: Clip) -> None:
    path = tmp_path / "short.wav"
    audio.save(clip("june").slice_s(0, 1.0), path)
    assert describe_clip(str(path)) == (path, "", "en")
    assert describe_clip(str(path), "你好") == (path, "你好", "zh")
    assert describe_clip("clara")[2] == "en"
    with pytest.raises(VoiceError, match="no such recording"):
        describe_clip("nowhere.wav")
