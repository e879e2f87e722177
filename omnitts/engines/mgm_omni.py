"""Engine `mgm-omni`: MGM-Omni's mouth and codec, from a checkpoint folder laid out as published.

Speech requests go in, waveforms come out as sequences finish; `stream` gives the sound of one request while it is still
being made. Knows no books and no jobs. A take that the model itself knows to be bad carries its failure.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch

from omnitts.audio import Waveform, silence
from omnitts.engines.base import Capabilities, Speech, SpeechRequest
from omnitts.engines.checkpoints import find_checkpoint
from omnitts.engines.registry import EngineOptions, refuse_language
from omnitts.engines.voice_prompt import stored_prompt
from omnitts.errors import EngineError, ModelError, UsageError, VoiceError
from omnitts.models.codec.detokenizer import Detokenizer
from omnitts.models.codec.features import CODEC_RATE
from omnitts.models.codec.loading import Codec, load_codec
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.codec.streaming import SpeechStream, StreamOptions
from omnitts.models.layout import kind_of, model_revision
from omnitts.models.mgm_omni.checkpoint import Mouth, load_mouth
from omnitts.models.mgm_omni.config import read_json
from omnitts.models.mgm_omni.generate import SpeechBatch, SpeechSequence
from omnitts.models.mgm_omni.prompt import SpeechPrompt
from omnitts.models.mgm_omni.row_stream import SoundingRows
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_rows import speech_codes
from omnitts.models.weights import dtype_by_name
from omnitts.types import Voice

logger = logging.getLogger(__name__)

LANGUAGES = frozenset({"en", "zh"})
BUDGET_S = 30.0
BATCH_ON_GPU, BATCH_ON_CPU = 64, 8
HALF_PRECISION_FROM_BYTES = 1 << 30  # smaller checkpoints stay fp32 on a CPU: exact, and fast enough
CODEC_FOLDER = "cosyvoice2"
EMPTY_S = 0.1
USUAL_POSITIONS = 1024  # prompt and rows of a piece of the usual length, with room


def open_engine(options: EngineOptions) -> MgmOmniEngine:
    """Finds the checkpoint and checks that its files are there; loads nothing. Raises `ModelError`, `EngineError`."""
    if options.extra:
        raise EngineError(f"mgm-omni has no setting {min(options.extra)!r}")
    folder = find_checkpoint(options.model)
    if kind_of(folder) != "mouth":
        hint = "give a TTS checkpoint (omnitts models list); a brain answers through one"
        raise ModelError("this checkpoint is a brain, it cannot speak by itself", where=str(folder), hint=hint)
    return MgmOmniEngine(folder, options)


@dataclass(frozen=True)
class _CastVoice:
    """A voice ready to speak: the mouth's prompt rows and the codec's prompt."""

    rows: torch.Tensor
    prompt: VoicePrompt


@dataclass(frozen=True)
class LentVoice:
    """Mouth and codec with a voice's prompts, for a brain that speaks through them."""

    mouth: Mouth
    rows: torch.Tensor
    prompt: VoicePrompt
    detokenizer: Detokenizer


@dataclass
class _Spoken:
    """A sequence on its way: which request it serves and since when."""

    request: SpeechRequest
    started_s: float


