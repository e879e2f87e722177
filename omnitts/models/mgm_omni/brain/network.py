"""The brain: a Qwen2.5-VL language model that also hears and sees (spec 6).

Goes in: token ids with markers, and encoded media. Comes out: embeddings with three-axis positions, then logits of the
next token. State is handed in and out; one module serves many conversations. Knows no files, no text and no sampling.
The decoder and the towers are transformers' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

from omnitts.models.mgm_omni.brain.audio_input import as_blocks
from omnitts.models.mgm_omni.brain.audio_towers import AudioTowers, from_config
from omnitts.models.mgm_omni.brain.config import BrainConfig
from omnitts.models.mgm_omni.brain.positions import GridSpan, LineSpan, Span, prompt_positions
from omnitts.models.mgm_omni.brain.projector import build_projector
from omnitts.models.mgm_omni.brain.prompt import IMAGE_MARKER, SPEECH_MARKER
from omnitts.models.mgm_omni.brain.vision_input import Patches

BLOCKS_PER_PASS: Final = 8  # audio blocks encoded at once; bounds memory for hour-long sound


@dataclass(frozen=True)
class EncodedMedia:
    """Features (n, D) that take a marker's place, and how they are laid out in positions."""

    features: Tensor
    span: Span


@dataclass(frozen=True)
class PromptEmbeds:
    """A prompt ready for the decoder: ``embeds`` (T, D), ``positions`` (3, T), offset of later positions."""

    embeds: Tensor
    positions: Tensor
    rope_delta: int


@dataclass
class BrainState:
    """What the decoder remembers of B conversations: keys and values, which slots are real, and where each goes on."""

    cache: DynamicCache
    mask: Tensor | None  # (B, T) bool, None when nothing is padded
    next_position: Tensor  # (B,)


