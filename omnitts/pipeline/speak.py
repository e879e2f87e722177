"""Speaking a book: pending utterances go through a fleet, come back as clips, are judged beside it, and fill the job.

Takes come in waves: everything once, then what was rejected with the next seed, up to the number of takes. What is
spoken depends on the job's rows alone, never on timing, so a run killed anywhere ends like one that was not. Knows no
engine and no recogniser, only their faces; writes nothing but the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnitts import audio
from omnitts.engines.base import SpeechRequest
from omnitts.errors import EngineError
from omnitts.fleet.base import Fleet
from omnitts.pipeline.check.judge import Checker, rejudge, similarity_band
from omnitts.pipeline.eta import Eta
from omnitts.pipeline.job import Job, Status, Take
from omnitts.pipeline.judging import Judges
from omnitts.pipeline.text.sentences import sentence_spans
from omnitts.progress import Event, Progress
from omnitts.types import Utterance, Verdict, Voice

JOIN_PAUSE_S = 0.3  # between sentences that had to be spoken one by one

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpeakOptions:
    """``takes``: how often a piece is spoken at most. ``seed``: of the first take; each further take adds one."""

    takes: int = 3
    seed: int = 0
    speed: float = 1.0


@dataclass(frozen=True)
class Stage:
    """What speaking needs, handed in once. ``casting``: the voice of each speaker name, the narrator's is ``""``."""

    job: Job
    fleet: Fleet
    checker: Checker
    casting: Mapping[str, Voice | None]
    options: SpeakOptions
    progress: Progress
    chapter_titles: Sequence[str] = ()


@dataclass(frozen=True)
class Work:
    """What a run did: pieces spoken (retakes too), seconds of sound made, and seconds that the engine and the checks
    worked; ``wall_s`` is how long it all took, loading included."""

    num_spoken: int = 0
    audio_s: float = 0.0
    speak_s: float = 0.0
    check_s: float = 0.0
    wall_s: float = 0.0


def speak(stage: Stage, utterances: Sequence[Utterance]) -> Work:
    """Speaks and judges until every utterance of the job's plan is accepted or out of takes.

    Raises what the fleet raises; all finished work is in the job by then.
    """
    run = _Run(stage, list({utterance.id: utterance for utterance in utterances}.values()))
    try:
        run.recall_similarity()
        run.judge_leftovers()
        run.speak(run.claims(first_takes=True))
        run.settle_similarity()
        while claimed := run.claims():
            run.speak(claimed)
        run.speak_by_sentences()
    finally:
        run.close()
    return run.work()


