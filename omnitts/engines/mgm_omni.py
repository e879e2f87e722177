"""Engine `mgm-omni`: MGM-Omni's mouth and codec, from a checkpoint folder laid out as published.

Speech requests go in, waveforms come out as sequences finish; `stream` gives the sound of one request while it is still
being made. A checkpoint that brings a spelling reader is steered by it (steering.py), one that brings a pronouncer says
its sounds with that (pronouncing.py): such speech is streamed once the take is whole. Knows no books and no jobs.
A take that the model itself knows to be bad carries its failure.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch

from omnitts.audio import Waveform, silence
from omnitts.engines.base import Capabilities, Speech, SpeechRequest
from omnitts.engines.casting import CastVoice, voice_key
from omnitts.engines.checkpoints import find_checkpoint
from omnitts.engines.memory import is_out_of_memory
from omnitts.engines.mgm_omni_parts import Parts
from omnitts.engines.mgm_omni_settings import Settings
from omnitts.engines.prefixes import PrefixStore
from omnitts.engines.registry import EngineOptions, primary_tag, refuse_language
from omnitts.engines.scheduler import USUAL_POSITIONS, Scheduler
from omnitts.engines.sequence import Sequence as SpeechSequence
from omnitts.engines.sound_stage import SoundStage
from omnitts.errors import EngineError, ModelError
from omnitts.models.codec.detokenizer import Detokenizer
from omnitts.models.codec.features import CODEC_RATE
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.codec.streaming import SpeechStream, StreamOptions
from omnitts.models.layout import kind_of, model_revision
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.config import read_json
from omnitts.models.mgm_omni.feed_table import State, schedule
from omnitts.models.mgm_omni.generate import DEFAULT_MAX_ROWS, SpeechResult
from omnitts.models.mgm_omni.row_stream import SoundingRows
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_rows import speech_codes
from omnitts.models.mgm_omni.speech_slots import Entry, SpeechSlots
from omnitts.models.mgm_omni.text_feed import NARRATION, Failure
from omnitts.models.mgm_omni.text_form import TextForm
from omnitts.models.reading.labels import Sounds
from omnitts.types import Voice
from omnitts.utilisation import Utilisation

logger = logging.getLogger(__name__)

LANGUAGES = frozenset({"en", "zh"})
BUDGET_S = 30.0
EMPTY_S = 0.1
SOUNDS_AT_ONCE_ON_CPU = 4  # more would not be faster there, and one would wait longer for the first and after a stop
_NOTHING_SAID = SpeechResult(torch.zeros(0, 1, dtype=torch.int64), (Failure.EMPTY_TEXT,))


def open_engine(options: EngineOptions) -> MgmOmniEngine:
    """Finds the checkpoint and checks that its files are there; loads nothing. Raises `ModelError`, `EngineError`."""
    settings = Settings.parse(options.extra)
    folder = find_checkpoint(options.model)
    if kind_of(folder) != "mouth":
        hint = "give a TTS checkpoint (omnitts models list); a brain answers through one"
        raise ModelError("this checkpoint is a brain, it cannot speak by itself", where=str(folder), hint=hint)
    Parts(folder, options, settings, Utilisation()).check()
    return MgmOmniEngine(folder, options)


@dataclass(frozen=True)
class LentVoice:
    """Mouth and codec with a voice's prompts, for a brain that speaks through them."""

    mouth: Mouth
    rows: torch.Tensor
    prompt: VoicePrompt
    detokenizer: Detokenizer


