"""The recipe of `omnitts evaluate`: speak every item of a benchmark, hear it, score it, write the line, go on.

Items done by an earlier run are not done again. Speaking is what `omnitts speak` does (text normalised and cut into
pieces) unless ``whole`` hands each text to the engine as it is, which is how the published figures were made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from omnitts.audio import SILENCE_DBFS, Waveform, resample, rms_dbfs
from omnitts.engines.base import Engine, SpeechRequest
from omnitts.engines.checkpoints import mouths_present
from omnitts.engines.registry import AUTO, EngineOptions, choose_engine, open_engine
from omnitts.errors import EngineError, InputError, UsageError, VoiceError
from omnitts.pipeline.cast import ready_voice, to_simplified
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.similarity import SpeakerEncoder
from omnitts.pipeline.check.transcribe import Listener, Transcriber
from omnitts.pipeline.evaluate import seed_scoring, text_scoring
from omnitts.pipeline.evaluate.datasets import BENCHMARKS, Benchmark, EvalItem, read_dataset
from omnitts.pipeline.evaluate.results import ItemResult, Results, Score, score
from omnitts.pipeline.evaluate.text_scoring import WordErrors
from omnitts.pipeline.listening import whisper_device
from omnitts.pipeline.say import Speaker
from omnitts.pipeline.voices.card import voice_digest
from omnitts.progress import Event, Progress
from omnitts.types import Voice

SLICE_S: Final = 28.0  # the published script hears Long-TTS-Eval in slices of this length (specification 8)


@dataclass(frozen=True)
class EvaluateOptions:
    """The command line's options of the same names. ``voice`` speaks the items that bring no voice of their own."""

    benchmark: Benchmark
    data: Path
    out: Path
    name: str = ""
    engine: str = "auto"
    model: str = ""
    voice: str | None = None
    voice_text: str | None = None
    device: str = "auto"
    asr: str = ""
    subsets: tuple[str, ...] = ()
    limit: int | None = None
    whole: bool = False
    takes: int = 3
    seed: int = 0
    keep_audio: bool = False
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.benchmark not in BENCHMARKS:
            raise UsageError(f"no benchmark is called {self.benchmark!r}", hint=f"choose of {', '.join(BENCHMARKS)}")


@dataclass(frozen=True)
class Evaluation:
    """``results``: the file; ``scores``: of the items chosen, one per subset."""

    results: Path
    scores: tuple[Score, ...]
    num_failed: int


def evaluate(options: EvaluateOptions, progress: Progress, listener: Listener | None = None) -> Evaluation:
    """Speaks, hears and scores what is not done yet. ``listener`` stands in for a recogniser (tests).

    An item whose speech fails counts as if nothing had been said, and is tried again by the next run. Raises
    `InputError` for a data set that cannot be read, `VoiceError`, `EngineError`, `ModelError`, `UsageError`.
    """
    items = _chosen(read_dataset(options.benchmark, options.data), options)
    voice = None if options.voice is None else ready_voice(options.voice, options.voice_text, None, options.asr)
    engine = _open(options, items, voice)
    languages = {item.language for item in items}
    ears = _Ears(options, "en" if languages == {"en"} else "", listener)
    path = options.out / f"{options.benchmark}.{results_name(options, engine)}.jsonl"
    if options.fresh:
        path.unlink(missing_ok=True)
    header = {
        "benchmark": options.benchmark,
        "name": results_name(options, engine),
        "engine": engine.description,
        "engine_revision": engine.revision,
        "asr": ears.revision,
        "voice": voice.digest if voice else "",
        "whole": options.whole,
        "takes": options.takes,
        "seed": options.seed,
    }
    bench = _Bench(options, engine, voice, ears)
    try:
        with Results(path, header) as results:
            open_items = [item for item in items if not results.is_done(item.subset, item.id)]
            num_done = len(items) - len(open_items)
            progress.emit(Event("evaluating", {"items": len(items), "done": num_done, "results": str(path)}))
            for place, item in enumerate(open_items, start=1):
                result = bench.result_of(item)
                results.add(result)
                progress.emit(Event("scored", _told(result, place + num_done, len(items))))
            kept = [results.items[item.subset, item.id] for item in items]
    finally:
        engine.close()
    return Evaluation(path, tuple(score(kept)), sum(bool(result.failure) for result in kept))


