"""A reader's file holds all that it needs; a damaged one is named; spelling is CTC's loss and an edit distance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.reading.labels import Alphabet, unblank
from omnitts.models.reading.text_reader import READER, TextReader
from tests.models.reading.random_reader import LEVELS, random_text_reader

CODES = (5, 9, 60, 60, 1, 33, 17, 2)


def test_what_is_saved_is_opened(tmp_path: Path) -> None:
    saved = random_text_reader()
    saved.save(tmp_path / READER)
    opened = TextReader.open(tmp_path / READER)
    assert [path.name for path in tmp_path.iterdir()] == [READER]
    assert opened.codes.quantiser.sizes.tolist() == list(LEVELS)
    assert opened.labels("A cab!", "en-us") == saved.labels("A cab!", "en-us") == (1, 3, 1, 2)
    codes = torch.tensor([CODES])
    assert torch.allclose(opened.codes.read(codes), saved.codes.read(codes), atol=0.02)  # float16


def test_sounds_are_those_of_the_accent_and_of_no_other_language() -> None:
    reader = TextReader(random_text_reader().codes, Alphabet.of(["ðəkɑɹpɑɹkwʌzfɑɹɒ"]), "phonemes")
    american = reader.labels("The car park was far.", "American", "en")
    assert american == reader.labels("The car park was far.", "en-us") == reader.labels("The car park was far.", "en")
    british = reader.labels("The car park was far.", "British", "en")
    assert british == reader.labels("The car park was far.", "en-GB")
    assert len(british) < len(american)
    assert reader.labels("Ein Auto.", "de", "de") == ()
    assert random_text_reader().labels("Ein Auto.", "de", "de"), "characters know no language"


@pytest.mark.parametrize("content", [b"", b"no tensors at all", None])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / READER
    if content is None:
        random_text_reader().save(path)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ModelError, match="spelling reader cannot be opened") as caught:
        TextReader.open(path)
    assert caught.value.where == str(path)


def test_a_reader_without_notes_is_named(tmp_path: Path) -> None:
    from omnitts.models.reading.reader_file import write_reader

    write_reader(random_text_reader().codes, tmp_path / READER)
    with pytest.raises(ModelError, match="spelling reader cannot be opened"):
        TextReader.open(tmp_path / READER)


def test_spelling_is_what_the_reader_reads() -> None:
    reader = random_text_reader()
    read = reader.codes.read(torch.tensor([CODES]))[0]
    says = unblank(read.argmax(-1).tolist())
    assert len(says) > 2
    right = reader.spelling(CODES, says)
    assert right.misread == 0
    assert right.loss > 0
    wrong = reader.spelling(CODES, [*says[:-1], says[-1] % 26 + 1])
    assert wrong.misread == pytest.approx(1 / len(says))
    assert wrong > right
    assert reader.spelling(CODES, [1] * 20).loss == float("inf")
