"""What the recogniser hears of a corpus: one row per 20 ms, made once, gone on with; and a tokenizer with its ears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import UsageError
from omnitts.models.codec.loading import TOKENIZER
from omnitts.models.codec.onnx_session import OnnxNetwork
from omnitts.training import hearing
from omnitts.training.hearing import hear, open_ears
from omnitts.training.recipe import TOY
from omnitts.training.recogniser import Recogniser
from omnitts.training.run_folder import RunFolder
from omnitts.training.store import INDEX, CorpusStore
from omnitts.training.tokenizer import TokenizerStage, export_tokenizer
from tests.training.tiny_whisper import WIDTH, tiny_encoder, write_whisper

EARS = replace(TOY.tokenizer, levels=(4, 4, 4), asr_weight=2.0, ear_layers=2)


class _Model:
    def __init__(self, folder: Path) -> None:
        self.folder = folder


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A tiny recogniser on this machine; the names asked for are noted."""
    folder = write_whisper(tmp_path / "whisper", tiny_encoder())
    asked: list[str] = []

    def find(name: str) -> _Model:
        asked.append(name)
        return _Model(folder)

    monkeypatch.setattr(hearing, "find_asr_model", find)
    return asked


def test_rows_are_the_recognisers_states(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    teacher, ears = hear(corpus, tmp_path, 2)
    assert ears is not None
    recogniser = open_ears()
    for index, utterance in enumerate(corpus.utterances):
        with torch.no_grad():
            expected = recogniser.lower(2)(corpus.read("log_mel", index).T[None])[0]
        own = ears.read(index)
        assert own.shape == (2 * utterance.num_codes, WIDTH)
        assert float((own - expected).norm() / expected.norm()) < 0.03  # bfloat16
        assert teacher.read(index).shape == (2 * utterance.num_codes, 64)
    varies = torch.cat([teacher.read(index) for index in range(len(corpus.utterances))]).var(dim=0)
    assert float(varies.mean()) == pytest.approx(1, rel=0.1)
    assert float(varies[0]) > float(varies[-1])  # the strongest direction first


def test_made_once_and_gone_on_with(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    hear(corpus, tmp_path, 2)
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("*.bin")}
    assert set(whole) == {"asr_states.bin", "ears.bin"}
    hear(corpus, tmp_path, 2)
    assert len(opened) == 1
    stopped = tmp_path / "ears.bin"
    stopped.write_bytes(whole["ears.bin"][: len(whole["ears.bin"]) // 2 + 11])
    hear(corpus, tmp_path, 2)
    assert len(opened) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.bin")} == whole


def test_a_corpus_that_has_grown(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    lines = (toy_run.corpus / INDEX).read_bytes().splitlines(keepends=True)
    small = tmp_path / "corpus"
    small.mkdir()
    for path in toy_run.corpus.glob("*.bin"):
        (small / path.name).symlink_to(path)
    (small / INDEX).write_bytes(b"".join(lines[:3]))
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    first = hear(CorpusStore(small), folder, 2)[0].read(1)
    (small / INDEX).write_bytes(b"".join(lines))
    corpus = CorpusStore(small)
    teacher, ears = hear(corpus, folder, 2)
    assert torch.equal(teacher.read(1), first)
    assert ears is not None
    assert ears.read(len(corpus.utterances) - 1).abs().sum() > 0


def test_another_corpus_is_heard_anew(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    """Of the very lengths of the one before, in the same folder."""
    corpus = CorpusStore(toy_run.corpus)
    hear(corpus, tmp_path, 2)
    corpus.utterances[0] = replace(corpus.utterances[0], id="another")
    (tmp_path / "ears.bin").write_bytes(b"\0" * (tmp_path / "ears.bin").stat().st_size)
    ears = hear(corpus, tmp_path, 2)[1]
    assert len(opened) == 2
    assert ears is not None
    assert ears.read(0).abs().sum() > 0


def test_the_teacher_alone(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    _, ears = hear(corpus, tmp_path)
    assert ears is None
    assert not (tmp_path / "ears.bin").exists()
    assert not torch.equal(_first_heard(corpus, tmp_path, 1), _first_heard(corpus, tmp_path, 2))


def _first_heard(corpus: CorpusStore, folder: Path, layer: int) -> torch.Tensor:
    ears = hear(corpus, folder, layer)[1]
    assert ears is not None
    return ears.read(0)


def test_the_tokenizer_learns_to_rebuild_them(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    recipe = replace(EARS, ear_layers=0, augment=True)
    stage = TokenizerStage(corpus, recipe, 0, hear(corpus, tmp_path)[0])
    losses = _learn(stage)
    expected = losses["spelling"] + recipe.mel_weight * losses["mel"] + 2.0 * losses["asr"]
    assert float(losses["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert stage.tokenizer.encoder.narrow.weight.grad is not None


def test_codes_of_the_exported_file(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    """The file hears sound as the stage heard the table: but for bfloat16 and float16 the same codes."""
    corpus = CorpusStore(toy_run.corpus)
    stage = TokenizerStage(corpus, EARS, 0, *hear(corpus, tmp_path, 2))
    _learn(stage)
    stage.networks.eval()
    codes = stage.codes()
    assert len(codes) == corpus.num_codes
    assert len(np.unique(codes)) > 3
    path = tmp_path / TOKENIZER
    export_tokenizer(stage.tokenizer, EARS, path)
    session = OnnxNetwork(path, num_inputs=2, num_threads=1)
    same = 0
    for index, utterance in enumerate(corpus.utterances):
        feature = corpus.read("log_mel", index).T[None].contiguous().numpy()
        ids = session.run(feature, np.array([feature.shape[2]], np.int32)).reshape(-1)
        assert len(ids) == utterance.num_codes
        same += int((ids == codes[utterance.offset : utterance.offset + utterance.num_codes]).sum())
    assert same / corpus.num_codes > 0.9


def test_exported_matrices_take_a_byte_a_number(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    stage = TokenizerStage(corpus, EARS, 0, *hear(corpus, tmp_path, 2))
    path = tmp_path / TOKENIZER
    export_tokenizer(stage.tokenizer.eval(), EARS, path)
    numbers = sum(weight.numel() for weight in _lower_two().parameters())
    assert path.stat().st_size < 1.5 * numbers


def test_augmentation_needs_sound(toy_run: RunFolder, opened: list[str], tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    with pytest.raises(UsageError, match="cannot be augmented"):
        TokenizerStage(corpus, replace(EARS, augment=True), 0, *hear(corpus, tmp_path, 2))


def _lower_two() -> Recogniser:
    return open_ears().lower(2)


def _learn(stage: TokenizerStage) -> dict[str, torch.Tensor]:
    stage.networks.train()
    losses = stage.losses([0, 1], 0)
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    return {name: value.detach() for name, value in losses.items()}
