"""Rows as they come against rows at the end: the same codes, each as early as it can be known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts.models.mgm_omni.row_stream import SoundingRows
from omnitts.models.mgm_omni.speech_rows import speech_codes
from tests.models.mgm_omni.test_speech_rows import vocabulary_of

VOCABULARY = vocabulary_of({"tokenizer_text_size": 50, "tokenizer_speech_size": 20, "speech_token_count": 2})
K = VOCABULARY.codes_per_row


def sequence_of(chunks: list[list[list[int]]]) -> list[list[int]]:
    """Rows (text id, then K codes) of chunks of codes: separators between them, ended as the mouth ends."""
    rows: list[list[int]] = []
    for place, chunk in enumerate(chunks):
        if place:
            rows.append([VOCABULARY.audio_sep, *[0] * K])
        rows += [[1, *codes] for codes in chunk]
    return [*rows, [VOCABULARY.audio_end, *[0] * K], [1, *[0] * K]]


def streamed(rows: list[list[int]], dropped_rows: int) -> list[int]:
    stream = SoundingRows(VOCABULARY, dropped_rows)
    return [code for row in rows for codes in stream.push(row) for code in codes]


codes = st.lists(st.integers(0, 19), min_size=K, max_size=K)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(codes, min_size=1, max_size=6), min_size=1, max_size=4), st.integers(0, 2))
def test_the_same_codes_as_of_the_finished_sequence(chunks: list[list[list[int]]], dropped_rows: int) -> None:
    rows = sequence_of(chunks)
    assert streamed(rows, dropped_rows) == speech_codes(torch.tensor(rows), VOCABULARY, dropped_rows).tolist()


@pytest.mark.parametrize("dropped_rows", [0, 1])
def test_one_row_is_held_back_and_no_more(dropped_rows: int) -> None:
    stream = SoundingRows(VOCABULARY, dropped_rows)
    given_out = [list(stream.push([1, 3, place])) for place in range(5)]
    assert [len(found) for found in given_out] == [0] * (1 + dropped_rows) + [1] * (4 - dropped_rows)
    assert given_out[-1] == [[3, 3]]


def test_nothing_is_heard_after_the_end() -> None:
    rows = sequence_of([[[1, 2], [3, 4], [5, 6]]])
    assert streamed([*rows, [1, 7, 7], [1, 7, 7], [1, 7, 7]], 0) == [1, 2, 3, 4]
