"""Speaking: takes in waves, verdicts that follow the thresholds without listening again, checks beside synthesis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnitts.audio import Waveform
from omnitts.engines.base import Speech, SpeechRequest
from omnitts.engines.fake import FakeEngine
from omnitts.engines.registry import EngineOptions
from omnitts.fleet.base import open_fleet
from omnitts.pipeline.check.judge import QualityOptions, similarity_band
from omnitts.pipeline.check.signal import measure_signal
from omnitts.pipeline.check.transcribe import Transcript
from omnitts.pipeline.job import Job, JobFolder, Status, open_job
from omnitts.pipeline.judging import QUEUE
from omnitts.pipeline.speak import SpeakOptions, Stage, Work, speak
from omnitts.progress import Event
from omnitts.types import Span, Utterance, Verdict, Voice

REVISION = "ears-1"


class Ears:
    """A checker that measures as it is told: ``wer(text, failure)``. Counts what it is asked to hear."""

    language = "en"
    revision = REVISION

    def __init__(self, wer: Callable[[str], float], options: QualityOptions | None = None) -> None:
        self.options = options or QualityOptions()
        self.heard: list[str] = []
        self._wer = wer

    def measure(self, text: str, waveform: Waveform, voice: Voice | None = None, failure: str = "") -> Verdict:
        self.heard.append(text)
        wer = self._wer(text)
        signal = {**measure_signal(waveform), "active_s": 4.0}
        return Verdict(
            accepted=False, heard=text, wer=wer, words=20, errors=round(20 * wer), coverage=1.0, signal=signal,
            similarity=0.9 if voice else None, details={"heard_words": 20, "failure": failure},
        )  # fmt: skip


class News:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def named(self, name: str) -> list[dict[str, object]]:
        return [event.data for event in self.events if event.name == name]


def piece(idx: int, text: str = "", speaker: str = "") -> Utterance:
    text = text or f"This is piece number {idx} of the book."
    return Utterance(
        id=f"piece-{idx}", chapter_idx=0, piece_idx=idx, text=text, display=text, span=Span(0, len(text)),
        pause="sentence", pause_s=0.3, speaker=speaker, language="en", source="book", estimate_s=3.0,
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with open_job(JobFolder(tmp_path / "job")) as opened:
        yield opened


def run(
    job: Job,
    pieces: list[Utterance],
    ears: object,
    *,
    engine: object | None = None,
    voice: Voice | None = None,
    takes: int = 3,
) -> tuple[Work, News]:
    job.set_plan(pieces)
    news = News()
    fleet = open_fleet(engine or FakeEngine(EngineOptions()))  # type: ignore[arg-type]
    with fleet:
        stage = Stage(job, fleet, ears, {"": voice}, SpeakOptions(takes=takes, seed=10), news)  # type: ignore[arg-type]
        return speak(stage, pieces), news


def test_everything_once_then_what_was_rejected_with_the_next_seed(job: Job) -> None:
    pieces = [piece(idx) for idx in range(5)]
    bad = {"piece-1": 9, "piece-3": 1}  # how many takes of these are bad

    def wer(text: str) -> float:
        key = f"piece-{text.split()[4]}"
        bad[key] = bad.get(key, 0) - 1
        return 0.9 if bad[key] >= 0 else 0.0

    work, news = run(job, pieces, Ears(wer))
    assert [(wave["take"], wave["pieces"]) for wave in news.named("speaking")] == [(0, 5), (1, 2), (2, 1)]
    assert work.num_spoken == 8
    assert {key: len(job.takes(key)) for key in ("piece-0", "piece-1", "piece-3")} == {
        "piece-0": 1, "piece-1": 3, "piece-3": 2,
    }  # fmt: skip
    assert [take.clip.seed for take in job.takes("piece-1")] == [10, 11, 12]
    assert job.status("piece-1") is Status.REJECTED
    assert job.status("piece-3") is Status.ACCEPTED


def test_granted_takes_are_spoken_by_the_next_run(job: Job) -> None:
    pieces = [piece(0)]
    run(job, pieces, Ears(lambda _: 0.9), takes=2)
    job.grant_takes(["piece-0"], 2)
    _, news = run(job, pieces, Ears(lambda _: 0.0), takes=2)
    assert [wave["take"] for wave in news.named("speaking")] == [2]
    assert job.status("piece-0") is Status.ACCEPTED


def test_other_thresholds_judge_again_without_listening(job: Job) -> None:
    pieces = [piece(idx) for idx in range(3)]
    wer = 0.25
    strict = Ears(lambda _: wer, QualityOptions(max_wer=0.1))
    run(job, pieces, strict, takes=1)
    assert job.counts()[Status.REJECTED] == 3
    lax = Ears(lambda _: wer, QualityOptions(max_wer=0.5))
    work, news = run(job, pieces, lax, takes=1)
    assert (lax.heard, work.num_spoken, news.named("checking")) == ([], 0, [])
    assert job.counts()[Status.ACCEPTED] == 3
    run(job, pieces, Ears(lambda _: wer, QualityOptions(max_wer=0.1)), takes=1)
    assert job.counts()[Status.REJECTED] == 3


def test_another_recogniser_listens_again_but_speaks_nothing(job: Job) -> None:
    pieces = [piece(idx) for idx in range(3)]
    run(job, pieces, Ears(lambda _: 0.0))
    other = Ears(lambda _: 0.0)
    other.revision = "ears-2"
    work, news = run(job, pieces, other)
    assert len(other.heard) == 3
    assert work.num_spoken == 0
    assert news.named("checking") == [{"pieces": 3, "audio_s": 9.0}]
    assert [data["pieces_done"] for data in news.named("judged")] == [1, 2, 3]
    assert news.named("judged")[-1]["pieces_total"] == 3


def test_takes_that_a_killed_run_did_not_judge_are_judged_first(job: Job) -> None:
    pieces = [piece(0), piece(1)]
    job.set_plan(pieces)
    job.add_take("piece-0", 0, 10, FakeEngine(EngineOptions())._speak_one(request(pieces[0])).waveform)
    ears = Ears(lambda _: 0.0)
    work, news = run(job, pieces, ears)
    assert ears.heard == [pieces[0].text, pieces[1].text]
    assert work.num_spoken == 1
    assert [event.name for event in news.events] == ["checking", "judged", "speaking", "judged"]


def request(utterance: Utterance) -> SpeechRequest:
    return SpeechRequest(utterance.id, utterance.text, None, "en", 10)


def test_the_similarity_line_is_drawn_once_and_kept(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import omnitts.pipeline.speak as stage

    drawn = []

    def band(takes: Iterable[Verdict], options: QualityOptions) -> float:
        drawn.append(len(list(takes)))
        return 0.95 if len(drawn) == 1 else 0.1

    monkeypatch.setattr(stage, "similarity_band", band)
    voice = Voice(name="anna", audio=tmp_path / "anna.wav", digest="d" * 64, transcript="hello")
    pieces = [piece(idx) for idx in range(4)]
    run(job, pieces, Ears(lambda _: 0.0), voice=voice, takes=2)
    assert drawn == [4]  # all first takes
    assert job.counts()[Status.REJECTED] == 4  # 0.9 is under the line, so each was spoken twice
    assert len(job.takes("piece-0")) == 2
    run(job, [*pieces, piece(4)], Ears(lambda _: 0.0), voice=voice, takes=2)
    assert drawn == [4]
    assert job.status("piece-4") is Status.REJECTED
    run(job, pieces, Ears(lambda _: 0.0, QualityOptions(min_sim=0.5)), voice=voice, takes=2)
    assert job.counts()[Status.ACCEPTED] == 4  # what is asked for goes before the line


def test_the_line_of_many_takes_reads_them_one_by_one() -> None:
    verdicts = (Verdict(accepted=True, similarity=0.8) for _ in range(50))
    assert similarity_band(verdicts, QualityOptions()) <= 0.8


def test_checks_run_beside_synthesis_and_bound_it(job: Job) -> None:
    """Counted, not timed: the first verdict waits until the engine is ahead; the engine never gets far ahead."""
    spoken = threading.Semaphore(0)
    released = threading.Event()
    most_waiting = 0
    num_spoken = num_heard = 0

    class Engine(FakeEngine):
        def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
            nonlocal num_spoken
            for speech in super().speak(requests):
                num_spoken += 1
                spoken.release()
                yield speech

    class Slow(Ears):
        def measure(self, text: str, waveform: Waveform, voice: Voice | None = None, failure: str = "") -> Verdict:
            nonlocal num_heard, most_waiting
            if not released.is_set():
                for _ in range(QUEUE):  # would wait for ever if speaking waited for the first verdict
                    assert spoken.acquire(timeout=20)
                released.set()
            most_waiting = max(most_waiting, num_spoken - num_heard)
            num_heard += 1
            return super().measure(text, waveform, voice, failure)

    engine = Engine(EngineOptions(batch=1))
    pieces = [piece(idx) for idx in range(60)]
    work, _ = run(job, pieces, Slow(lambda _: 0.0), engine=engine)
    assert work.num_spoken == num_heard == 60
    assert QUEUE <= most_waiting <= QUEUE + 2 * (2 * engine.capabilities.max_batch + 2) + 3


def test_a_check_that_breaks_ends_the_run_and_keeps_what_was_judged(job: Job) -> None:
    def wer(text: str) -> float:
        if "number 3" in text:
            raise RuntimeError("the recogniser broke")
        return 0.0

    pieces = [piece(idx) for idx in range(6)]
    with pytest.raises(RuntimeError, match="recogniser broke"):
        run(job, pieces, Ears(wer))
    assert job.counts()[Status.ACCEPTED] == 3
    ears = Ears(lambda _: 0.0)
    run(job, pieces, ears)
    assert job.counts()[Status.ACCEPTED] == 6
    assert pieces[0].text not in ears.heard


def test_an_engine_that_swallows_a_piece_is_an_error(job: Job) -> None:
    from omnitts.errors import EngineError

    class Forgetful(FakeEngine):
        def speak(self, requests: Iterable[SpeechRequest]) -> Iterator[Speech]:
            yield from (speech for speech in super().speak(requests) if speech.key != "piece-1")

    with pytest.raises(EngineError, match="no sound for 1 of 3 pieces"):
        run(job, [piece(idx) for idx in range(3)], Ears(lambda _: 0.0), engine=Forgetful(EngineOptions()))


def test_equal_sentences_are_spoken_once(job: Job) -> None:
    same = [piece(0), replace(piece(0), piece_idx=1)]
    work, _ = run(job, same, Ears(lambda _: 0.0))
    assert work.num_spoken == 1


def test_without_checks_no_recogniser_is_looked_for(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from omnitts.pipeline.check import judge

    def none_here(*args: object, **kwargs: object) -> None:
        raise AssertionError("looked for a recogniser")

    monkeypatch.setattr(judge, "find_asr_model", none_here)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    checker = judge.Checker(QualityOptions(check=False), "en")
    run(job, [piece(idx) for idx in range(3)], checker)
    assert job.counts()[Status.ACCEPTED] == 3


def test_a_piece_of_another_language_is_heard_as_that(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    from omnitts.pipeline.check.judge import Checker

    asked: list[str] = []

    class Listener:
        def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript:
            asked.append(language)
            return Transcript("", (), language)

        def is_rare(self, word: str) -> bool:
            return False

    monkeypatch.setattr(Checker, "_ears", lambda self: Listener())
    checker = Checker(QualityOptions(takes=1), "en", Listener())
    run(job, [piece(0), replace(piece(1), language="zh", text="你好世界。")], checker, takes=1)
    assert set(asked) == {"en", "zh"}