def _open(options: EvaluateOptions, items: Sequence[EvalItem], voice: Voice | None) -> Engine:
    """The engine, once it is known that it speaks the languages of all items.

    An engine that is named and cannot clone speaks items with voices of their own in its own voice.
    """
    brings_voices = options.engine == AUTO and any(item.prompt_audio for item in items)
    present = (options.model,) if options.model else mouths_present()
    name = choose_engine(options.engine, has_voice=voice is not None or brings_voices, models_present=present)
    engine = open_engine(name, EngineOptions(model=options.model, device=options.device))
    spoken = engine.capabilities.languages
    for item in items:
        if spoken and item.language not in spoken:
            raise EngineError(
                f"the engine {name} does not speak {item.language!r}",
                where=f"subset {item.subset}",
                hint="choose what it speaks with --subset, or another --engine",
            )
    return engine


def results_name(options: EvaluateOptions, engine: Engine) -> str:
    """What the results file is called: ``--name``, else the engine, with its checkpoint's name where it has one."""
    model = Path(options.model).name if options.model else ""
    name = options.name or "-".join(part for part in (engine.name, model) if part)
    return re.sub(r"[^\w.-]+", "-", name)


class _Bench:
    """Engine, voices and recogniser of a run."""

    def __init__(self, options: EvaluateOptions, engine: Engine, voice: Voice | None, ears: _Ears) -> None:
        self._options = options
        self._engine = engine
        self._voice = voice
        self._ears = ears
        self._encoder = SpeakerEncoder()

    def result_of(self, item: EvalItem) -> ItemResult:
        options = self._options
        self._engine.prepare(self._voice)  # loading is not part of the real-time factor, nor a failure of an item
        failure, waveform, voice, synthesis_s = "", None, None, 0.0
        try:
            voice = self._voice_of(item)
            self._engine.prepare(voice)
            started_s = time.perf_counter()
            waveform = self._spoken(item, voice)
            synthesis_s = time.perf_counter() - started_s
        except (EngineError, InputError, VoiceError) as error:
            failure = str(error)
        heard = "" if waveform is None else self._ears.hear(waveform, item.language)
        errors = errors_of(options.benchmark, heard, item)
        similarity = None if waveform is None else self._similarity(waveform, voice)
        if waveform is not None and options.keep_audio:
            self._keep(waveform, item)
        return ItemResult(
            id=item.id,
            subset=item.subset,
            heard=heard,
            wer=errors.wer,
            substitutions=errors.substitutions,
            deletions=errors.deletions,
            insertions=errors.insertions,
            num_words=errors.num_words,
            similarity=similarity,
            audio_s=0.0 if waveform is None else round(waveform.duration_s, 3),
            synthesis_s=round(synthesis_s, 3),
            failure=failure,
        )

    def _similarity(self, waveform: Waveform, voice: Voice | None) -> float | None:
        try:
            return None if voice is None else self._encoder.similarity(waveform, voice)
        except VoiceError:  # too little speech in the prompt to know the voice by
            return None

    def _keep(self, waveform: Waveform, item: EvalItem) -> None:
        folder = self._options.out / f"{self._options.benchmark}.{results_name(self._options, self._engine)}"
        name = re.sub(r"[^\w.-]+", "-", item.id)
        waveform.save(folder / item.subset / f"{name}.flac")

    def _voice_of(self, item: EvalItem) -> Voice | None:
        if item.prompt_audio is None or self._voice is not None:
            return self._voice
        if not self._engine.capabilities.clones:
            return None
        if not item.prompt_text:
            return ready_voice(str(item.prompt_audio), None, item.language, self._options.asr)
        # Not by way of the library, which refuses clips too short to be a good reference: the benchmark has such.
        path, said = item.prompt_audio, item.prompt_text
        return Voice(path.stem, path, digest=voice_digest(path, said), transcript=said, language=item.language)

    def _spoken(self, item: EvalItem, voice: Voice | None) -> Waveform:
        options = self._options
        if not options.whole:
            speaker = Speaker(self._engine, voice)
            return speaker.say(item.text, language=item.language, seed=options.seed, takes=options.takes)
        request = SpeechRequest(item.id, item.text, voice, item.language, options.seed)
        speech = next(iter(self._engine.speak([request])))
        if rms_dbfs(speech.waveform.samples) <= SILENCE_DBFS:
            raise EngineError(f"the speech is empty ({speech.failure or 'no sound'})")
        return speech.waveform  # a take that the engine doubts is heard and scored like any other


