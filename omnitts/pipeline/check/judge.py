"""Judging takes: text that should be said, sound that was made and the voice it should have in; a `Verdict` out.

    checker = Checker(QualityOptions(max_wer=0.1), language="en")
    verdict = checker.judge(utterance.text, speech.waveform, voice, failure=speech.failure)

A take whose words look wrong is heard a second time with more care, and the better hearing counts: a fault is in both,
a slip of the recogniser seldom is. `rejudge` applies other thresholds to a stored verdict without hearing it again, and
`similarity_band` draws the line for a voice from all first takes. Knows nothing of jobs, seeds or files of takes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from omnitts.audio import Waveform
from omnitts.pipeline.check.asr_models import AsrModel, find_asr_model
from omnitts.pipeline.check.pace import measure_pace
from omnitts.pipeline.check.rules import RULES_VERSION, Limits, faults, score_of, word_faults
from omnitts.pipeline.check.signal import measure_signal, unexplained_sound
from omnitts.pipeline.check.similarity import RELIABLE_S, SpeakerEncoder, similarity_line
from omnitts.pipeline.check.sounds import EnglishSounds, NoSounds, Sounds
from omnitts.pipeline.check.text_equal import counts_characters, tokens_of
from omnitts.pipeline.check.transcribe import Listener, Transcriber, Transcript
from omnitts.pipeline.check.wer import Comparison, compare
from omnitts.types import Verdict, Voice
from omnitts.utilisation import Utilisation

log = logging.getLogger(__name__)

LEAK_WORDS: Final = 2  # added words at the head that end the reference's transcript
UNCHECKED_REVISION: Final = "unchecked"


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """How takes are checked; the names are those of the flags.

    ``asr`` is a model name or folder, empty for the best on this machine. ``max_wer`` and ``min_sim`` None mean the
    defaults of `rules` and the calibrated line. ``takes`` is how often an utterance is spoken at most (for the driver).
    ``check`` False leaves only the signal checks. ``threads`` 0 takes the cores there are.
    """

    check: bool = True
    asr: str = ""
    max_wer: float | None = None
    min_sim: float | None = None
    takes: int = 3
    device: str = "cpu"
    threads: int = 0

    @property
    def limits(self) -> Limits:
        return Limits(self.max_wer, self.min_sim)


class Checker:
    """Listens to takes. Loads its models at the first `judge` (or at `load`); one worker thread at a time calls it."""

    def __init__(self, options: QualityOptions, language: str, listener: Listener | None = None) -> None:
        self.options = options
        self.language = language or "en"
        self._listener = listener
        self._sounds: Sounds | None = None
        self._encoder = SpeakerEncoder(options.device)
        self.utilisation = Utilisation()
        self._model: AsrModel | None = None

    @property
    def revision(self) -> str:
        """Names what decides the measures: recogniser and rules. A stored verdict with another one is out of date.

        Raises what `find_asr_model` raises.
        """
        if not self.options.check:
            return UNCHECKED_REVISION
        heard_by = self._found().revision if self._listener is None else type(self._listener).__name__
        return f"{heard_by}-rules{RULES_VERSION}"

    def load(self) -> None:
        """Loads the recogniser now, so that a machine without one says so before anything is spoken."""
        if self.options.check:
            self._ears()

    def close(self) -> None:
        """Lets go of the models; the next `judge` loads them again."""
        if isinstance(self._listener, Transcriber):
            self._listener = None
        self._sounds = None
        self._encoder = SpeakerEncoder(self.options.device)

    def judge(
        self,
        text: str,
        waveform: Waveform,
        voice: Voice | None = None,
        failure: str = "",
        *,
        min_sim: float | None = None,
    ) -> Verdict:
        """Measures one take and says whether it is good.

        ``text`` is the spoken text; ``failure`` what the engine itself reports; ``min_sim`` the calibrated line of
        `similarity_band`, if it is known yet (``options.min_sim`` goes before it).
        """
        measured = self.measure(text, waveform, voice, failure)
        return rejudge(measured, self.options, min_sim=min_sim)

    def measure(self, text: str, waveform: Waveform, voice: Voice | None = None, failure: str = "") -> Verdict:
        """The figures alone; ``accepted`` is not decided yet."""
        signal = measure_signal(waveform)
        verdict = Verdict(accepted=False, signal=signal, details={"failure": failure} if failure else {})
        if not self.options.check or not len(waveform):
            return verdict
        if signal["active_s"] > 0:
            verdict = self._with_words(verdict, text, waveform, voice)
            if voice is not None:
                with self.utilisation.busy("similarity"):
                    verdict = replace(verdict, similarity=self._encoder.similarity(waveform, voice))
        else:
            verdict = _described(verdict, Transcript("", (), self.language), compare(text, "", self.language))
        return verdict

    def _with_words(self, verdict: Verdict, text: str, waveform: Waveform, voice: Voice | None) -> Verdict:
        first = self._heard(verdict, text, waveform, voice, careful=False)
        if not word_faults(first, self.options.limits):
            return first
        second = self._heard(verdict, text, waveform, voice, careful=True)
        best = min((first, second), key=lambda v: (word_faults(v, self.options.limits), v.errors))
        return replace(best, details={**best.details, "listenings": 2})

    def _heard(self, verdict: Verdict, text: str, waveform: Waveform, voice: Voice | None, careful: bool) -> Verdict:
        ears = self._ears()
        with self.utilisation.busy("recognise"):
            transcript = ears.transcribe(waveform, self.language, careful=careful)
        comparison = compare(text, transcript.text, self.language, self._sounds)
        described = _described(verdict, transcript, comparison)
        described.signal.update(unexplained_sound(waveform, transcript.words))
        if voice is not None and leaked(comparison, voice.transcript, self.language):
            described.details["leaked"] = True
        return described

    def _ears(self) -> Listener:
        if self._listener is None:
            self._listener = Transcriber(self._found(), self.options.device, threads=self.options.threads)
        if self._sounds is None:
            self._sounds = EnglishSounds(self._listener.is_rare) if self.language == "en" else NoSounds()
        return self._listener

    def _found(self) -> AsrModel:
        if self._model is None:
            self._model = find_asr_model(self.options.asr, language=self.language, device=self.options.device)
            log.info("checking with ASR model %s (%s)", self._model.name, self._model.origin)
        return self._model


def rejudge(verdict: Verdict, options: QualityOptions, *, min_sim: float | None = None) -> Verdict:
    """The same measures under these thresholds: fresh ``accepted``, ``reasons`` and ``score``."""
    reasons = faults(verdict, options.limits, min_sim)
    return replace(verdict, accepted=not reasons, reasons=reasons, score=score_of(verdict, reasons))


def similarity_band(first_takes: Iterable[Verdict], options: QualityOptions) -> float:
    """The least similarity for one voice, from the verdicts of *all* its first takes.

    Only takes that pass everything but the voice and hold at least three seconds of speech count. The line depends on
    the set of first takes and on nothing else, so a run that was killed and resumed finds the same one.
    """
    ignoring_voice = replace(options, min_sim=0.0)
    similarities = [
        verdict.similarity
        for verdict in first_takes
        if verdict.similarity is not None
        and verdict.signal.get("active_s", 0.0) >= RELIABLE_S
        and rejudge(verdict, ignoring_voice).accepted
    ]
    return similarity_line(similarities)


def leaked(comparison: Comparison, transcript: str, language: str) -> bool:
    """Whether the words added at the head are the end of the reference's transcript."""
    count = comparison.head_insertions
    if count < LEAK_WORDS or not transcript:
        return False
    added = " ".join(word for step in comparison.steps[:count] for word in step.heard)
    head = [token.text for token in tokens_of(added, language)]
    known = [token.text for token in tokens_of(transcript, language)]
    return any(known[at : at + len(head)] == head for at in range(len(known) - len(head) + 1))


