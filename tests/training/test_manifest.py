"""Recordings from manifests and folders; nothing held out gets through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.errors import InputError
from omnitts.training.manifest import HeldOut, Recording, read_recordings, read_sentences, without


def test_a_json_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    line = {"audio": "clips/a.opus", "text": "Hello.", "speaker": "anna", "accent": "en-gb"}
    manifest.write_text(json.dumps(line) + "\n\n", encoding="utf-8")
    assert read_recordings(manifest) == [Recording("clips/a", tmp_path / "clips" / "a.opus", "Hello.", "anna", "en-gb")]


def test_a_table(tmp_path: Path) -> None:
    table = tmp_path / "m.tsv"
    table.write_text("a.wav\tanna\tHello.\nb.wav\tbert\tGood day.\ten-gb\n", encoding="utf-8")
    assert [(item.speaker, item.text, item.accent) for item in read_recordings(table)] == [
        ("anna", "Hello.", "en-us"),
        ("bert", "Good day.", "en-gb"),
    ]


def test_a_folder_of_speakers(tmp_path: Path) -> None:
    for speaker in ("anna", "bert"):
        (tmp_path / speaker).mkdir()
        (tmp_path / speaker / "one.wav").touch()
        (tmp_path / speaker / "one.txt").write_text("Hello.\n", encoding="utf-8")
    (tmp_path / "anna" / "untold.wav").touch()
    assert [(item.id, item.speaker, item.text) for item in read_recordings(tmp_path)] == [
        ("anna/one", "anna", "Hello."),
        ("bert/one", "bert", "Hello."),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{broken\n", "line 1"),
        ('{"audio": "a.wav", "speaker": "anna"}\n', "text is missing"),
        ('{"audio": "a.wav", "speaker": "a", "text": "x"}\n' * 2, "two recordings"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, said: str) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_recordings(manifest)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording"):
        read_recordings(tmp_path)


def test_voices_and_sentences_are_held_out_by_name(tmp_path: Path) -> None:
    sentences = tmp_path / "held.tsv"
    sentences.write_text("book\tAll is well — “said he”.\n", encoding="utf-8")
    held_out = HeldOut.of(["am_puck"], read_sentences(sentences))
    given = [
        Recording("1", Path("1"), "Fine.", "am_puck"),
        Recording("2", Path("2"), "Fine.", "af_sky*0.4+am_puck*0.6"),
        Recording("3", Path("3"), "all is well, said he", "af_sky"),
        Recording("4", Path("4"), "Fine.", "am_puckish"),
        Recording("5", Path("5"), "All is well, said he, and left.", "af_sky"),
    ]
    assert [recording.id for recording in without(given, held_out)] == ["4", "5"]
