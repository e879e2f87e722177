"""Text forms: what a mouth reads, letters or phonemes, in prompt and text alike and in the voice's accent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.models.reading.labels import Speller
from tests.models.golden_cases import SHIPPED_DIR
from tests.models.mgm_omni.conftest import tokenizer_at

TOKENIZER = tokenizer_at(SHIPPED_DIR / "tokenizer" / "mouth")


@pytest.fixture
def phonemic(tiny_mouth: Mouth) -> PromptBuilder:
    config = replace(tiny_mouth.config, text_form=TextForm.PHONEMES)
    return PromptBuilder(config, tiny_mouth.vocabulary, TOKENIZER)


def written(builder: PromptBuilder, text: str, accent: str = "") -> str:
    return str(TOKENIZER.decode(builder.text_ids(text, accent)))


def test_letters_are_read_as_they_are(tiny_mouth: Mouth) -> None:
    assert tiny_mouth.config.text_form is TextForm.LETTERS
    assert written(tiny_mouth.prompts, "The quick, brown fox!", "en-gb") == "The quick, brown fox!"


def test_phonemes_keep_the_marks_and_leave_stress_out(phonemic: PromptBuilder) -> None:
    assert written(phonemic, "The quick, brown  fox!") == "ðə kwɪk, bɹWn fɑks!"
    assert written(phonemic, "\n") == ""


@pytest.mark.parametrize("accent", ["British", "en-gb", "en-GB"])
def test_the_accent_is_the_voices(phonemic: PromptBuilder, accent: str) -> None:
    assert written(phonemic, "The fox.", accent) == "ðə fɒks."
    rows = [phonemic.voice_rows("The fox.", list(range(160)), own)[:, 0].tolist() for own in ("", accent)]
    american, british = ("".join(TOKENIZER.decode(row)) for row in rows)
    assert "fɑks" in american
    assert "fɒks" in british


def test_words_that_sound_alike_are_one(phonemic: PromptBuilder) -> None:
    assert phonemic.text_ids("The knight rode.") == phonemic.text_ids("The night rowed.")


def test_what_a_form_writes_is_what_the_labels_are(phonemic: PromptBuilder) -> None:
    """The reader's labels and the text track tell the same sounds."""
    text = "Wherefore, said he; whence came these 3 apparitions?"
    own = Speller("phonemes")
    marks = set(" ,.;?")
    assert own.spell(text, "en-gb") == "".join(c for c in own.transcribe(text, "en-gb") if c not in marks)


def test_the_config_names_the_form(tiny_mouth: Mouth) -> None:
    values = dict(tiny_config())
    assert MouthConfig.from_dict(values).text_form is TextForm.LETTERS
    assert MouthConfig.from_dict({**values, "text_form": "phonemes"}).text_form is TextForm.PHONEMES
    with pytest.raises(ModelError, match="text_form is 'runes'"):
        MouthConfig.from_dict({**values, "text_form": "runes"})


def tiny_config() -> dict[str, object]:
    return {
        "model_type": "MGMTTS", "vocab_size": 1000, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "hidden_act": "silu", "rope_theta": 1e4,
        "rms_norm_eps": 1e-6, "max_position_embeddings": 512, "tts_adapter_type": "qwen3",
        "tts_adapter_config": "[1,16,2_2,32]", "tokenizer_speech_size": 66, "speech_token_count": 4,
    }  # fmt: skip


def test_the_prompt_of_phonemes_ends_like_any_other(phonemic: PromptBuilder, tiny_mouth: Mouth) -> None:
    rows = phonemic.voice_rows("The fox.", list(range(160)))
    plain = tiny_mouth.prompts.voice_rows("The fox.", list(range(160)))
    assert rows.shape == plain.shape
    assert torch.equal(rows[:, 1:], plain[:, 1:])