class _Run:
    """One call of `speak`: what there is to say, and how far it is."""

    def __init__(self, stage: Stage, pieces: Sequence[Utterance]) -> None:
        self.stage = stage
        self.pieces = pieces
        self.by_id = {piece.id: piece for piece in pieces}
        self._lines: dict[str, float] = {}  # least similarity, by digest of the voice
        self._judges = Judges(stage.checker, stage.job.folder, stage.casting)
        self._eta = Eta(0.0)
        self._num_spoken, self._audio_s, self._speak_s = 0, 0.0, 0.0
        self._wave = _Wave()
        self._started_s = time.perf_counter()

    def close(self) -> None:
        self._judges.close()

    def work(self) -> Work:
        wall_s = time.perf_counter() - self._started_s
        return Work(self._num_spoken, self._audio_s, self._speak_s, self._judges.busy_s, wall_s)

    # What to do -----------------------------------------------------------------------------------------------------

    def claims(self, *, first_takes: bool = False) -> list[tuple[Utterance, int]]:
        """The next wave, as utterances and the number of the take: those with takes left, least often spoken first."""
        open_pieces = self._open()
        if not open_pieces:
            return []
        wave = 0 if first_takes else min(take for _, take in open_pieces)
        return [(piece, take) for piece, take in open_pieces if take == wave]

    def _open(self) -> list[tuple[Utterance, int]]:
        """Utterances that are not accepted and may be spoken again, with the number of their next take."""
        statuses, numbers = self.stage.job.statuses(), self.stage.job.take_numbers()
        return [
            (piece, numbers[piece.id][0])
            for piece in self.pieces
            if statuses[piece.id] in (Status.PENDING, Status.REJECTED) and self._takes_left(numbers[piece.id]) > 0
        ]

    def _takes_left(self, numbers: tuple[int, int]) -> int:
        spoken, extra = numbers
        return self.stage.options.takes + extra - spoken

    # Waves ----------------------------------------------------------------------------------------------------------

    def speak(self, claimed: Sequence[tuple[Utterance, int]]) -> None:
        """One wave: every claimed utterance once, each judged beside the speaking of later ones."""
        if not claimed:
            return
        take = claimed[0][1]
        self._eta.expect(sum(piece.estimate_s for piece, _ in self._open()))
        self._begin_wave(take, [piece for piece, _ in claimed])
        requests = (self._request(piece, piece.id, piece.text, take) for piece, _ in claimed)
        for speech in self.stage.fleet.speak(requests):
            piece = self.by_id[speech.key]
            seed = self.stage.options.seed + take
            stored = self.stage.job.add_take(
                piece.id, take, seed, speech.waveform, failure=speech.failure, synthesis_s=speech.synthesis_s
            )
            self._count(stored)
            self._judge(piece, stored)
        self._finish_judging()
        silent = [piece for piece, _ in claimed if self.stage.job.status(piece.id) is Status.PENDING]
        if silent:
            raise EngineError(
                f"the engine {self.stage.fleet.name} gave no sound for {len(silent)} of {len(claimed)} pieces",
                where=silent[0].source,
                hint="run the same command again; if it stays so, report it",
            )

    def speak_by_sentences(self) -> None:
        """The last resort where every take failed in the engine: sentence by sentence, joined to one take."""
        job, numbers = self.stage.job, self.stage.job.take_numbers()
        for piece in self.pieces:
            takes = job.takes(piece.id)
            hopeless = takes and all(take.failure for take in takes) and self._takes_left(numbers[piece.id]) == 0
            sentences = [piece.text[span.start : span.end].strip() for span in sentence_spans(piece.text)]
            if not hopeless or len(sentences) < 2:
                continue
            logger.info("every take of %r failed: speaking it sentence by sentence", piece.text[:40])
            take = len(takes)
            self._begin_wave(take, [piece])
            requests = [self._request(piece, str(idx), text, take) for idx, text in enumerate(sentences)]
            parts = {int(speech.key): speech for speech in self.stage.fleet.speak(requests)}
            gap = audio.silence(JOIN_PAUSE_S, parts[0].waveform.sample_rate)
            sounds = [sound for idx in sorted(parts) for sound in (parts[idx].waveform, gap)]
            failures = [part.failure for part in parts.values() if part.failure]
            stored = job.add_take(
                piece.id, take, self.stage.options.seed + take, audio.join(sounds[:-1]),
                failure=failures[0] if failures else "", synthesis_s=sum(part.synthesis_s for part in parts.values()),
            )  # fmt: skip
            self._count(stored)
            self._judge(piece, stored)
            self._finish_judging()

    # Verdicts -------------------------------------------------------------------------------------------------------

    def judge_leftovers(self) -> None:
        """Takes that an earlier run did not live to judge are heard; verdicts it gave follow this run's thresholds."""
        revision = self.stage.checker.revision
        unheard = []
        for piece in self.pieces:
            for take in self.stage.job.takes(piece.id):
                if take.verdict is None or take.checks != revision:
                    unheard.append((piece, take.clip.take))
                else:
                    self._decide(piece, take, take.verdict)
        if not unheard:
            return
        audio_s = sum(piece.estimate_s for piece, _ in unheard)
        self._wave, self._eta = _Wave(len(unheard)), Eta(audio_s)
        self.stage.progress.emit(Event("checking", {"pieces": len(unheard), "audio_s": round(audio_s, 1)}))
        for piece, number in unheard:
            self._judge(piece, next(take for take in self.stage.job.takes(piece.id) if take.clip.take == number))
        self._finish_judging()
        self._eta = Eta(0.0)  # listening again says nothing about the pace of speaking

    def recall_similarity(self) -> None:
        """The similarity lines that an earlier run settled."""
        for digest in self._voice_digests():
            stored = self.stage.job.get(self._line_key(digest))
            if stored is not None:
                self._lines[digest] = float(stored)

    def settle_similarity(self) -> None:
        """Once all first takes are in: draws each voice's similarity line from them, and judges all takes by it.

        A line is drawn once per voice and kept in the job, so that later edits of the text do not move it.
        """
        job = self.stage.job
        for digest in self._voice_digests():
            pieces = [piece for piece in self.pieces if self._digest_of(piece) == digest]
            if digest not in self._lines:
                firsts = (take.verdict for piece in pieces for take in job.takes(piece.id)[:1] if take.verdict)
                self._lines[digest] = similarity_band(firsts, self.stage.checker.options)
                job.put({self._line_key(digest): repr(self._lines[digest])})
            for piece in pieces:
                for take in job.takes(piece.id):
                    if take.verdict is not None:
                        self._decide(piece, take, take.verdict)

    def _judge(self, piece: Utterance, take: Take) -> None:
        self._judges.listen(piece, take)
        for heard in self._judges.ready():
            self._record(*heard)

    def _finish_judging(self) -> None:
        for heard in self._judges.all():
            self._record(*heard)

    def _record(self, piece: Utterance, take: Take, measured: Verdict) -> None:
        verdict = self._decide(piece, take, measured)
        self._tell(piece, take, verdict)

    def _decide(self, piece: Utterance, take: Take, measured: Verdict) -> Verdict:
        """Applies thresholds and similarity line to measures and stores what they give, if it is new."""
        checker = self.stage.checker
        verdict = rejudge(measured, checker.options, min_sim=self._lines.get(self._digest_of(piece)))
        if verdict != take.verdict or take.checks != checker.revision:
            self.stage.job.record(take.clip, verdict, checker.revision)
        return verdict

    def _digest_of(self, piece: Utterance) -> str:
        voice = self.stage.casting[piece.speaker]
        return voice.digest if voice is not None else ""

    def _voice_digests(self) -> list[str]:
        return sorted({self._digest_of(piece) for piece in self.pieces} - {""})

    def _line_key(self, digest: str) -> str:
        return f"similarity line {digest} {self.stage.fleet.revision} {self.stage.checker.revision}"

    # Requests and news ----------------------------------------------------------------------------------------------

    def _request(self, piece: Utterance, key: str, text: str, take: int) -> SpeechRequest:
        options = self.stage.options
        voice = self.stage.casting[piece.speaker]
        return SpeechRequest(key, text, voice, piece.language, options.seed + take, options.speed)

    def _begin_wave(self, take: int, pieces: Sequence[Utterance]) -> None:
        audio_s = sum(piece.estimate_s for piece in pieces)
        self._wave = _Wave(len(pieces))
        data = {"take": take, "pieces": len(pieces), "audio_s": round(audio_s, 1)}
        self.stage.progress.emit(Event("speaking", data))

    def _count(self, take: Take) -> None:
        self._num_spoken += 1
        self._audio_s += take.clip.duration_s
        self._speak_s += take.clip.synthesis_s

    def _tell(self, piece: Utterance, take: Take, verdict: Verdict) -> None:
        again = not verdict.accepted and self._takes_left(self.stage.job.take_number(piece.id)) > 0
        self._eta.finish(piece.estimate_s, again=again)
        self._wave.num_done += 1
        self._wave.done_s += piece.estimate_s
        remaining_s, speed = self._eta.remaining_s(), self._eta.rate()
        titles = self.stage.chapter_titles
        data = {
            "chapter": piece.chapter_idx + 1,
            "chapter_title": titles[piece.chapter_idx] if piece.chapter_idx < len(titles) else "",
            "utterance": piece.id,
            "take": take.clip.take,
            "accepted": verdict.accepted,
            "reasons": list(verdict.reasons),
            "text": piece.text,
            "wer": verdict.wer,
            "similarity": verdict.similarity,
            "pieces_done": self._wave.num_done,
            "pieces_total": self._wave.num_pieces,
            "audio_done_s": round(self._wave.done_s, 1),
            "audio_made_s": round(self._audio_s, 1),
            "speed": None if speed is None else round(speed, 2),
            "remaining_s": None if remaining_s is None else round(remaining_s),
        }
        self.stage.progress.emit(Event("judged", data))


@dataclass
class _Wave:
    """How far a wave is, in pieces and in estimated seconds of sound."""

    num_pieces: int = 0
    num_done: int = 0
    done_s: float = 0.0