class Brain(nn.Module):
    """Built on the meta device by `loading`, which also fills it."""

    def __init__(self, config: BrainConfig, towers: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """``towers``: the towers' own configs under ``vision_config``, ``audio_encoder``, ``whisper_aux``."""
        super().__init__()
        towers = {**config.tower_fields, **(towers or {})}
        self.config = config
        text_config = Qwen2_5_VLTextConfig(**config.text)
        self.text_model: Any = from_config(Qwen2_5_VLTextModel, text_config)
        self.lm_head = nn.Linear(config.hidden_size, text_config.vocab_size, bias=False)
        self.vision_tower: Any = None
        self.audio_towers: AudioTowers | None = None
        if config.vision is not None:
            fields = {"out_hidden_size": config.hidden_size, **_fields(towers, "vision_config")}
            known = {
                k: v
                for k, v in fields.items()
                if k in Qwen2_5_VLVisionConfig.__dataclass_fields__ and k != "model_type"
            }
            vision_config = Qwen2_5_VLVisionConfig(**known)
            self.vision_tower = from_config(Qwen2_5_VisionTransformerPretrainedModel, vision_config)
        if config.speech is not None and config.projector is not None:
            kind = config.speech.kind
            main = _fields(towers, "whisper_aux" if kind == "whisper" else "audio_encoder")
            aux = _fields(towers, "whisper_aux") if kind == "dual" else None
            self.audio_towers = AudioTowers(kind, main, aux)
            self.speech_projector = build_projector(config.projector)

    @property
    def device(self) -> torch.device:
        """Where embeddings and towers lie."""
        return self.text_model.embed_tokens.weight.device

    @property
    def logits_device(self) -> torch.device:
        """Where logits come out, and so where samplers must draw: another device when the layers are spread."""
        return self.lm_head.weight.device

    @torch.inference_mode()
    def encode_vision(self, patches: Sequence[Patches]) -> list[EncodedMedia]:
        """Images and videos, all in one pass of the vision tower. Raises ValueError if the brain cannot see."""
        if self.vision_tower is None:
            raise ValueError("this brain has no vision tower")
        if not patches:
            return []
        merge_size = self.vision_tower.spatial_merge_size
        values = torch.cat([item.values for item in patches]).to(self.device)
        grids = torch.tensor([item.grid for item in patches], device=self.device)
        features = self.vision_tower(values, grid_thw=grids).pooler_output
        spans = [item.merged_span(merge_size) for item in patches]
        parts = torch.split(features, [span.length for span in spans])
        return [EncodedMedia(part, span) for part, span in zip(parts, spans, strict=True)]

    @torch.inference_mode()
    def encode_audio(self, mel: Tensor) -> EncodedMedia:
        """Blocks (128, 3000) or (blocks, 128, 3000). A remainder of frames is dropped in each block (spec 6.3)."""
        if self.audio_towers is None or self.config.speech is None:
            raise ValueError("this brain has no speech tower")
        passes = torch.split(as_blocks(mel), BLOCKS_PER_PASS)
        features = torch.cat([self.speech_projector(*self.audio_towers(part)) for part in passes]).flatten(0, 1)
        if self.config.speech.l2_normalises:
            features = F.normalize(features, dim=-1)
        return EncodedMedia(features, LineSpan(len(features)))

    @torch.inference_mode()
    def embed(self, ids: Sequence[int], media: Sequence[EncodedMedia] = ()) -> PromptEmbeds:
        """Puts the media in the places of their markers, in order.

        Raises ValueError when the number or the kind of media does not fit the markers.
        """
        waiting = list(media)
        pieces: list[Tensor] = []
        spans: list[Span] = []
        for run in _runs(ids):
            if run[0] in (IMAGE_MARKER, SPEECH_MARKER):
                if not waiting:
                    raise ValueError("the prompt has more markers than there are media")
                medium = waiting.pop(0)
                if isinstance(medium.span, GridSpan) != (run[0] == IMAGE_MARKER):
                    raise ValueError("an image stands where an audio is expected, or the other way round")
                pieces.append(medium.features)
                spans.append(medium.span)
            else:
                pieces.append(self.text_model.embed_tokens(torch.tensor(run, device=self.device)))
                spans.append(LineSpan(len(run)))
        if waiting:
            raise ValueError(f"{len(waiting)} media have no marker in the prompt")
        dtype = self.text_model.embed_tokens.weight.dtype
        embeds = torch.cat([piece.to(device=self.device, dtype=dtype) for piece in pieces])
        positions, rope_delta = prompt_positions(spans)
        return PromptEmbeds(embeds, positions.to(self.device), rope_delta)

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[PromptEmbeds]) -> tuple[Tensor, BrainState]:
        """Reads B prompts of any lengths (padded on the left) -> logits (B, V) in float32 of the next token, state."""
        lengths = [len(prompt.embeds) for prompt in prompts]
        T = max(lengths)
        embeds = torch.stack([F.pad(p.embeds, (0, 0, T - len(p.embeds), 0)) for p in prompts])  # (B, T, D)
        positions = torch.stack([F.pad(p.positions, (T - len(p.embeds), 0)) for p in prompts], dim=1)  # (3, B, T)
        mask = torch.arange(T, device=self.device) >= T - torch.tensor(lengths, device=self.device)[:, None]
        next_position = [length + p.rope_delta for length, p in zip(lengths, prompts, strict=True)]
        state = BrainState(
            cache=DynamicCache(config=self.text_model.config),
            mask=None if min(lengths) == T else mask,
            next_position=torch.tensor(next_position, device=self.device),
        )
        return self._decode(embeds, positions, state), state

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: BrainState) -> Tensor:
        """One token for each conversation, (B,) -> logits (B, V) in float32. Advances ``state`` in place."""
        if state.mask is not None:
            state.mask = F.pad(state.mask, (0, 1), value=True)
        embeds = self.text_model.embed_tokens(tokens.to(self.device))[:, None]  # (B, 1, D)
        positions = state.next_position[None, :, None].expand(3, -1, 1)
        state.next_position = state.next_position + 1
        return self._decode(embeds, positions, state)

    def _decode(self, embeds: Tensor, positions: Tensor, state: BrainState) -> Tensor:
        hidden = self.text_model(
            inputs_embeds=embeds,
            position_ids=positions,
            attention_mask=state.mask,
            past_key_values=state.cache,
            use_cache=True,
        ).last_hidden_state
        return self.lm_head(hidden[:, -1].to(self.logits_device)).float()


def _fields(towers: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    if not towers.get(name):
        raise ValueError(f"{name}, the config of a tower, is missing")
    return towers[name]


def _runs(ids: Sequence[int]) -> list[list[int]]:
    """Cuts ids at the markers: each marker alone, the text between them together."""
    runs: list[list[int]] = []
    for token in ids:
        is_marker = token in (IMAGE_MARKER, SPEECH_MARKER)
        if is_marker or not runs or runs[-1][0] in (IMAGE_MARKER, SPEECH_MARKER):
            runs.append([token])
        else:
            runs[-1].append(token)
    return runs
