"""Takes: the score is CTC's own, the search beats blind drawing, a take is learnt from and never a reference."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from omnitts.cli import app as command_line
from omnitts.errors import InputError
from omnitts.models.kv_cache import KVCache
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.training.batching import mixed
from omnitts.training.lm_data import LmData
from omnitts.training.reading import READER, open_reader
from omnitts.training.recipe import TOY
from omnitts.training.run_folder import RunFolder, write_json
from omnitts.training.speech_lm import new_model, open_language
from omnitts.training.speech_lm_stage import SpeechLmStage
from omnitts.training.spelling_score import SpellingScore
from omnitts.training.store import CorpusStore
from omnitts.training.take_search import Script, Take, TakeSearch
from omnitts.training.takes_file import FOLDER, TAKES, append_takes, mend_takes, read_takes
from omnitts.training.tokenizer_network import CodeReader
from tests.training.test_speech_lm import SIZES, data_of

LABELS = (1, 2, 2, 3)


@pytest.fixture
def reader(toy_run: RunFolder) -> CodeReader:
    return open_reader(toy_run.root / "tokenizer" / READER, toy_run.recipe().tokenizer)[0]


@pytest.fixture
def vocabulary(toy_run: RunFolder) -> SpeechVocabulary:
    return open_language(toy_run)[2]


@pytest.fixture
def bare_run(toy_run: RunFolder, tmp_path: Path) -> RunFolder:
    """The toy run, to change as one likes."""
    return RunFolder(shutil.copytree(toy_run.root, tmp_path / "run"))


class AnyCode:
    """A speech LM to which every code is as likely as any other, and which ends after some rows."""

    def __init__(self, vocabulary: SpeechVocabulary, num_rows: int) -> None:
        self._vocabulary, self._num_rows, self._row = vocabulary, num_rows, 0

    def new_cache(self, num_rows: int, max_length: int) -> KVCache:
        return KVCache.allocate(
            (1,), num_rows=num_rows, max_length=max_length, head_dim=2, dtype=torch.float32, device="cpu"
        )

    def __call__(self, rows: Tensor, cache: KVCache, counts: Tensor | None = None, span: int | None = None) -> Tensor:
        self._row = 0 if counts is not None else self._row + 1
        logits = torch.zeros(len(rows), self._vocabulary.codes_per_row, self._vocabulary.codebook_size)
        logits[..., self._vocabulary.speech_eos :] = -99.0
        if self._row >= self._num_rows:
            logits[..., self._vocabulary.speech_eos] = 99.0
        return logits


def test_the_score_is_the_chance_of_the_labels(reader: CodeReader) -> None:
    """However the codes come in, and whatever stands behind the end."""
    codes = torch.randint(64, (3, 24), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([20, 16, 12])
    score = SpellingScore(reader, [LABELS, (4, 1), (2,)])
    with torch.no_grad():
        read = reader(reader.quantiser.rounded_of(codes), torch.ones(3, 24, 1)).log_softmax(-1)
        for until in (4, 8, 9, 17, 24):
            score.read_on(codes[:, :until], lengths)
    labels = torch.tensor([*LABELS, 4, 1, 2])
    losses = torch.nn.functional.ctc_loss(
        read.transpose(0, 1), labels, lengths, torch.tensor([4, 2, 1]), reduction="none"
    )
    worth = 0.4 * torch.tensor([4.0, 2.0, 1.0])
    assert torch.allclose(score.scores(torch.ones(3, dtype=torch.bool)), worth - losses, atol=1e-3)
    before = score.scores(torch.zeros(3, dtype=torch.bool))
    score.reorder(torch.tensor([0, 1, 2]))
    assert torch.equal(score.scores(torch.zeros(3, dtype=torch.bool)), before)


def test_saying_nothing_is_worth_less_than_saying_it_well(reader: CodeReader) -> None:
    """An end before the text is over loses to every take that goes on."""
    codes = torch.randint(64, (2, 16), generator=torch.Generator().manual_seed(1))
    score = SpellingScore(reader, [LABELS * 6, LABELS * 6])  # more labels than codes: nobody can be through
    with torch.no_grad():
        score.read_on(codes, torch.tensor([16, 16]))
    ended = score.scores(torch.tensor([True, False]))
    assert ended[0] < ended[1] - 100


def test_a_reader_who_follows_finds_better_takes(reader: CodeReader, vocabulary: SpeechVocabulary) -> None:
    prompt = torch.zeros(3, 1 + vocabulary.codes_per_row, dtype=torch.int64)
    script = Script(prompt, (5, 6), (1, 2, 3, 1, 4, 2), 8)

    def misread(num_takes: int) -> float:
        torch.manual_seed(0)
        search = TakeSearch(AnyCode(vocabulary, 10), vocabulary, reader, 2, num_takes)  # type: ignore[arg-type]
        takes = search.best([script] * 24)
        assert all(take is not None and len(take.codes) == 8 * vocabulary.codes_per_row for take in takes)
        return sum(take.misread for take in takes if take) / len(takes)

    assert misread(16) < 0.8 * misread(1)


def test_a_take_that_never_ends_is_none(reader: CodeReader, vocabulary: SpeechVocabulary) -> None:
    script = Script(torch.zeros(3, 1 + vocabulary.codes_per_row, dtype=torch.int64), (5,), (1, 2), 4)
    search = TakeSearch(AnyCode(vocabulary, 10_000), vocabulary, reader, 2, 2)  # type: ignore[arg-type]
    assert search.best([script]) == [None]


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


def said_well(search: TakeSearch, scripts: list[Script]) -> list[Take | None]:
    """In place of the search, whose toy model cannot speak: every other text is said at its length."""
    return [Take((7,) * 4 * script.num_rows, 0.1) if place % 2 else None for place, script in enumerate(scripts)]


def test_takes_are_kept_and_learnt_from(bare_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TakeSearch, "best", said_well)
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
