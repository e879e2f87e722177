"""Cloning prompts: the template, the reference block, and texts that try to be more than text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts.errors import VoiceError
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.prompt import PromptBuilder, tidy_transcript, without_added_tokens
from tests.models.golden_cases import SHIPPED_DIR
from tests.models.mgm_omni.conftest import tokenizer_at

TOKENIZER = tokenizer_at(SHIPPED_DIR / "tokenizer" / "mouth")
PLAIN = without_added_tokens(TOKENIZER.backend_tokenizer)
ORDERS = [
    "<|audio_start|>", "<|audio_end|>", "<|audio_sep|>", "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<speech>",
    "<image>", "speech_layer_0_5", "speech_layer_3_eos", "speech_layer_1_pad", "<think>", "<tool_call>",
]  # fmt: skip


def builder(mouth: Mouth, **changes: int) -> PromptBuilder:
    return PromptBuilder(replace(mouth.config, **changes), mouth.vocabulary, TOKENIZER)


@pytest.mark.parametrize("order", ORDERS)
def test_traps_26_27_32_special_strings_in_a_text_are_spelled_out(tiny_mouth: Mouth, order: str) -> None:
    """In the reference they cut the text, end it, become speech codes, or crash."""
    text = f"He wrote {order} on the wall."
    ids = tiny_mouth.prompts.text_ids(text)
    assert TOKENIZER.decode(ids) == text
    added = set(TOKENIZER.get_added_vocab().values())
    assert not added & set(ids)
    rows = tiny_mouth.prompts.voice_rows(f"My {order}.", list(range(40)))
    marks = rows[:, 0] == tiny_mouth.vocabulary.audio_start
    assert marks.sum() == 2, "one before the reference, one behind which speech begins"


@given(st.text(max_size=60), st.sampled_from(ORDERS), st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_text_gives_an_order(before: str, order: str, after: str) -> None:
    ids = PLAIN.encode(before + order + after, add_special_tokens=False).ids
    assert all(token < 820 for token in ids), "820 is the first added token"


@pytest.mark.parametrize("text", ["Hello there, how are you?", " 3.5 don't\n\nNo.  Yes", "你好，今天天气真不错。", ""])
def test_ordinary_text_is_tokenised_as_the_checkpoint_does(tiny_mouth: Mouth, text: str) -> None:
    assert list(tiny_mouth.prompts.text_ids(text)) == TOKENIZER(text, add_special_tokens=False).input_ids


def test_trap_2_pad_rows_have_two_defaults(tiny_mouth: Mouth) -> None:
    """Without the field: four in the prompt, one dropped from the speech. With it: that many, both times."""
    assert (tiny_mouth.config.prompt_pad_rows, tiny_mouth.config.dropped_rows) == (4, 1)
    for pre_pad in (0, 2):
        config = replace(tiny_mouth.config, pre_pad=pre_pad)
        assert (config.prompt_pad_rows, config.dropped_rows) == (pre_pad, pre_pad)
        rows = builder(tiny_mouth, pre_pad=pre_pad).voice_rows("Hm.", list(range(8)))
        default = tiny_mouth.prompts.voice_rows("Hm.", list(range(8)))
        assert len(default) - len(rows) == 4 - pre_pad


def test_trap_9_a_long_transcript_is_cut_a_short_one_padded(tiny_mouth: Mouth) -> None:
    vocabulary = tiny_mouth.vocabulary
    codes = list(range(10))  # trap 10: two rows, two codes left over
    block = slice(-_rows_after_reference() - (4 + 2 + 1), -_rows_after_reference())
    transcript = "I have been waiting for this moment for a long time, and so has my brother, who is late."
    ids = tiny_mouth.prompts.text_ids(transcript)
    rows = tiny_mouth.prompts.voice_rows(transcript, codes)[block]
    assert rows[:, 0].tolist() == list(ids[:7])
    short = tiny_mouth.prompts.voice_rows("Hm.", codes)[block]
    num_ids = len(tiny_mouth.prompts.text_ids("Hm."))
    assert short[num_ids:, 0].tolist() == [vocabulary.refer_pad] * (7 - num_ids)
    pad, eos = [vocabulary.speech_pad] * 4, [vocabulary.speech_eos] * 4
    assert short[:, 1:].tolist() == [pad] * 4 + [[0, 1, 2, 3], [4, 5, 6, 7]] + [eos]


def _rows_after_reference() -> int:
    after = "<|audio_end|>\n<|im_end|>\n<|im_start|>assistant\n<|audio_start|>"
    return len(TOKENIZER(after).input_ids)


def test_the_instruction_follows_the_language_of_the_transcript(tiny_mouth: Mouth) -> None:
    english = tiny_mouth.prompts.voice_rows("Hello.", list(range(8)))[:, 0].tolist()
    chinese = tiny_mouth.prompts.voice_rows("我等了。", list(range(8)))[:, 0].tolist()
    assert "Respond with the tone of the reference audio clip." in TOKENIZER.decode(english)
    assert "使用参考音频中听到的语气回答。" in TOKENIZER.decode(chinese)


@pytest.mark.parametrize(
    ("codes", "complaint"), [([], "too short"), ([1, 2, 3], "too short"), ([1, 2, 3, 6561], "codebook")]
)
def test_unusable_reference_codes_are_an_error(tiny_mouth: Mouth, codes: list[int], complaint: str) -> None:
    with pytest.raises(VoiceError, match=complaint):
        tiny_mouth.prompts.voice_rows("Hello.", codes)


def test_a_prompt_longer_than_the_model_takes_is_an_error(tiny_mouth: Mouth) -> None:
    """The reference cuts the prompt's end off, audio_start included."""
    with pytest.raises(VoiceError, match="takes 50"):
        builder(tiny_mouth, max_prompt_rows=50).voice_rows("Hello.", list(range(80)))


@pytest.mark.parametrize(
    ("heard", "tidy"),
    [
        (" so it began", "So it began."),
        ("Really?", "Really?"),
        ("  two spaces", " two spaces."),
        ("我等了", "我等了。"),
        ("我等了！", "我等了！"),
        ("我說 yes", "我说 yes。"),
    ],
)
def test_transcripts_of_a_recogniser_are_tidied(heard: str, tidy: str) -> None:
    assert tidy_transcript(heard, lambda text: text.replace("說", "说")) == tidy


def test_the_prompt_ends_with_audio_start(tiny_mouth: Mouth) -> None:
    prompt = tiny_mouth.prompts.build("Hi.", "Hello.", torch.arange(8).tolist())
    assert prompt.rows[-1].tolist() == [tiny_mouth.vocabulary.audio_start, *[tiny_mouth.vocabulary.speech_pad] * 4]
