"""Brain `mgm-omni`: MGM-Omni's multimodal language model, from a checkpoint folder laid out as published.

Questions go in, answers come out as they are made; opened with a voice, they are spoken through a mouth while they are
thought. What was shown and played stays encoded in its conversation, so that later turns can ask about it. The prompt
is read anew at every turn. Knows no command line.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from omnitts.audio import Waveform
from omnitts.engines.brain import AnswerEnd, AnswerOptions, AnswerPiece, BrainOptions, Film, Part, Picture, Recording
from omnitts.engines.checkpoints import mouths_fetched
from omnitts.engines.media import read_film, read_picture, read_recording
from omnitts.engines.mgm_omni import LentVoice, MgmOmniEngine, open_engine
from omnitts.engines.mgm_omni_parts import HALF_PRECISION_FROM_BYTES
from omnitts.engines.registry import EngineOptions
from omnitts.errors import EngineError, InputError, ModelError
from omnitts.models.codec.features import CODEC_RATE
from omnitts.models.codec.streaming import SpeechStream
from omnitts.models.hub import find_known, list_models, locate_model
from omnitts.models.layout import kind_of, model_revision
from omnitts.models.mgm_omni.brain.answer import AnswerBatch, stream_text
from omnitts.models.mgm_omni.brain.answer import answer as run_answers
from omnitts.models.mgm_omni.brain.audio_input import mel_blocks
from omnitts.models.mgm_omni.brain.joint import JointGeneration, TextDelta
from omnitts.models.mgm_omni.brain.loading import LoadedBrain, load_brain
from omnitts.models.mgm_omni.brain.network import EncodedMedia, PromptEmbeds
from omnitts.models.mgm_omni.brain.placement import resolve_devices
from omnitts.models.mgm_omni.brain.prompt import SYSTEM_TEXT, Media, Turn, encode_turns
from omnitts.models.mgm_omni.brain.prompt import Part as PromptPart
from omnitts.models.mgm_omni.brain.vision_input import choose_frames, image_patches, video_patches
from omnitts.models.mgm_omni.row_stream import SoundingRows
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.weights import dtype_by_name

logger = logging.getLogger(__name__)

PREFERENCE: Final = ("7b", "32b")


def open_brain(options: BrainOptions) -> MgmOmniBrain:
    """Finds brain and mouth and checks that their files are there; loads nothing. Raises `ModelError`."""
    folder = find_brain(options.model)
    mouth = None
    if options.voice is not None:
        if not options.speech and not mouths_fetched():
            hint = "omnitts models pull 2b gets one (5.5 GB), or give a folder with --speech"
            raise ModelError("there is no mouth on this machine to speak with", where="--speech", hint=hint)
        # The last device: the brain's towers and embeddings are on the first, so it has the most to spare.
        device = options.device.split(",")[-1]
        mouth = open_engine(EngineOptions(model=options.speech, device=device, dtype=_mouth_dtype(options.dtype)))
    return MgmOmniBrain(folder, options, mouth)


def find_brain(model: str) -> Path:
    """The folder of a brain: the one named, else the preferred one on this machine. Raises `ModelError`."""
    if not model:
        model = _brain_present()
    folder = locate_model(model)
    if kind_of(folder) != "brain":
        hint = "give a brain with --model (omnitts models list); a mouth goes to --speech"
        raise ModelError("this checkpoint is a mouth, it cannot think", where=str(folder), hint=hint)
    return folder


def _brain_present() -> str:
    found = {}
    for stored in list_models():
        known = find_known(stored.repo)
        if not stored.missing and known is not None and known.kind == "brain":
            found[known.short_name] = stored.repo
    for name in PREFERENCE:
        if name in found:
            return found[name]
    hint = "omnitts models pull 7b gets one (about 19 GB), or give a folder with --model"
    raise ModelError("no brain of MGM-Omni is on this machine", where="--model", hint=hint)


class MgmOmniBrain:
    """A `Brain` over one checkpoint folder, with or without a mouth."""

    name = "mgm-omni"

    def __init__(self, folder: Path, options: BrainOptions, mouth: MgmOmniEngine | None = None) -> None:
        self.folder = folder
        self._options = options
        self._mouth = mouth

    @property
    def sample_rate(self) -> int:
        return CODEC_RATE if self._mouth is not None else 0

    @cached_property
    def revision(self) -> str:
        text = f"{model_revision(self.folder)} {self._dtype} {self._options.quantise}"
        text += f" {self._mouth.revision}" if self._mouth is not None else ""
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def description(self) -> str:
        spoken = f", spoken by {self._mouth.folder.name}" if self._mouth is not None else ""
        return f"mgm-omni: {self.folder.name}{spoken}"

    @cached_property
    def _devices(self) -> str | list[str]:
        names = [name.strip() for name in self._options.device.split(",")]
        return names[0] if len(names) == 1 else names

    @cached_property
    def _dtype(self) -> torch.dtype:
        """fp16 on a GPU, as published; on a CPU bf16, or fp32 where the weights are small."""
        if self._options.dtype != "auto":
            return dtype_by_name(self._options.dtype)
        if resolve_devices(self._devices)[0].type == "cuda":
            return torch.float16
        size = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        return torch.bfloat16 if size >= HALF_PRECISION_FROM_BYTES else torch.float32

    @cached_property
    def loaded(self) -> LoadedBrain:
        quantisation = self._options.quantise or "none"
        with _memory_named():
            return load_brain(self.folder, dtype=self._dtype, device_map=self._devices, quantisation=quantisation)

    @cached_property
    def lent(self) -> LentVoice | None:
        """Mouth and voice, or None for a brain that only writes."""
        if self._mouth is None or self._options.voice is None:
            return None
        return self._mouth.lend(self._options.voice)

    def prepare(self) -> None:
        # The mouth first: the brain's layers are then spread over what memory is left.
        _ = self.lent
        _ = self.loaded

    def converse(self, system: str = "") -> MgmOmniConversation:
        return MgmOmniConversation(self, system or SYSTEM_TEXT)

    def answer(self, questions: Sequence[Sequence[Part]], options: AnswerOptions) -> list[AnswerEnd]:
        self.prepare()
        with _memory_named():
            prompts = [self.converse().ask(parts)[0] for parts in questions]
            sampling = self.sampling(options)
            samplers = [RowSampler(sampling, self.loaded.network.logits_device) for _ in prompts]
            limit = min(self.room_for(prompt, options.max_new_tokens) for prompt in prompts)
            eos_ids = self.loaded.eos_ids
            batch = AnswerBatch(self.loaded.network, prompts, samplers, eos_ids=eos_ids, max_new_tokens=limit)
            return [self.ending(tokens) for tokens in run_answers(batch)]

    def ending(self, tokens: Sequence[int], speech_failure: str = "") -> AnswerEnd:
        text = str(self.loaded.tokenizer.decode(tokens, skip_special_tokens=True))
        is_whole = bool(tokens) and tokens[-1] in self.loaded.eos_ids
        return AnswerEnd(text, len(tokens), "end" if is_whole else "length", speech_failure)

    def sampling(self, options: AnswerOptions) -> Sampling:
        """The checkpoint's settings below the ones asked for."""
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        chosen = {name: value for name in names if (value := getattr(options, name)) is not None}
        return Sampling.from_generation_config(self.loaded.generation, seed=options.seed, **chosen)

    def room_for(self, prompt: PromptEmbeds, max_new_tokens: int) -> int:
        """How many tokens an answer may have. Raises `InputError` when the conversation leaves no room for any."""
        longest = int(self.loaded.network.text_model.config.max_position_embeddings)
        room = longest - len(prompt.embeds)
        if room < 1:
            raise InputError(
                f"the conversation is {len(prompt.embeds)} tokens long, the brain takes {longest}",
                hint="begin anew (/reset), or show and play less",
            )
        return min(room, max_new_tokens)

    def encode(self, part: Part) -> tuple[PromptPart, list[EncodedMedia]]:
        """A part as the prompt has it, and what stands in its place. Raises `InputError`, `EngineError`."""
        if isinstance(part, str):
            return part, []
        network, patch_config = self.loaded.network, self.loaded.patch_config
        if isinstance(part, Picture | Film):
            if network.vision_tower is None:
                raise EngineError(
                    "this brain cannot see", where=str(part.path), hint="give a brain with a vision tower"
                )
            if isinstance(part, Picture):
                return Media.IMAGE, network.encode_vision([image_patches(read_picture(part.path), patch_config)])
            frames = read_film(part.path, choose_frames)
            return Media.VIDEO, network.encode_vision([video_patches(frames, patch_config)])
        if network.audio_towers is None:
            raise EngineError("this brain cannot hear", hint="give a brain with a speech tower")
        if isinstance(part, Recording):
            samples, rate = read_recording(part.path)
        else:
            samples, rate = part.samples, part.sample_rate
        return Media.AUDIO, [network.encode_audio(mel_blocks(samples, rate))]

    def close(self) -> None:
        """Frees weights; the brain may be used again and loads them anew."""
        for name in ("loaded", "lent"):
            self.__dict__.pop(name, None)
        if self._mouth is not None:
            self._mouth.close()


