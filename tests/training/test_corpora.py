"""The scripts that make or unpack corpora: what they name, what they leave out, and that they go on."""

from __future__ import annotations

import importlib.util
import io
import json
import random
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from omnitts.training.manifest import HeldOut, read_recordings, without

SCRIPTS = Path(__file__).parent.parent.parent / "training" / "corpora"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Two clips in a tar, one in the voices' tar, and their lists."""
    folder = tmp_path / "packed"
    folder.mkdir()
    for tar, names in (("speech-00.tar", ("k0.opus", "k1.opus")), ("voices.tar", ("anna_0.opus", "bf_bea_0.opus"))):
        with tarfile.open(folder / tar, "w") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 4
                archive.addfile(member, io.BytesIO(b"clip"))
    speakers = ({"anna": 1.0}, {"carl": 0.25, "bea": 0.75})
    lines = [
        {"id": f"k{i}", "text": "Hello.", "speaker": speaker, "accent": "en-us"} for i, speaker in enumerate(speakers)
    ]
    (folder / "meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    voices = [{"id": f"{voice}_0", "voice": voice, "text": "Good day."} for voice in ("anna", "bf_bea")]
    (folder / "voices.jsonl").write_text("".join(json.dumps(line) + "\n" for line in voices))
    (folder / "heldout_sentences.tsv").write_text("book\tGood day.\n")
    return folder


def test_a_packed_corpus_becomes_manifests(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["unpack_tars", str(packed), str(out)])
    unpack = script("unpack_tars")
    assert unpack.main() == 0
    assert unpack.main() == 0
    speech = read_recordings(out / "speech.jsonl")
    assert [recording.speaker for recording in speech] == ["anna", "bea*0.75+carl*0.25"]
    assert all(recording.audio.read_bytes() == b"clip" for recording in speech)
    assert [recording.id for recording in without(speech, HeldOut.of(["carl"], []))] == ["k0"]
    assert [(voice.text, voice.accent) for voice in read_recordings(out / "voices.jsonl")] == [
        ("Good day.", "en-us"),
        ("Good day.", "en-gb"),
    ]


def test_a_folder_that_is_no_corpus_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["unpack_tars", str(tmp_path), str(tmp_path / "out")])
    assert script("unpack_tars").main() == 4
    assert "meta.jsonl" in capsys.readouterr().err


def test_speakers_are_drawn_by_number() -> None:
    kokoro = script("kokoro_corpus")
    names = ["af_sky", "am_adam", "bf_emma", "jf_alpha", "zm_yunxi"]
    speakers = [kokoro.draw_speaker(names, random.Random(number)) for number in range(200)]
    assert speakers == [kokoro.draw_speaker(names, random.Random(number)) for number in range(200)]
    single = [speaker for speaker in speakers if len(speaker) == 1]
    assert 60 < len(single) < 140
    assert all(next(iter(speaker))[0] in "ab" for speaker in single)
    assert all(abs(sum(speaker.values()) - 1) < 0.01 for speaker in speakers)
    assert kokoro.label({"b": 0.4, "a": 0.6}) == "a*0.6+b*0.4"
    assert kokoro.label({"a": 1.0}) == "a"


def test_clips_of_people_become_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "reader"
    folder.mkdir(parents=True)
    (folder / "transcription").write_text("<s> he was not there </s> (one)\nnever heard (two)\n\n", encoding="utf-8")
    (folder / "one.wav").write_bytes(b"clip")
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["human_clips", str(tmp_path / "data"), str(out)])
    assert script("human_clips").main() == 0
    (recording,) = read_recordings(out / "speech.jsonl")
    assert (recording.text, recording.speaker) == ("He was not there.", "reader")
    assert recording.audio.read_bytes() == b"clip"
    monkeypatch.setattr(sys, "argv", ["human_clips", str(out), str(out)])
    assert script("human_clips").main() == 4
