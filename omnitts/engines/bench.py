"""Bench: how fast this machine speaks. Weights and sizes in; seconds of sound per second out, stage by stage.

Pieces of one length are spoken with random text, so that the figures do not depend on what a model would say: each is
cut after its number of rows. Works for a checkpoint and for random weights alike. Knows no text and no files.

A row is one decode step of one sequence: 4 speech tokens, 0.16 s of sound.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import torch
from torch import Tensor

from omnitts.audio import Waveform
from omnitts.engines.base import SpeechRequest
from omnitts.engines.mgm_omni_settings import TOKENS_PER_S, USUAL_PROMPT_S
from omnitts.engines.prefixes import PrefixStore
from omnitts.engines.scheduler import DECODE, Scheduler
from omnitts.engines.sequence import Sequence
from omnitts.engines.sound_stage import SoundStage
from omnitts.models.codec.detokenizer import Detokenizer
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.codec.streaming import SpeechStream, StreamOptions
from omnitts.models.mgm_omni.feed_table import CLOSES_TEXT, GOES_ON, SpokenText, State
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_rows import speech_codes
from omnitts.models.mgm_omni.speech_slots import Entry, Prefix, SpeechSlots
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary
from omnitts.utilisation import Utilisation

ROWS_PER_TEXT_ID: Final = 1.6  # English: about 4 text ids a second at 6.25 rows a second
FIRST_AUDIO: Final = StreamOptions(hop=25)  # a second of sound in the first piece


@dataclass(frozen=True)
class BenchParts:
    """What is measured. ``voice_rows``: rows of the mouth's prompt (150 is a reference of 20 s); ``prompt_tokens``: as
    much of the reference as the flow hears.
    """

    model: SpeechLM
    vocabulary: SpeechVocabulary
    dropped_rows: int
    detokenizer: Detokenizer
    voice_rows: int = 100
    prompt_tokens: int = round(USUAL_PROMPT_S * TOKENS_PER_S)

    @property
    def device(self) -> torch.device:
        return self.model.model.embed_tokens.weight.device


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """One batch size. Rates are seconds of sound per second; ``tokens_per_s`` counts speech tokens."""

    batch: int
    pieces: int
    audio_s: float
    tokens_per_s: float
    decode: float
    flow: float
    vocoder: float
    end_to_end: float
    step_ms: float
    utilisation: dict[str, float]


class Bench:
    """Measures one set of parts. ``piece_s``: seconds of sound in a piece."""

    def __init__(self, parts: BenchParts, piece_s: float) -> None:
        self._parts = parts
        model, vocabulary = parts.model, parts.vocabulary
        self._num_rows = max(round(piece_s * TOKENS_PER_S / vocabulary.codes_per_row), parts.dropped_rows + 4)
        random = torch.Generator().manual_seed(0)
        width = 1 + vocabulary.codes_per_row
        rows = torch.randint(
            0, min(vocabulary.text_size, vocabulary.speech_eos), (parts.voice_rows, width), generator=random
        )
        self._prompt_rows = rows
        flow = parts.detokenizer.flow.config
        self._voice = VoicePrompt(
            tokens=torch.randint(0, flow.vocab_size, (parts.prompt_tokens,), generator=random),
            mel=torch.randn(2 * parts.prompt_tokens, flow.mel_bins, generator=random) - 5.0,
            speaker=torch.randn(flow.speaker_size, generator=random),
        )
        self._prefix: Prefix = PrefixStore(model).get({"": rows})[""]

    def prefill_s(self, repeats: int = 3) -> float:
        """Median seconds that a voice's prompt takes, once per voice."""
        taken = []
        for _ in range(repeats):
            started_s = time.perf_counter()
            PrefixStore(self._parts.model).get({"": self._prompt_rows})
            self._wait()
            taken.append(time.perf_counter() - started_s)
        return statistics.median(taken)

    def first_audio_s(self) -> float:
        """Seconds from a request to its first second of sound, alone, in a voice that is ready."""
        started_s = time.perf_counter()
        vocabulary = self._parts.vocabulary
        stream = SpeechStream(self._parts.detokenizer, self._voice, 0, FIRST_AUDIO)
        entry = self._entry(0, num_rows=2 * FIRST_AUDIO.hop)  # more than the first piece needs
        slots = SpeechSlots(self._parts.model, vocabulary, num_slots=1, max_length=entry.most_positions)
        slots.enter([0], [entry])
        length = self._prefix.length
        while slots.states[0] != State.FINISHED:
            length += 1
            slots.step(1, slots.span_for(length))
            codes = [min(code, vocabulary.speech_eos - 1) for code in slots.last_row(0)[1:]]
            if next(iter(stream.push(codes)), None) is not None:
                break
        return time.perf_counter() - started_s

    def measure(self, batch: int, pieces: int | None = None) -> tuple[BatchFigures, list[Waveform]]:
        """Decoding alone, sound alone, then both overlapped, of as many pieces as the batch holds (or ``pieces``)."""
        number = pieces or batch
        used = Utilisation()
        scheduler = self._scheduler(batch, used)
        finished = list(self._speak(scheduler, number))
        codes = [self._codes(sequence) for sequence in finished]
        tokens = number * self._num_rows * self._parts.vocabulary.codes_per_row
        audio_s = sum(map(len, codes)) / TOKENS_PER_S
        sound_use = self._parts.detokenizer.utilisation = Utilisation()
        waves = self._sound(finished)

        wall_s, overlapped = self.speak_overlapped(batch, number)
        decode_s = used.busy_s(DECODE)
        figures = BatchFigures(
            batch=batch,
            pieces=number,
            audio_s=audio_s,
            tokens_per_s=tokens / decode_s,
            decode=tokens / TOKENS_PER_S / decode_s,
            flow=audio_s / sound_use.busy_s("flow"),
            vocoder=audio_s / sound_use.busy_s("vocoder"),
            end_to_end=audio_s / wall_s,
            step_ms=1000 * decode_s / (self._num_rows * -(-number // batch)),
            utilisation={line.stage: line.share for line in overlapped.table(wall_s)},
        )
        return figures, [Waveform(wave.numpy(), self._parts.detokenizer.rate_hz) for wave in waves]

    def speak_overlapped(self, batch: int, number: int) -> tuple[float, Utilisation]:
        """``number`` pieces, decoding and sound beside each other as in the engine: seconds, and who was busy."""
        used = self._parts.detokenizer.utilisation = Utilisation()
        scheduler = self._scheduler(batch, used)
        started_s = time.perf_counter()
        with SoundStage(self._sound, bound=2 * batch, at_once=max(batch, 4), device=self._parts.device) as stage:
            for sequence in self._speak(scheduler, number):
                while not stage.has_room:
                    stage.take(wait=True)
                stage.put(sequence)
                stage.take()
            while not stage.is_idle:
                stage.take(wait=True)
        return time.perf_counter() - started_s, used

    def warm_up(self, batch: int) -> None:
        """What is slow only the first time is done before anything is measured."""
        plain, self._num_rows = self._num_rows, self._parts.dropped_rows + 4
        self._sound(list(self._speak(self._scheduler(batch, Utilisation()), min(batch, 2))))
        self._num_rows = plain

    def _speak(self, scheduler: Scheduler, number: int) -> Iterator[Sequence]:
        source = (Sequence(SpeechRequest(str(seed), ""), self._entry(seed)) for seed in range(number))
        while True:
            scheduler.add(islice(source, max(scheduler.most_at_once - scheduler.num_open, 0)))
            if not scheduler.num_open:
                return
            yield from scheduler.step()

    def _scheduler(self, batch: int, used: Utilisation) -> Scheduler:
        return Scheduler(self._parts.model, self._parts.vocabulary, most_at_once=batch, utilisation=used)

    def _entry(self, seed: int, num_rows: int | None = None) -> Entry:
        num_rows = num_rows or self._num_rows
        count = max(int(num_rows / ROWS_PER_TEXT_ID), 1)
        ids = torch.randint(
            0, self._parts.vocabulary.text_size - 3, (count,), generator=torch.Generator().manual_seed(seed)
        )
        text = SpokenText(tuple(ids.tolist()), (GOES_ON,) * (count - 1) + (CLOSES_TEXT,))
        return Entry(self._prefix, text, Sampling(seed=seed), num_rows)

    def _codes(self, sequence: Sequence) -> Tensor:
        assert sequence.result is not None
        codes = speech_codes(sequence.result.rows, self._parts.vocabulary, self._parts.dropped_rows)
        return codes.clamp(max=self._parts.detokenizer.flow.config.vocab_size - 1)

    def _sound(self, finished: Iterable[Sequence]) -> list[Tensor]:
        codes = [self._codes(sequence) for sequence in finished]
        return self._parts.detokenizer.speak(codes, [self._voice] * len(codes), list(range(len(codes))))

    def _wait(self) -> None:
        if self._parts.device.type == "cuda":
            torch.cuda.synchronize()


def peak_memory_bytes(device: torch.device) -> int:
    """The most this process has held: on the GPU, or in memory (0 where the system does not tell)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
