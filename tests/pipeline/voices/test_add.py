"""Adding a voice: what is kept, what is refused, and that no half voice is ever left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform, join, peak_dbfs, rms_dbfs, silence
from omnitts.errors import OutputError, UsageError, VoiceError
from omnitts.pipeline.voices import add as add_module
from omnitts.pipeline.voices.add import AddOptions, add_voice, error_rate
from omnitts.pipeline.voices.library import list_voices, resolve_voice

Clip = Callable[[str], Waveform]
Text = Callable[[str], str]


@pytest.fixture
def recording(tmp_path: Path, clip: Clip) -> Path:
    path = tmp_path / "anna.wav"
    audio.save(join([silence(1.0, 24_000), clip("imogen"), silence(1.0, 24_000)]), path)
    return path


def names() -> list[str]:
    return [entry.name for entry in list_voices() if not entry.is_preset]


def test_a_clip_is_trimmed_transcribed_and_kept(recording: Path, text: Text, home: Path, ear) -> None:  # type: ignore[no-untyped-def]
    said = text("imogen")
    added = add_voice(AddOptions("anna", recording, language="EN", licence="her own"), ear(said))
    voice = resolve_voice("anna")
    assert added.voice == voice
    assert (voice.transcript, voice.language, voice.licence) == (said, "en", "her own")
    assert voice.folder == home / "voices" / "anna"
    assert audio.load(voice.audio).duration_s == pytest.approx(10.3, abs=0.3)
    assert added.inspection.is_fit
    assert [path.name for path in (home / "voices").iterdir()] == ["anna"]


def test_text_overrules_and_is_checked_against_what_is_heard(recording: Path, text: Text, ear) -> None:  # type: ignore[no-untyped-def]
    said = text("imogen")
    added = add_voice(AddOptions("anna", recording, text=f" {said} "), ear(said.lower()))
    assert added.voice.transcript == said
    assert added.inspection.wer == 0.0
    wrong = AddOptions(
        "berta", recording, text="These are not the words which anybody says in this particular recording."
    )
    with pytest.raises(VoiceError, match="differs from what is heard") as caught:
        add_voice(wrong, ear(said))
    assert "--force" in caught.value.hint
    assert names() == ["anna"]


def test_a_text_file_beside_the_clip_is_its_transcript(recording: Path, text: Text) -> None:
    recording.with_suffix(".txt").write_text(text("imogen"), encoding="utf-8")
    assert add_voice(AddOptions("anna", recording), None).voice.transcript == text("imogen")


def test_without_text_and_ears_it_is_said_what_to_do(recording: Path, ear) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="transcript of the clip is needed"):
        add_voice(AddOptions("anna", recording), None)
    with pytest.raises(VoiceError, match="no words are heard"):
        add_voice(AddOptions("anna", recording), ear(""))
    assert names() == []


def test_a_long_recording_is_cut_and_its_text_refused(tmp_path: Path, clip: Clip, text: Text, ear) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "long.flac"
    audio.save(join([part for _ in range(3) for part in (clip("hugh"), silence(0.7, 24_000))]), path)
    with pytest.raises(VoiceError, match="no longer fits"):
        add_voice(AddOptions("hugo", path, text="All of it."), ear("x"))
    listener = ear(text("hugh"))
    added = add_voice(AddOptions("hugo", path), listener)
    assert added.kept.is_excerpt
    assert 5.0 < added.kept.waveform.duration_s <= 15.2
    assert len(listener.given[0][0]) == len(added.kept.waveform)


def test_faults_are_refused_unless_forced(tmp_path: Path, clip: Clip, text: Text, ear) -> None:  # type: ignore[no-untyped-def]
    path, voice = tmp_path / "clipped.wav", clip("beatrice")
    audio.save(Waveform(np.clip(voice.samples * 6, -1, 1), voice.sample_rate), path)
    listener = ear(text("beatrice"))
    with pytest.raises(VoiceError, match="clipped"):
        add_voice(AddOptions("bea", path), listener)
    assert add_voice(AddOptions("bea", path, force=True), listener).inspection.faults


def test_what_cannot_be_cloned_cannot_be_forced(tmp_path: Path, clip: Clip, ear) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "short.wav"
    audio.save(clip("beatrice").slice_s(0, 2.0), path)
    with pytest.raises(VoiceError, match="s long") as caught:
        add_voice(AddOptions("bea", path, force=True), ear("This in itself."))
    assert "--force" not in caught.value.hint


def test_names_taken_and_impossible(recording: Path, text: Text, ear) -> None:  # type: ignore[no-untyped-def]
    listener = ear(text("imogen"))
    for name in ("", "a.b", "../up", "a b", "x" * 65, "-rf", "."):
        with pytest.raises(VoiceError, match="cannot be the name"):
            add_voice(AddOptions(name, recording), listener)
    with pytest.raises(VoiceError, match="a preset has this name"):
        add_voice(AddOptions("Clara", recording), listener)
    add_voice(AddOptions("anna", recording), listener)
    with pytest.raises(VoiceError, match="exists"):
        add_voice(AddOptions("Anna", recording), listener)
    add_voice(AddOptions("Anna", recording, licence="new", force=True), listener)
    assert names() == ["Anna"]
    assert resolve_voice("anna").licence == "new"


def test_level_is_kept_unless_very_quiet(tmp_path: Path, clip: Clip, text: Text, ear) -> None:  # type: ignore[no-untyped-def]
    listener, voice = ear(text("owen")), clip("owen")
    for name, gain in (("loud", 0.5), ("faint", 0.06)):
        audio.save(Waveform(voice.samples * np.float32(gain), voice.sample_rate), tmp_path / f"{name}.wav", bits=24)
        add_voice(AddOptions(name, tmp_path / f"{name}.wav"), listener)
    loud, faint = (audio.load(resolve_voice(name).audio).samples for name in ("loud", "faint"))
    assert rms_dbfs(loud) == pytest.approx(rms_dbfs(voice.samples * np.float32(0.5)), abs=0.3)
    assert -27.0 < rms_dbfs(faint) < -20.0
    assert peak_dbfs(faint) <= -0.9


def test_a_failure_half_way_leaves_nothing(
    recording: Path,
    text: Text,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    ear,  # type: ignore[no-untyped-def]
) -> None:
    def full(*args: object) -> None:
        raise OutputError("cannot write (no space left on device)")

    monkeypatch.setattr(add_module, "write_card", full)
    with pytest.raises(OutputError):
        add_voice(AddOptions("anna", recording), ear(text("imogen")))
    assert list((home / "voices").iterdir()) == []


def test_error_rate() -> None:
    assert error_rate("Ten men came.", "10 men came", "en") == 0.0
    assert error_rate("one two three four", "one two", "en") == 0.5
    assert error_rate("", "x", "en") is None
    assert error_rate("x", "", "en") is None