class MgmOmniEngine:
    """An `Engine` over one checkpoint folder.

    Sequences join and leave one batch (scheduler.py) while those that are finished become sound in a thread of their
    own (sound_stage.py). ``utilisation`` counts the busy seconds of `decode`, `flow` and `vocoder`.
    """

    name = "mgm-omni"

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        self.folder = folder
        self.utilisation = Utilisation()
        self._options = options
        self._settings = Settings.parse(options.extra)
        self._parts = Parts(folder, options, self._settings, self.utilisation)
        self._config = read_json(folder / "config.json")
        languages = self._config.get("languages")
        self._capabilities = Capabilities(
            clones=True,
            sample_rate=CODEC_RATE,
            languages=frozenset(languages) if languages else LANGUAGES,
            budget_s=BUDGET_S,
            max_batch=self._parts.max_batch,
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
        text = f"{model_revision(self.folder)} {self._parts.dtype} {settings}"
        text += f" {self._parts.flow_dtype} {self._settings.heard_s}"
        if self._settings.flow_steps:
            text += f" {self._settings.flow_steps} steps"
        if self._parts.num_particles > 1:
            text += f" {self._parts.num_particles} particles"
        if self._parts.has_pronouncer:
            text += " pronounced"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def description(self) -> str:
        return f"mgm-omni: {self._config.get('_name_or_path') or self.folder.name}"

    # Voices ---------------------------------------------------------------------------------------------------------

    def prepare(self, voice: Voice | None) -> None:
        self._cast(voice)

    def lend(self, voice: Voice) -> LentVoice:
        """What joint generation needs of this engine; loads it. Raises `ModelError` for a mouth that cannot follow."""
        if self._parts.mouth.config.text_form is not TextForm.LETTERS:
            hint = "give a mouth that reads what a brain writes, as the published ones do (`omnitts models list`)"
            raise ModelError("this mouth reads phonemes, a brain writes letters", where=str(self.folder), hint=hint)
        cast = self._cast(voice)
        return LentVoice(self._parts.mouth, cast.rows, cast.prompt, self._parts.codec.detokenizer)

    def _cast(self, voice: Voice | None) -> CastVoice:
        return self._parts.casting.cast(voice)

    # Speaking -------------------------------------------------------------------------------------------------------

    @cached_property
    def _prefixes(self) -> PrefixStore:
        return PrefixStore(self._parts.mouth.model)

    @cached_property
    def _scheduler(self) -> Scheduler:
        return self._new_scheduler(self._capabilities.max_batch)

    @cached_property
    def _scheduler_of_one(self) -> Scheduler:
        """For streams: a pool for one piece is enough, and `speak` may have sequences in its own."""
        return self._new_scheduler(1)

    def _new_scheduler(self, most_at_once: int) -> Scheduler:
        return Scheduler(
            self._parts.mouth.model,
            self._parts.mouth.vocabulary,
            most_at_once=most_at_once,
            budget=self._settings.cache_budget,
            on_device=None if self._parts.steering is None else True,  # particles are too many to be drawn one by one
            utilisation=self.utilisation,
            steering=self._parts.steering,
        )

    def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
        """Sequences share one batch: each leaves when it is done and the next request takes its place.

        One call at a time. Raises `VoiceError` and `EngineError` for what cannot be spoken, and when memory does not
        suffice for a single piece.
        """
        source = iter(requests)
        most = self._capabilities.max_batch
        scheduler = self._scheduler
        scheduler.clear()
        at_once = most if self._parts.device.type == "cuda" else SOUNDS_AT_ONCE_ON_CPU
        with SoundStage(self._make_sounds, bound=2 * most, at_once=at_once, device=self._parts.device) as sounds:
            while True:
                scheduler.add(self._start(list(islice(source, most - scheduler.num_open))))
                if not scheduler.num_open:
                    break
                for sequence in scheduler.step():
                    while not sounds.has_room:
                        yield from sounds.take(wait=True)
                    sounds.put(sequence)
                yield from sounds.take()
            while not sounds.is_idle:
                yield from sounds.take(wait=True)

    def _start(self, requests: Sequence[SpeechRequest]) -> list[SpeechSequence]:
        """Requests as sequences that wait; the prompts of voices not met before are prefilled together."""
        prompts, cast = {}, []
        for request in requests:
            refuse_language(self.name, self._capabilities.languages, request.language)
            if request.speed != 1.0:
                raise EngineError("mgm-omni has no speed of its own", where="--speed", hint="assembly changes the pace")
            cast.append(self._cast(request.voice))
            prompts[voice_key(request.voice)] = cast[-1].rows
        if not requests:
            return []
        _ = self._parts.codec  # loaded here, in one thread, since several will want it
        with self.utilisation.busy("prefill"):
            prefixes = self._prefixes.get(prompts)
        mouth = self._parts.mouth
        return [
            SpeechSequence(
                request,
                Entry(
                    prefix=prefixes[voice_key(request.voice)],
                    text=schedule(mouth.vocabulary, mouth.prompts.text_ids(request.text.strip(), accent)),
                    sampling=self._sampling(request.seed),
                    row_limit=DEFAULT_MAX_ROWS + NARRATION.extra_rows,
                ),
                self._sounds(request, accent),
            )
            for request, accent in (
                (request, voice.accent or request.language) for request, voice in zip(requests, cast, strict=True)
            )
        ]

    def _sounds(self, request: SpeechRequest, accent: str) -> Sounds:
        """The sounds of the text, as the voice pronounces them: what steering listens for and the pronouncer says."""
        if self._parts.reader is None or (self._parts.steering is None and self._parts.pronouncing is None):
            return Sounds()
        return self._parts.reader.sounds(request.text, accent, primary_tag(request.language))

    def _sampling(self, seed: int) -> Sampling:
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        chosen = {name: getattr(self._options, name) for name in names}
        return self._parts.mouth.sampling(
            seed=seed, **{name: value for name, value in chosen.items() if value is not None}
        )

    def _make_sounds(self, finished: Sequence[SpeechSequence]) -> list[Speech]:
        """Codes of finished sequences through flow and vocoder together; smaller batches where memory is short."""
        detokenizer = self._parts.codec.detokenizer
        results = [sequence.result or _NOTHING_SAID for sequence in finished]
        codes = [self._codes(sequence) for sequence in finished]
        prompts = [self._settings.heard(self._cast(sequence.request.voice).prompt) for sequence in finished]
        seeds = [sequence.request.seed for sequence in finished]
        max_frames, started_s = detokenizer.batch_frames, time.perf_counter()
        while True:
            try:
                waves = detokenizer.speak(codes, prompts, seeds, max_batch_frames=max_frames)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if max_frames < 2:
                    hint = "close other programs, or speak shorter pieces"
                    raise EngineError("there is not enough memory to make sound of a piece", hint=hint) from error
                max_frames //= 4
                logger.warning("out of memory making sound: going on in smaller batches")
        per_code_s = (time.perf_counter() - started_s) / max(sum(map(len, codes)), 1)
        speeches = []
        for sequence, result, own, wave in zip(finished, results, codes, waves, strict=True):
            failure = result.failures[0].value if result.failures else "" if len(wave) else "empty"
            waveform = Waveform(wave.numpy(), CODEC_RATE) if len(wave) else silence(EMPTY_S, CODEC_RATE)
            compute_s = sequence.compute_s + per_code_s * len(own)
            speeches.append(Speech(sequence.request.key, waveform, failure, compute_s))
        return speeches

    def stream(self, request: SpeechRequest, options: StreamOptions | None = None) -> Iterator[Waveform]:
        """The sound of one request, piece by piece while it is being made; where speech is steered or pronounced, once
        it is whole, since what has been heard cannot be taken back.

        Raises `EngineError` if the model knows that the take went wrong: at the end, or before any of a whole is heard.
        """
        [sequence] = self._start([request])
        mouth, entry = self._parts.mouth, sequence.entry
        prompt = self._settings.heard(self._cast(request.voice).prompt)
        stream = SpeechStream(self._parts.codec.detokenizer, prompt, request.seed, options)
        rows = SoundingRows(mouth.vocabulary, mouth.config.dropped_rows)
        result = _NOTHING_SAID
        if self._parts.steering is not None or self._parts.pronouncing is not None:
            result = self._said(sequence)
            _refuse_failed(result)
            yield from (Waveform(wave.numpy(), CODEC_RATE) for wave in stream.push(self._codes(sequence).tolist()))
        elif entry.text.ids:
            length = max(entry.most_positions, USUAL_POSITIONS)
            slots = SpeechSlots(mouth.model, mouth.vocabulary, num_slots=1, max_length=length)
            slots.enter([0], [entry])
            while slots.states[0] != State.FINISHED:
                slots.step(1, slots.span_for(sequence.length))
                sequence.num_rows += 1
                for codes in rows.push(slots.last_row(0)):
                    yield from (Waveform(wave.numpy(), CODEC_RATE) for wave in stream.push(codes))
            result = slots.result(0)
        yield from (Waveform(wave.numpy(), CODEC_RATE) for wave in stream.finish())
        _refuse_failed(result)

    def _said(self, sequence: SpeechSequence) -> SpeechResult:
        """What a sequence says by itself."""
        scheduler = self._scheduler_of_one
        scheduler.clear()
        scheduler.add([sequence])
        while not scheduler.step():
            pass
        return sequence.result or _NOTHING_SAID

    def _codes(self, sequence: SpeechSequence) -> torch.Tensor:
        """(K,) int64: what becomes sound."""
        rows = (sequence.result or _NOTHING_SAID).rows
        codes = speech_codes(rows, self._parts.mouth.vocabulary, self._parts.mouth.config.dropped_rows)
        if self._parts.pronouncing is None:
            return codes
        return self._parts.pronouncing.codes(codes, sequence.sounds, self._cast(sequence.request.voice).prompt.speaker)

    def close(self) -> None:
        """Frees weights and prompts; the engine may be used again and loads them anew."""
        self._parts = Parts(self.folder, self._options, self._settings, self.utilisation)
        for name in ("_scheduler", "_scheduler_of_one", "_prefixes"):
            self.__dict__.pop(name, None)


def _refuse_failed(result: SpeechResult) -> None:
    if result.failures:
        raise EngineError(
            f"the take went wrong ({result.failures[0].value})", hint="speak it again with another --seed"
        )
