"""Ids and flags of the vocabulary, against a decode of every token, and of other codebooks."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, decoders, models

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.vocabulary import PUBLISHED_BLANK_CODES, build_vocabulary, text_flags
from tests.models.golden_cases import SHIPPED_DIR
from tests.models.mgm_omni.conftest import tokenizer_at

TOKENIZER = tokenizer_at(SHIPPED_DIR / "tokenizer" / "mouth")


def test_ids_follow_from_the_sizes(tiny_mouth: Mouth) -> None:
    vocabulary = tiny_mouth.vocabulary
    assert (vocabulary.audio_start, vocabulary.audio_end, vocabulary.audio_sep) == (844, 845, 846)
    assert (vocabulary.speech_eos, vocabulary.speech_pad) == (6561, 6562)
    assert (vocabulary.text_pad, vocabulary.text_eos) == (820, 822)


def test_flags_are_those_of_decoding_one_token_at_a_time(tiny_mouth: Mouth) -> None:
    for token in range(847):
        text = TOKENIZER.decode([token])
        ends = bool(text) and (text[0] in ".?!;。？！；\n" or text[-1] == "\n")
        assert bool(tiny_mouth.vocabulary.ends_sentence[token]) == ends, text
        assert bool(tiny_mouth.vocabulary.is_blank_text[token]) == bool(re.fullmatch(r"[ \n*#]+", text)), text


def flags_of(*texts: str) -> tuple[bytes, bytes]:
    """Flags of a tokenizer whose tokens decode to just these strings."""
    tokenizer = Tokenizer(models.WordLevel({text: i for i, text in enumerate(texts)}, unk_token=texts[0]))
    tokenizer.decoder = decoders.Fuse()
    return text_flags(tokenizer, len(texts))


def test_sentence_ends_are_told_by_the_first_or_last_character() -> None:
    ends, blank = flags_of("x", '."', " .", ". ", "。”", "word\n", "\n", "...", "3.14", "**", " *#\n", "\t", "\ufffd")
    assert list(ends) == [0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0]
    assert list(blank) == [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0]


def test_trap_30_a_token_that_decodes_to_nothing_ends_nothing() -> None:
    ends, blank = flags_of("x", "")
    assert list(ends) == [0, 0]
    assert list(blank) == [0, 0]


def test_flags_of_a_full_vocabulary_take_less_than_a_few_seconds() -> None:
    started_s = time.process_time()  # what others do on the machine is not counted
    flags_of(*(f"word{i}" for i in range(151_672)))
    assert time.process_time() - started_s < 5


def test_the_transcript_pad_is_a_constant_unless_the_config_says_otherwise(tiny_mouth: Mouth) -> None:
    config = replace(tiny_mouth.config, refer_pad_id=None)
    assert build_vocabulary(config, TOKENIZER).refer_pad == 820, "151643 is not in so small a vocabulary"
    assert build_vocabulary(replace(config, refer_pad_id=5), TOKENIZER).refer_pad == 5


def test_published_blank_codes() -> None:
    assert len(PUBLISHED_BLANK_CODES) == 113
    assert 6486 in PUBLISHED_BLANK_CODES


def test_config_and_tokenizer_must_agree(tiny_mouth: Mouth) -> None:
    backbone = replace(tiny_mouth.config.backbone, vocab_size=27100)
    with pytest.raises(ModelError, match=r"audio_start.* has id 844, but .* put it at 845"):
        build_vocabulary(replace(tiny_mouth.config, backbone=backbone), TOKENIZER)


def test_another_codebook_brings_its_own_silence(tiny_mouth: Mouth) -> None:
    backbone = replace(tiny_mouth.config.backbone, vocab_size=847 + 4 * 1026)
    small = replace(tiny_mouth.config, backbone=backbone, codebook_size=1026, silence_code=None, blank_codes=None)
    with pytest.raises(ModelError, match="silence_token"):
        build_vocabulary(small, TOKENIZER)
    vocabulary = build_vocabulary(replace(small, silence_code=7, blank_codes=(7, 9)), TOKENIZER)
    assert (vocabulary.speech_eos, vocabulary.speech_pad, vocabulary.silence_code) == (1024, 1025, 7)
    assert vocabulary.blank_codes == {7, 9}
    with pytest.raises(ModelError, match="1024 is not a code"):
        build_vocabulary(replace(small, silence_code=1024), TOKENIZER)
