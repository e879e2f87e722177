"""Features by speech code: a batch gathered on a device is what is read row by row from the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from omnitts.training.recipe import TOY
from omnitts.training.run_folder import RunFolder
from omnitts.training.store import CorpusStore
from omnitts.training.tables import Table, gathered
from omnitts.training.tokenizer import TokenizerStage

STRETCHES = [(0, 3), (2, 7), (9, 10), (4, 9)]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Ten codes of two frames of three numbers, and the beginning of an eleventh."""
    np.arange(64, dtype=np.int16).tofile(tmp_path / "some.bin")
    return Table(tmp_path / "some.bin", "int16", 2, 3)


def test_a_table_by_code(table: Table) -> None:
    assert table.read(1, 3).tolist() == [[6, 7, 8], [9, 10, 11], [12, 13, 14], [15, 16, 17]]
    assert table.stored.shape == (10, 6)


def test_gathering_is_reading_row_by_row(table: Table) -> None:
    rows = table.padded(STRETCHES)  # (B, F, width)
    assert rows.shape == (4, 10, 3)
    for row, (first, last) in zip(rows, STRETCHES, strict=True):
        assert torch.equal(row[: 2 * (last - first)], table.read(first, last))
        assert not row[2 * (last - first) :].any()
    found = gathered(torch.from_numpy(np.array(table.stored)), [[stretch] for stretch in STRETCHES])
    assert found.dtype == torch.int16
    assert torch.equal(found.float().view(4, 10, 3), rows)
    assert gathered(torch.arange(10), [[(2, 4), (7, 9)], [(0, 1)]]).tolist() == [[2, 3, 7, 8], [0, 0, 0, 0]]


def test_a_corpus_padded_is_what_it_reads(toy_run: RunFolder) -> None:
    corpus = CorpusStore(toy_run.corpus)
    spans = [(0, 1, 9), (3, 4, 20), *corpus.whole([5])]
    for kind in ("wave", "log_mel", "pitch"):
        rows = corpus.padded(kind, spans)
        for row, span in zip(rows, spans, strict=True):
            own = corpus.read(kind, *span)
            assert torch.equal(row[: len(own)], own)
            assert not row[len(own) :].any()


def test_codes_of_many_clips_at_once(toy_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU codes them; a clip's codes do not depend on those beside it."""
    stage = TokenizerStage(CorpusStore(toy_run.corpus), TOY.tokenizer, TOY.seed)
    stage.networks.eval()
    codes = stage.codes()
    batches: list[int] = []
    heard = stage._heard

    def noted(batch: list[int]) -> Tensor:
        batches.append(len(batch))
        return heard(batch)

    monkeypatch.setattr(stage, "_heard", noted)
    monkeypatch.setattr("omnitts.training.tokenizer._CODED_ALONE_ON", ())
    assert float((stage.codes() == codes).mean()) > 0.99
    assert max(batches) > 1