@dataclass(frozen=True)
class _Memory:
    """What was said, and the encoded media of it in the order of their markers."""

    turns: tuple[Turn, ...] = ()
    media: tuple[EncodedMedia, ...] = ()


class MgmOmniConversation:
    """A `Conversation`."""

    def __init__(self, brain: MgmOmniBrain, system: str) -> None:
        self._brain = brain
        self._system = system
        self._memory = _Memory()

    def ask(self, parts: Sequence[Part]) -> tuple[PromptEmbeds, _Memory]:
        """The prompt of the next turn, and the memory with that turn in it; nothing is remembered yet."""
        encoded = [self._brain.encode(part) for part in parts]
        said = tuple(prompt_part for prompt_part, _ in encoded)
        new = tuple(medium for _, media in encoded for medium in media)
        memory = _Memory((*self._memory.turns, Turn("user", said)), (*self._memory.media, *new))
        loaded = self._brain.loaded
        ids = encode_turns(loaded.tokenizer, memory.turns, self._system)
        return loaded.network.embed(ids, memory.media), memory

    def say(self, parts: Sequence[Part], options: AnswerOptions) -> Iterator[AnswerPiece]:
        self._brain.prepare()
        with _memory_named():
            prompt, memory = self.ask(parts)
            sampling = self._brain.sampling(options)
            options = replace(options, max_new_tokens=self._brain.room_for(prompt, options.max_new_tokens))
            spoken: list[str] = []
            lent = self._brain.lent
            if lent is None:
                answer = self._write(prompt, sampling, options)
            else:
                answer = self._speak(prompt, sampling, options, lent)
            try:
                for piece in answer:
                    if isinstance(piece, str):
                        spoken.append(piece)
                    yield piece
            except torch.OutOfMemoryError:
                memory = self._memory  # as if nothing had been asked: the next, smaller question can succeed
                raise
            finally:
                self._remember(memory, "".join(spoken))

    def _remember(self, memory: _Memory, answer: str) -> None:
        if memory is not self._memory:
            self._memory = replace(memory, turns=(*memory.turns, Turn("assistant", (answer,))))

    def reset(self) -> None:
        self._memory = _Memory()

    def _write(self, prompt: PromptEmbeds, sampling: Sampling, options: AnswerOptions) -> Iterator[AnswerPiece]:
        loaded = self._brain.loaded
        batch = AnswerBatch(
            loaded.network,
            [prompt],
            [RowSampler(sampling, loaded.network.logits_device)],
            eos_ids=loaded.eos_ids,
            max_new_tokens=options.max_new_tokens,
        )
        yield from stream_text(batch, loaded.tokenizer)
        yield self._brain.ending(batch.tokens[0])

    def _speak(
        self, prompt: PromptEmbeds, sampling: Sampling, options: AnswerOptions, lent: LentVoice
    ) -> Iterator[AnswerPiece]:
        limit = options.max_new_tokens
        joint = JointGeneration(self._brain.loaded, prompt, lent.mouth, lent.rows, sampling, max_new_tokens=limit)
        rows = SoundingRows(lent.mouth.vocabulary, lent.mouth.config.dropped_rows)
        stream = SpeechStream(lent.detokenizer, lent.prompt, sampling.seed)
        for event in joint:
            if isinstance(event, TextDelta):
                if event.text:
                    yield event.text
                continue
            for codes in rows.push(event.row):
                yield from map(_waveform, stream.push(codes))
        yield from map(_waveform, stream.finish())
        failures = joint.speech().failures
        yield self._brain.ending(joint.tokens, failures[0].value if failures else "")


def _waveform(wave: torch.Tensor) -> Waveform:
    return Waveform(wave.numpy(), CODEC_RATE)


def _mouth_dtype(dtype: str) -> str:
    """A mouth speaks in bf16 or fp32; fp16, the brain's usual, is not made for it."""
    return "auto" if dtype == "fp16" else dtype


@contextmanager
def _memory_named() -> Iterator[None]:
    """Running out of GPU memory becomes an `EngineError` with what helps."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        hint = "load the brain with --quantise 8bit or 4bit, give more GPUs (--device cuda:0,cuda:1), or show less"
        raise EngineError("the GPU's memory is full", hint=hint) from error
