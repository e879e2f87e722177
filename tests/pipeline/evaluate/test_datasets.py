"""Published layouts of the benchmarks, and what is said about copies that are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitts.errors import InputError
from omnitts.pipeline.evaluate.datasets import EvalItem, read_dataset
from tests.pipeline.evaluate.sets import write_long, write_seed


def test_long_items_have_two_references_where_there_are(tmp_path: Path) -> None:
    first, second = read_dataset("long-tts-eval", write_long(tmp_path / "set"))
    text, read = "It was in 1984.", "It was in nineteen eighty four."
    assert first == EvalItem("a", "en", "en", text, (text, read))
    assert second.references == ("The sea was calm.",)


@pytest.mark.parametrize(
    ("name", "item", "subset"),
    [
        ("zh.json", {"text": "你好。"}, "zh"),
        ("hard_zh.json", {"text": "你好。"}, "zh-hard"),
        ("long-tts-eval-en-hard.jsonl", {"text": "E = mc2."}, "en-hard"),
        ("all.json", {"text": "Hello.", "category": "en_hard"}, "en-hard"),
        ("test.json", {"text": "你好。"}, "zh"),
        ("test.json", {"text": "Hello.", "subset": "english"}, "en"),
    ],
)
def test_subsets_are_told_by_field_file_or_text(tmp_path: Path, name: str, item: dict[str, str], subset: str) -> None:
    (tmp_path / name).write_text(json.dumps(item if name.endswith("l") else {"data": [item]}), encoding="utf-8")
    (read,) = read_dataset("long-tts-eval", tmp_path / name)
    assert (read.subset, read.language) == (subset, subset[:2])
    assert read.id == f"{Path(name).stem}-1"


def test_seed_lists(tmp_path: Path) -> None:
    folder = write_seed(tmp_path / "set")
    (folder / "en" / "non_para_reconstruct_meta.lst").write_text("another task")
    english, chinese = read_dataset("seed-tts-eval", folder)
    assert (english.id, english.subset, english.text) == ("u1", "en", "Don't go, Anna!")
    assert english.prompt_audio == folder / "en" / "prompt-wavs" / "p.flac"
    assert (chinese.subset, chinese.language, chinese.text) == ("zh-hard", "zh", "今天天气，真不错。")
    assert read_dataset("seed-tts-eval", folder / "en" / "meta.lst") == [english]


def test_damaged_copies_are_named_by_line(tmp_path: Path) -> None:
    file = tmp_path / "en.jsonl"
    for text, message in (
        ('{"text": "Hello."}\n{"id": "b"}\n', r"item 2: the item has no text"),
        ('{"text": "..."}\n', "no word in it"),
        ("{", "cannot be read as JSON"),
        ('"Hello."\n', "not an object"),
        ('{"id": "a", "text": "One."}\n{"id": "a", "text": "Two."}\n', "two items of en are called 'a'"),
        ("", r"nothing of long-tts-eval is here.*parquet"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_dataset("long-tts-eval", file)
    folder = write_seed(tmp_path / "seed")
    (folder / "en" / "meta.lst").write_text("u1|words|gone.wav|Text.\n")
    with pytest.raises(InputError, match=r"line 1: the prompt gone.wav is not there"):
        read_dataset("seed-tts-eval", folder)
    (folder / "en" / "meta.lst").write_text("u1|words|gone.wav\n")
    with pytest.raises(InputError, match="four columns"):
        read_dataset("seed-tts-eval", folder)
    with pytest.raises(InputError, match="no such file or folder"):
        read_dataset("seed-tts-eval", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"read from \.lst files"):
        read_dataset("seed-tts-eval", file)
