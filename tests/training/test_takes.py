"""Takes: those that a reader could follow are kept, learnt from, and never a reference."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.cli import app as command_line
from omnitts.engines.base import SpeechRequest
from omnitts.engines.sequence import Sequence
from omnitts.engines.steering import Particles
from omnitts.errors import InputError
from omnitts.models.mgm_omni.generate import SpeechResult
from omnitts.models.mgm_omni.text_feed import Failure
from omnitts.training.batching import mixed
from omnitts.training.lm_corpus import open_lm_corpus
from omnitts.training.lm_data import LmData
from omnitts.training.recipe import TOY
from omnitts.training.run_folder import RunFolder, write_json
from omnitts.training.speech_lm import new_model, open_language
from omnitts.training.speech_lm_stage import SpeechLmStage
from omnitts.training.store import CorpusStore
from omnitts.training.takes import _take
from omnitts.training.takes_file import FOLDER, TAKES, CorpusTake, append_takes, mend_takes, read_takes
from tests.training.test_speech_lm import SIZES, data_of


@pytest.fixture
def bare_run(toy_run: RunFolder, tmp_path: Path) -> RunFolder:
    """The toy run, to change as one likes."""
    return RunFolder(shutil.copytree(toy_run.root, tmp_path / "run"))


def test_a_take_is_said_by_itself_and_never_a_reference(toy_run: RunFolder) -> None:
    data = data_of(toy_run, replace(SIZES, joined_share=1.0))
    takes = [replace(data.utterances[place], take_of=place) for place in (0, 3)]
    _, config, vocabulary, prompts, coder = open_language(toy_run)
    voices = np.ones((14, 2), np.float32)
    both = LmData([*data.utterances, *takes], voices, prompts, vocabulary, coder, SIZES, 0.0, config.dropped_rows)
    for place, recorded in ((12, 0), (13, 3)):
        for seed in range(12):
            choice = both._choose(place, random.Random(seed), alone=False)
            assert choice.spoken == (place,)
            assert choice.reference < 12
            assert choice.reference != recorded
    for place in range(12):
        assert max(both._choose(place, random.Random(7), alone=False).spoken) < 12
    sizes = replace(TOY.speech_lm, takes_share=0.5)
    stage = SpeechLmStage(new_model(config, 0), both, {1}, sizes, 0)
    learnt = {number % 14 for epoch in range(6) for batch in stage.batches(epoch) for number in batch}
    assert learnt >= {12, 13}
    assert 1 not in learnt


def test_of_too_much_a_random_part_is_taken() -> None:
    taken = [mixed(range(100), range(100, 110), lambda _: 2.0, 0.5, 0, epoch) for epoch in range(40)]
    assert all(set(part) >= set(range(100, 110)) for part in taken)
    assert sum(len(part) - 10 for part in taken) / 40 == pytest.approx(10, abs=2)
    assert len({tuple(part) for part in taken}) > 30
    assert mixed([1, 2], [], lambda _: 1.0, 0.5, 0, 0) == [1, 2]
    assert mixed([1, 2], [3], lambda _: 1.0, 1.0, 0, 0) == [3]
    assert mixed([1, 2], [3], lambda _: 1.0, 0.0, 0, 0) == [1, 2]


def test_takes_are_kept_and_learnt_from(bare_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy model cannot speak, so the choice is replaced: every other text is said in 12 rows, its end behind."""
    rows = torch.tensor([[0, 7, 7, 7, 7]]).repeat(TOY.speech_lm.pre_pad + 12 + 3, 1)
    misread = itertools.cycle([0.1, 0.9])
    monkeypatch.setattr(Particles, "best", lambda *_: (SpeechResult(rows, ()), next(misread)))
    monkeypatch.setattr("omnitts.training.takes._PACE", (0.0, 9.0))
    root = str(bare_run.root)
    assert command_line.run(["train", "takes", root, "--hours", "0.002", "--threads", "1"]) == 0
    path = bare_run.root / FOLDER / TAKES
    takes = read_takes(path)
    assert 7.2 <= sum(take.seconds for take in takes) < 60
    held_back = {item.id for item in CorpusStore(bare_run.corpus).utterances if item.held_back}
    assert not {take.id for take in takes} & held_back
    first = path.read_bytes()
    path.write_bytes(first + b'{"id": "cut o')
    assert command_line.run(["train", "takes", root, "--hours", "0.001", "--threads", "1"]) == 0
    assert path.read_bytes().startswith(first)
    assert len(read_takes(path)) > len(takes)
    recipe = json.loads((bare_run.root / "recipe.json").read_text())
    recipe["speech_lm"] |= {"takes_share": 0.5, "spelling_weight": 0.5, "own_share": 0.3}
    recipe["speech_lm"]["plan"]["steps"] += 4  # the same run goes on
    write_json(bare_run.root / "recipe.json", recipe)
    assert command_line.run(["train", "speech-lm", root, "--threads", "1"]) == 0
    losses = [json.loads(line) for line in (bare_run.root / "speech-lm" / "losses.jsonl").read_text().splitlines()]
    assert losses[-1]["step"] == recipe["speech_lm"]["plan"]["steps"]
    assert "spelling" in losses[-2]


def test_a_take_at_another_pace_is_none(toy_run: RunFolder) -> None:
    corpus = open_lm_corpus(toy_run, for_takes=True)
    num_codes = len(corpus.data.utterances[2].codes)

    def take_of(num_rows: int, *failures: Failure) -> object:
        rows = torch.tensor([[0, 7, 7, 7, 7]]).repeat(corpus.config.dropped_rows + num_rows + 3, 1)
        said = Sequence(SpeechRequest("2", ""), None, result=SpeechResult(rows, failures), misread=0.05)  # type: ignore[arg-type]
        return _take(corpus, said)

    usual = num_codes // 4
    assert take_of(usual) == CorpusTake(corpus.ids[2], (7,) * 4 * usual, 0.05)
    assert take_of(usual // 2) is None
    assert take_of(2 * usual) is None
    assert take_of(usual, Failure.ROW_LIMIT) is None


def test_a_model_that_cannot_speak_yet_is_told_so(bare_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        command_line.run(["train", "takes", str(bare_run.root), "--takes", "2", "--threads", "1"])
        == InputError.exit_code
    )
    assert "train the speech LM for longer first" in capsys.readouterr().err


def test_a_recipe_that_wants_takes_says_how_they_are_made(
    bare_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = json.loads((bare_run.root / "recipe.json").read_text())
    recipe["speech_lm"]["takes_share"] = 0.5
    write_json(bare_run.root / "recipe.json", recipe)
    assert command_line.run(["train", "speech-lm", str(bare_run.root), "--threads", "1"]) == InputError.exit_code
    assert "omnitts train takes" in capsys.readouterr().err


def test_a_damaged_file_of_takes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "folder" / TAKES
    mend_takes(path)
    assert read_takes(path) == []
    append_takes(path, [])
    path.write_text('{"id": 3}\n')
    with pytest.raises(InputError, match="takes cannot be read"):
        read_takes(path)


def test_a_corpus_that_cannot_be_said_ends_in_words(
    bare_run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("omnitts.training.takes._Scripts._sequence", lambda *_: None)
    assert command_line.run(["train", "takes", str(bare_run.root), "--hours", "0.002", "--threads", "1"]) == 4
    assert "no utterance of the corpus can be said" in capsys.readouterr().err
