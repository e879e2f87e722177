"""Speech LM before it learns: text tokenizer, config.json, fresh weights.

What it learns from is in `lm_corpus` and `lm_data`, how in `speech_lm_stage`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from omnitts.errors import UsageError
from omnitts.models.mgm_omni.checkpoint import read_tokenizer
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary, build_vocabulary
from omnitts.pipeline.text.normalise import normalise
from omnitts.training.recipe import Recipe
from omnitts.training.run_folder import RunFolder, read_json
from omnitts.training.text_tokenizer import FILES, TextCoder, train_text_tokenizer
from omnitts.training.tokenizer import SILENCE
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE

TEXT_STAGE: Final = "text"
CODES_PER_ROW: Final = 4


def mouth_settings(recipe: Recipe, text_size: int, silence: dict[str, Any]) -> dict[str, Any]:
    """config.json of a model of this recipe."""
    sizes = recipe.speech_lm
    speech_size = math.prod(recipe.tokenizer.levels) + 2  # and eos, pad
    group = sizes.num_heads // sizes.num_kv_heads
    adapter = f"[{sizes.adapter_layers},{sizes.hidden_size},{sizes.num_heads}_{group},{sizes.intermediate_size}]"
    return {
        "_name_or_path": "omnitts-small",
        "architectures": ["MGMTTSForCausalLM"],
        "model_type": "MGMTTS",
        "languages": ["en"],
        "vocab_size": text_size + CODES_PER_ROW * speech_size,
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "num_key_value_heads": sizes.num_kv_heads,
        "head_dim": sizes.head_dim,
        "hidden_act": "silu",
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 8192,
        "attention_bias": False,
        "tie_word_embeddings": True,
        "tts_adapter_type": "qwen3",
        "tts_adapter_config": adapter,
        "tokenizer_speech_size": speech_size,
        "tokenizer_text_size": text_size,
        "speech_token_count": CODES_PER_ROW,
        "speech_token_pre_pad": sizes.pre_pad,
        "silence_token": silence["silence_token"],
        "blank_ids": silence["blank_ids"],
        **({"text_form": recipe.text.form} if recipe.text.form != TextForm.LETTERS else {}),
    }


def new_model(config: MouthConfig, seed: int) -> SpeechLM:
    """The mouth's module with fresh weights: normal, 0.02, those that close a residual branch smaller."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = SpeechLM(config)
        depth = config.backbone.num_hidden_layers + config.adapter.num_hidden_layers
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                closes = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * depth) ** 0.5 if closes else 0.02)
    return model


def text_form(recipe: Recipe) -> TextForm:
    """Raises `UsageError` for one that does not exist."""
    try:
        return TextForm(recipe.text.form)
    except ValueError as error:
        hint = f"one of {', '.join(TextForm)}"
        raise UsageError(f"no text form is called {recipe.text.form!r}", where="text.form", hint=hint) from error


def spoken(text: str, accent: str) -> str:
    """Text as the pipeline would hand it to the engine."""
    return normalise(text, accent).strip()


def prepare_text(run: RunFolder, sentences: list[str]) -> Path:
    """The folder of the text tokenizer, learnt from ``sentences`` when it is not there yet."""
    folder = run.stage(TEXT_STAGE)
    if not all((folder / name).is_file() for name in FILES):
        train_text_tokenizer(sentences, run.recipe().text.vocabulary, folder)
    return folder


def open_language(run: RunFolder) -> tuple[dict[str, Any], MouthConfig, SpeechVocabulary, PromptBuilder, TextCoder]:
    """What the mouth knows before it has weights: settings, config, vocabulary, prompts, text coder."""
    folder = run.root / TEXT_STAGE
    tokenizer = read_tokenizer(folder)
    silence = read_json(run.need(TOKENIZER_STAGE, SILENCE))
    settings = mouth_settings(run.recipe(), len(tokenizer), silence)
    config = MouthConfig.from_dict(settings)
    vocabulary = build_vocabulary(config, tokenizer, where=str(folder))
    return settings, config, vocabulary, PromptBuilder(config, vocabulary, tokenizer), TextCoder(tokenizer)
