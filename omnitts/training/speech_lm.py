"""Speech LM stage: text tokenizer, config, and the mouth's own module learning the codes of the next row.

Rows are as in `lm_data`; the text column is given, the loss is on the four codes of every row behind the prompt: sound,
end of a chunk, separators. The reference within the prompt may be learnt too: text and codes run side by side there as
they do in speech. Where it is known when each word is spoken, a `guide` teaches it to find its place in the text. In
the input (never in the target) some rows lose their codes, so that the model does not lean too much on its last step.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitts.models.kv_cache import KVCache
from omnitts.models.mgm_omni.checkpoint import read_tokenizer
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.speech_lm import Hidden, SpeechLM
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary, build_vocabulary
from omnitts.pipeline.text.normalise import normalise
from omnitts.training.alignment import FloatRow
from omnitts.training.batching import balanced, batches_of
from omnitts.training.guide import Guide
from omnitts.training.lm_data import LmData, LmUtterance
from omnitts.training.loop import Batch, Losses, train
from omnitts.training.reading import text_times
from omnitts.training.recipe import Recipe, SpeechLmRecipe
from omnitts.training.rows import UNKNOWN, Example
from omnitts.training.run_folder import RunFolder, read_json
from omnitts.training.speaker import read_vectors
from omnitts.training.store import CorpusStore
from omnitts.training.text_tokenizer import FILES, TextCoder, train_text_tokenizer
from omnitts.training.tokenizer import SILENCE, read_codes
from omnitts.training.tokenizer import STAGE as TOKENIZER_STAGE

STAGE: Final = "speech-lm"
TEXT_STAGE: Final = "text"
CODES_PER_ROW: Final = 4
_IGNORED: Final = -100


class WholeSequence(KVCache):
    """A cache for learning: every layer sees the keys and values of the pass itself, with their gradients."""

    def __init__(self, num_layers: int) -> None:
        empty = [torch.zeros(0) for _ in range(num_layers)]
        super().__init__(empty, list(empty), torch.zeros(0, dtype=torch.int64))

    def write(self, layer_idx: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        self.keys[layer_idx], self.values[layer_idx] = keys.transpose(1, 2), values.transpose(1, 2)


class SpeechLmStage:
    """The loop's view of the speech LM; fine-tuning uses it too."""

    name = STAGE

    def __init__(
        self,
        model: SpeechLM,
        data: LmData,
        held_back: set[int],
        recipe: SpeechLmRecipe,
        seed: int,
        learner: nn.Module | None = None,
    ) -> None:
        """``learner``: the part of the model that learns and is saved, when it is not all of it."""
        self.model, self._data, self._held_back = model, data, held_back
        self._recipe, self._seed = recipe, seed
        self._guide = Guide(model) if recipe.guide_weight else None
        self.networks: nn.Module = nn.ModuleDict({"model": learner or model})
        backbone = model.config.backbone
        self.facts: dict[str, Any] = {
            "hidden_size": backbone.hidden_size,
            "vocab_size": backbone.vocab_size,
            "layers": backbone.num_hidden_layers,
            "utterances": len(data.utterances),
        }

    def batches(self, epoch: int) -> list[Batch]:
        """Batches of example numbers: epoch * utterances + utterance."""
        count = len(self._data.utterances)
        learnt = [index for index in range(count) if index not in self._held_back]
        chance, alone = self._chance(epoch), epoch < self._recipe.alone_epochs

        def seconds(index: int) -> float:
            return self._data.seconds(index, chance, alone=alone)

        share, utterances = self._recipe.speaker_share, self._data.utterances
        spread = balanced(learnt, seconds, lambda i: utterances[i].speaker, share, self._seed, epoch)
        found = batches_of(spread, seconds, self._recipe.plan.batch_s, self._seed, epoch)
        return [[epoch * count + index for index in batch] for batch in found]

    def validation(self) -> list[Batch]:
        return list(
            batches_of(
                sorted(self._held_back),
                lambda i: self._data.seconds(i, self._chance(0)),
                self._recipe.plan.batch_s,
                0,
                0,
            )
        )

    def losses(self, batch: Batch, step: int) -> Losses:
        count = len(self._data.utterances)
        made = [
            self._data.example(
                number % count,
                self._chance(number // count),
                dropout=self.networks.training,
                alone=self.networks.training and number // count < self._recipe.alone_epochs,
            )
            for number in batch
        ]
        examples = [item for item in made if item is not None]
        if not examples:
            zero = next(self.networks.parameters()).sum() * 0.0  # nothing to learn from here, but a loss all the same
            return {"loss": zero, "right": zero.detach()}
        speech_pad = self.model.config.codebook_size - 1
        batch_rows = collate(examples, speech_pad if self._recipe.learn_reference and self.networks.training else None)
        device = self.model.model.norm.weight.device
        inputs, targets, said = (part.to(device) for part in batch_rows)
        if self.networks.training and self._recipe.dropout:
            inputs = self._without_some_codes(inputs, targets)
        states = row_states(self.model, inputs)
        known = targets[..., 0] != _IGNORED
        logits, wanted = self.model.speech_logits(states.adapter[known]), targets[known]  # (N, K, V), (N, K)
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        losses = {"loss": loss, "right": (logits.argmax(-1) == wanted).float().mean().detach()}
        if self._guide is not None and (said[:, 1:] != UNKNOWN).any():
            guide = self._guide.loss(states.backbone, inputs, said)
            losses |= {"loss": loss + self._recipe.guide_weight * guide, "codes": loss, "guide": guide}
        return losses

    def _without_some_codes(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Rows behind the prompt lose their codes (pad instead) with probability ``dropout``."""
        drops = (torch.rand(inputs.shape[:2], device=inputs.device) < self._recipe.dropout) & (
            targets[..., 0] != _IGNORED
        )
        changed = inputs.clone()
        changed[..., 1:] = changed[..., 1:].masked_fill(drops.unsqueeze(-1), self.model.config.codebook_size - 1)
        return changed

    def _chance(self, epoch: int) -> str:
        return f"{self._seed} {epoch}"


def collate(examples: list[Example], speech_pad: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, T, 1 + K), padded at the right with zeros, targets (B, T, K): the next row's codes, or ignored, and
    (B, T + 1) the text id that each row says, or UNKNOWN.

    ``speech_pad``: learn the rows of the prompt too that hold anything else.
    """
    inputs = nn.utils.rnn.pad_sequence([item.rows[:-1] for item in examples], batch_first=True)
    targets = torch.full((*inputs.shape[:2], inputs.shape[2] - 1), _IGNORED)
    for row, item in enumerate(examples):
        following = item.rows[1:, 1:].clone()
        prompt = following[: item.num_prompt - 1]
        prompt[(prompt == speech_pad).all(dim=-1) if speech_pad is not None else slice(None)] = _IGNORED
        targets[row, : len(following)] = following
    said = nn.utils.rnn.pad_sequence([item.said for item in examples], batch_first=True, padding_value=UNKNOWN)
    return inputs, targets, said


def row_logits(model: SpeechLM, rows: Tensor, wanted: Tensor) -> Tensor:
    """Logits (N, K, V) behind the ``wanted`` (B, T) positions of rows (B, T, 1 + K), with gradients."""
    return model.speech_logits(row_states(model, rows).adapter[wanted])


def row_states(model: SpeechLM, rows: Tensor) -> Hidden:
    """Backbone and adapter states (B, T, D) of rows (B, T, 1 + K), with gradients."""
    B, T, _ = rows.shape
    positions = torch.arange(T, device=rows.device).expand(B, T)
    cache = WholeSequence(len(model.config.kv_heads_of_layers))
    return model.hidden_states(model.embed_rows(rows), cache, positions, T)


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


def train_speech_lm(
    run: RunFolder, *, books: list[str] | None = None, device: str = "cpu", steps: int | None = None
) -> None:
    """The whole stage. ``books``: more sentences to learn the text tokenizer from, the first time."""
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    codes = read_codes(run, corpus)
    texts = [spoken(utterance.text, utterance.accent) for utterance in corpus.utterances]
    prepare_text(run, [*texts, *(books or [])])
    _, config, vocabulary, prompts, coder = open_language(run)
    times: list[FloatRow] | list[None] = [None] * len(texts)
    if recipe.speech_lm.guide_weight:
        times = text_times(run.stage(TOKENIZER_STAGE), recipe.tokenizer, corpus, codes, texts)
    utterances = [
        LmUtterance(
            text, item.text, item.speaker, tuple(codes[item.offset : item.offset + item.num_codes].tolist()), own
        )
        for item, text, own in zip(corpus.utterances, texts, times, strict=True)
    ]
    voices = read_vectors(run, corpus)
    sizes = recipe.speech_lm
    data = LmData(utterances, voices, prompts, vocabulary, coder, sizes, recipe.text.dropout, config.dropped_rows)
    model = new_model(config, recipe.seed)
    stage = SpeechLmStage(model, data, set(corpus.validation()), sizes, recipe.seed)
    train(stage, sizes.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)
