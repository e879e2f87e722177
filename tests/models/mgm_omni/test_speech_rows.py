"""Rows into speech codes: recorded cases, and what is left of very short ones."""

from __future__ import annotations

import re

import pytest
import torch

from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.speech_rows import blocks, speech_codes
from omnitts.models.mgm_omni.vocabulary import PUBLISHED_BLANK_CODES, PUBLISHED_SILENCE_CODE, SpeechVocabulary
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenCase, max_error


def vocabulary_of(config: dict[str, int]) -> SpeechVocabulary:
    """As much of a vocabulary as the case's config.json tells: ids, no text flags."""
    return SpeechVocabulary(
        text_size=config["tokenizer_text_size"],
        codebook_size=config["tokenizer_speech_size"],
        codes_per_row=config.get("speech_token_count", 4),
        text_pad=0,
        text_eos=0,
        refer_pad=0,
        silence_code=PUBLISHED_SILENCE_CODE,
        blank_codes=PUBLISHED_BLANK_CODES,
        ends_sentence=b"",
        is_blank_text=b"",
    )


@pytest.mark.golden("token2audio")
def test_recorded_rows(golden_case: GoldenCase, golden_record: GoldenRecord) -> None:
    vocabulary = vocabulary_of(golden_case.config)
    for file in golden_case.runs:
        tensors = file.tensors()
        names = [name.removesuffix("sequences") for name in tensors if name.endswith("sequences")]
        assert names
        for name in names:
            meta = golden_case.meta.get("runs", {}).get(name.rstrip("."), {})
            named = re.search(r"prepad(\d+)", name)
            default = int(named[1]) if named else golden_case.config.get("speech_token_pre_pad", 1)
            rows = tensors[f"{name}sequences"]
            before = rows.clone()
            codes = speech_codes(rows, vocabulary, meta.get("speech_token_pre_pad", default))
            golden_record(f"{name}tokens", max_error(codes, tensors[f"{name}tokens"].flatten()), 0)
            assert [len(block) for block in blocks(codes)] == tensors[f"{name}call_lengths"].tolist()
            assert torch.equal(rows, before), "trap 11: the rows are not altered"


@pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 4])
def test_trap_31_nothing_left_is_empty_not_a_crash(tiny_mouth: Mouth, num_rows: int) -> None:
    codes = speech_codes(torch.ones(num_rows, 5, dtype=torch.int64), tiny_mouth.vocabulary, 1)
    assert codes.shape == (0,)
    assert blocks(codes) == []


def test_trap_26_eos_and_pad_inside_kept_rows_are_silence(tiny_mouth: Mouth) -> None:
    rows = torch.ones(6, 5, dtype=torch.int64)
    rows[1, 1:] = torch.tensor([6561, 6562, 6560, 5])
    codes = speech_codes(rows, tiny_mouth.vocabulary, 1)
    assert codes.tolist() == [6486, 6486, 6560, 5, 1, 1, 1, 1]


def test_trap_11_a_cut_generation_loses_its_last_three_rows(tiny_mouth: Mouth) -> None:
    rows = torch.arange(10)[:, None].expand(10, 5).contiguous()
    codes = speech_codes(rows, tiny_mouth.vocabulary, dropped_rows=2)
    assert codes.view(-1, 4)[:, 0].tolist() == [2, 3, 4, 5, 6]