def _described(verdict: Verdict, transcript: Transcript, comparison: Comparison) -> Verdict:
    pace = measure_pace(transcript.words, verdict.signal["active_s"])
    details = {
        "unit": "character" if counts_characters(transcript.language) else "word",
        "heard_words": comparison.heard_words,
        "gap_text": comparison.gap_text,
        "head_lost": comparison.head_lost,
        "tail_lost": comparison.tail_lost,
        "worst_window": comparison.worst_window,
        "longest_insertion": comparison.longest_insertion,
        "insertion_text": comparison.insertion_text,
        "repeats": comparison.repeats,
        "no_speech": round(transcript.no_speech, 3),
        "letters_per_s": pace.letters_per_s,
        "fastest": pace.fastest,
        "slowest": pace.slowest,
        "timings": [[word.text, round(word.start_s, 2), round(word.end_s, 2)] for word in transcript.words],
    }
    return replace(
        verdict,
        heard=transcript.text,
        wer=round(comparison.wer, 4),
        words=comparison.words,
        errors=comparison.errors,
        coverage=round(comparison.coverage, 4),
        longest_gap=comparison.longest_gap,
        head_insertions=comparison.head_insertions,
        tail_insertions=comparison.tail_insertions,
        rate_wps=pace.words_per_s,
        signal=dict(verdict.signal),
        alignment=tuple((step.kind, " ".join(step.expected), " ".join(step.heard)) for step in comparison.steps),
        details={**verdict.details, **details},
    )