class _Ears:
    """The recogniser, opened when the first sound is there."""

    def __init__(self, options: EvaluateOptions, language: str, listener: Listener | None) -> None:
        self._options = options
        self._device = whisper_device(options.device if options.device in ("cpu", "cuda") else "auto")
        self._listener = listener
        self._model = None if listener else find_asr_model(options.asr, language=language, device=self._device)
        self.revision = self._model.revision if self._model else "stand-in"

    def hear(self, waveform: Waveform, language: str) -> str:
        """Long-TTS-Eval in slices as published, joined by a space or, in Chinese, by nothing; others whole."""
        if self._listener is None:
            assert self._model is not None
            self._listener = Transcriber(self._model, self._device)
        parts = list(slices(waveform)) if self._options.benchmark == "long-tts-eval" else [waveform]
        heard = [self._listener.transcribe(part, language).text for part in parts]
        text = ("" if language == "zh" else " ").join(part for part in heard if part)
        return to_simplified(text) if language == "zh" else text


def slices(waveform: Waveform) -> Iterator[Waveform]:
    """Pieces of `SLICE_S` at 16 kHz, cut wherever that is, words or not."""
    sound = resample(waveform, 16_000)
    size = round(SLICE_S * sound.sample_rate)
    for start in range(0, len(sound), size):
        yield Waveform(sound.samples[start : start + size], sound.sample_rate)


def errors_of(benchmark: Benchmark, heard: str, item: EvalItem) -> WordErrors:
    """By the benchmark's own rules."""
    if benchmark == "seed-tts-eval":
        return seed_scoring.score_file(heard, item.text, item.language)
    return text_scoring.score_file(heard, item.references, item.language)


def _chosen(items: Sequence[EvalItem], options: EvaluateOptions) -> list[EvalItem]:
    """Those of the subsets asked for, the first ``limit`` of each."""
    known = {item.subset for item in items}
    unknown = sorted(set(options.subsets) - known)
    if unknown:
        hint = f"here are {', '.join(sorted(known))}"
        raise UsageError(f"the data has no subset {unknown[0]!r}", where="--subset", hint=hint)
    taken: dict[str, int] = {}
    chosen = []
    for item in items:
        taken[item.subset] = taken.get(item.subset, 0) + 1
        is_wanted = not options.subsets or item.subset in options.subsets
        if is_wanted and (options.limit is None or taken[item.subset] <= options.limit):
            chosen.append(item)
    return chosen


def _told(result: ItemResult, place: int, total: int) -> dict[str, object]:
    return {
        "id": result.id,
        "subset": result.subset,
        "wer": round(result.wer, 4),
        "similarity": result.similarity,
        "audio_s": result.audio_s,
        "synthesis_s": result.synthesis_s,
        "failure": result.failure,
        "place": place,
        "items": total,
    }