class MgmOmniEngine:
    """An `Engine` over one checkpoint folder. Sequences join and leave one batch; see `omnitts.models.mgm_omni`."""

    name = "mgm-omni"

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        self.folder = folder
        self._options = options
        self._voices: dict[str, _CastVoice] = {}
        self._config = read_json(folder / "config.json")
        languages = self._config.get("languages")
        self._capabilities = Capabilities(
            clones=True,
            sample_rate=CODEC_RATE,
            languages=frozenset(languages) if languages else LANGUAGES,
            budget_s=BUDGET_S,
            max_batch=options.batch or (BATCH_ON_GPU if self._device.type == "cuda" else BATCH_ON_CPU),
        )

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @cached_property
    def revision(self) -> str:
        """Checkpoint, precision and sampling: what decides the sound besides the request."""
        options = self._options
        settings = (options.temperature, options.top_k, options.top_p, options.repetition_penalty)
        text = f"{model_revision(self.folder)} {self._dtype} {settings}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def description(self) -> str:
        return f"mgm-omni: {self._config.get('_name_or_path') or self.folder.name}"

    @cached_property
    def _device(self) -> torch.device:
        name = self._options.device
        if name == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise UsageError(
                f"no device is called {name!r}", where="--device", hint="auto, cpu, cuda or cuda:N"
            ) from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            hint = "see `omnitts doctor`, or leave --device away"
            raise EngineError(f"there is no {name} on this machine", where="--device", hint=hint)
        return device

    @cached_property
    def _dtype(self) -> torch.dtype:
        if self._options.dtype != "auto":
            return dtype_by_name(self._options.dtype)
        size = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        return torch.bfloat16 if self._device.type == "cuda" or size >= HALF_PRECISION_FROM_BYTES else torch.float32

    @cached_property
    def _mouth(self) -> Mouth:
        logger.debug("loading %s on %s as %s", self.folder, self._device, self._dtype)
        return load_mouth(self.folder, dtype=self._dtype, device=self._device)

    @cached_property
    def _codec(self) -> Codec:
        codec = load_codec(self.folder / CODEC_FOLDER, device=self._device)
        if codec.detokenizer.rate_hz != CODEC_RATE:
            raise ModelError(
                f"the vocoder speaks at {codec.detokenizer.rate_hz} Hz, not {CODEC_RATE}", where=str(self.folder)
            )
        return codec

    # Voices ---------------------------------------------------------------------------------------------------------

    def prepare(self, voice: Voice | None) -> None:
        self._cast(voice)

    def lend(self, voice: Voice) -> LentVoice:
        """What joint generation needs of this engine; loads it."""
        cast = self._cast(voice)
        return LentVoice(self._mouth, cast.rows, cast.prompt, self._codec.detokenizer)

    def _cast(self, voice: Voice | None) -> _CastVoice:
        """The voice's prompts, computed once and kept."""
        if voice is None:
            hint = "add --voice: a recording of 5 to 15 s, or a name from `omnitts voices list`"
            raise VoiceError("mgm-omni speaks only in a cloned voice, and none is given", hint=hint)
        if voice.digest not in self._voices:
            if not voice.transcript.strip():
                raise VoiceError(
                    "it is not known what the reference recording says",
                    where=str(voice.audio),
                    hint='give its words with --voice-text "..." or in a text file of the same name beside it',
                )
            prompt = stored_prompt(voice, self._codec_digest, self._listen)
            rows = self._mouth.prompts.voice_rows(voice.transcript, prompt.tokens.tolist())
            self._voices[voice.digest] = _CastVoice(rows, prompt)
        return self._voices[voice.digest]

    def _listen(self, samples: torch.Tensor) -> VoicePrompt:
        """Opens codec and front ends only for a voice whose prompt is not stored yet."""
        return self._codec.front_end.listen(samples)

    @cached_property
    def _codec_digest(self) -> str:
        """Names the two front ends that hear a reference, without opening them."""
        return model_revision(self.folder / CODEC_FOLDER)

    # Speaking -------------------------------------------------------------------------------------------------------

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        """Sequences share one batch: each leaves when it is done and the next request takes its place."""
        source = iter(requests)
        waiting: deque[tuple[SpeechSequence, _Spoken]] = deque()
        speaking: dict[int, _Spoken] = {}
        batch: SpeechBatch | None = None
        while True:
            free = self._capabilities.max_batch - len(speaking) - len(waiting)
            waiting.extend(self._start(request) for request in islice(source, free))
            if not waiting and not speaking:
                return
            if batch is None or (not speaking and self._outgrows(waiting[0][0], batch)):
                batch = self._new_batch([sequence for sequence, _ in waiting])
            joining = []
            while waiting and not self._outgrows(waiting[0][0], batch):
                sequence, spoken = waiting.popleft()
                speaking[id(sequence)] = spoken
                joining.append(sequence)
            finished = [sequence for sequence in joining if sequence.feed.is_finished]
            batch.join([sequence for sequence in joining if not sequence.feed.is_finished])
            finished += batch.step()
            if finished:
                yield from self._sounds([(sequence, speaking.pop(id(sequence))) for sequence in finished])

    def _start(self, request: SpeechRequest) -> tuple[SpeechSequence, _Spoken]:
        refuse_language(self.name, self._capabilities.languages, request.language)
        if request.speed != 1.0:
            raise EngineError("mgm-omni has no speed of its own", where="--speed", hint="assembly changes the pace")
        voice = self._cast(request.voice)
        prompt = SpeechPrompt(voice.rows, self._mouth.prompts.text_ids(request.text.strip()))
        sequence = SpeechSequence.start(
            prompt, self._mouth.vocabulary, self._sampling(request.seed), device=self._device
        )
        return sequence, _Spoken(request, time.perf_counter())

    def _sampling(self, seed: int) -> Sampling:
        options = self._options
        chosen = {
            "temperature": options.temperature,
            "top_k": options.top_k,
            "top_p": options.top_p,
            "repetition_penalty": options.repetition_penalty,
        }
        return self._mouth.sampling(seed=seed, **{name: value for name, value in chosen.items() if value is not None})

    def _new_batch(self, sequences: Iterable[SpeechSequence]) -> SpeechBatch:
        """A batch whose cache fits these sequences and the usual ones to come."""
        needed = max(sequence.most_positions for sequence in sequences)
        max_length = max(needed, USUAL_POSITIONS)
        return SpeechBatch(self._mouth.model, num_rows=self._capabilities.max_batch, max_length=max_length)

    @staticmethod
    def _outgrows(sequence: SpeechSequence, batch: SpeechBatch) -> bool:
        return sequence.most_positions > batch.max_length

    def _sounds(self, finished: Sequence[tuple[SpeechSequence, _Spoken]]) -> Iterator[Speech]:
        """Codes of finished sequences through flow and vocoder together."""
        mouth = self._mouth
        results = [(sequence.result(), spoken) for sequence, spoken in finished]
        codes = [speech_codes(result.rows, mouth.vocabulary, mouth.config.dropped_rows) for result, _ in results]
        prompts = [self._cast(spoken.request.voice).prompt for _, spoken in results]
        seeds = [spoken.request.seed for _, spoken in results]
        waves = self._codec.detokenizer.speak(codes, prompts, seeds)
        for (result, spoken), wave in zip(results, waves, strict=True):
            failure = result.failures[0].value if result.failures else "" if len(wave) else "empty"
            waveform = Waveform(wave.numpy(), CODEC_RATE) if len(wave) else silence(EMPTY_S, CODEC_RATE)
            yield Speech(spoken.request.key, waveform, failure, time.perf_counter() - spoken.started_s)

    def stream(self, request: SpeechRequest, options: StreamOptions | None = None) -> Iterator[Waveform]:
        """The sound of one request, piece by piece while it is being made.

        Raises `EngineError` at the end if the model knows that the take went wrong.
        """
        sequence, _ = self._start(request)
        mouth = self._mouth
        stream = SpeechStream(self._codec.detokenizer, self._cast(request.voice).prompt, request.seed, options)
        rows = SoundingRows(mouth.vocabulary, mouth.config.dropped_rows)
        if not sequence.feed.is_finished:
            batch = self._new_batch([sequence])
            batch.join([sequence])
            while not sequence.feed.is_finished:
                batch.step()
                for codes in rows.push(sequence.rows[-1]):
                    yield from (Waveform(wave.numpy(), CODEC_RATE) for wave in stream.push(codes))
        yield from (Waveform(wave.numpy(), CODEC_RATE) for wave in stream.finish())
        if sequence.feed.failures:
            raise EngineError(
                f"the take went wrong ({sequence.feed.failures[0].value})", hint="speak it again with another --seed"
            )

    def close(self) -> None:
        """Frees weights and prompts; the engine may be used again and loads them anew."""
        for name in ("_mouth", "_codec"):
            self.__dict__.pop(name, None)
        self._voices.clear()
