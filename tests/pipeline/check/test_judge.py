"""The judge with given transcripts: what is accepted, why not, second listening, and the calibrated voice."""

from dataclasses import replace

import numpy as np
import pytest

from omnitts.audio import Waveform
from omnitts.pipeline.check.judge import Checker, QualityOptions, rejudge, similarity_band
from omnitts.pipeline.check.similarity import DEFAULT_LINE, line_for, similarity_line
from omnitts.pipeline.check.transcribe import Transcript
from omnitts.types import Timing, Verdict

TEXT = "The old man went down to the sea and looked at the boats."
RATE = 16_000


def speechlike(duration_s: float = 4.0, level: float = 0.1) -> Waveform:
    """Noise with 0.3 s of silence at both ends, faded."""
    noise = np.random.default_rng(0).standard_normal(round(duration_s * RATE)).astype(np.float32) * level
    gap = round(0.3 * RATE)
    noise[:gap] = noise[-gap:] = 0
    return Waveform(noise, RATE)


class Given:
    """Hears the given texts, one a call; the last one again and again."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.careful = list(texts), []

    def transcribe(self, waveform: Waveform, language: str, *, careful: bool = False) -> Transcript:
        self.careful.append(careful)
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        words, span = text.split(), waveform.duration_s / max(1, len(text.split()))
        timings = tuple(Timing(word, n * span, (n + 1) * span) for n, word in enumerate(words))
        return Transcript(text, timings, language)

    def is_rare(self, word: str) -> bool:
        return False


def judge(
    heard: str | tuple[str, ...], text: str = TEXT, waveform: Waveform | None = None, **options: object
) -> Verdict:
    texts = (heard,) if isinstance(heard, str) else heard
    checker = Checker(replace(QualityOptions(), **options), "en", Given(*texts))  # type: ignore[arg-type]
    return checker.judge(text, waveform or speechlike())


def test_a_good_take_is_accepted_without_reasons() -> None:
    verdict = judge(TEXT)
    assert (verdict.accepted, verdict.reasons, verdict.wer) == (True, (), 0.0)


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        ("The old man and looked at the boats", "5 of 13 words missing in a row: 'went down to the sea'"),
        ("The old man went down to the sea and looked at", "the last 2 words cannot be heard"),
        ("of the house " + TEXT, "3 words before the text: 'of the house'"),
        (TEXT + " with all his", "3 words after the text"),
        ("", "nothing was heard of 13 words"),
    ],
)
def test_a_fault_is_named_with_its_figures(heard: str, reason: str) -> None:
    verdict = judge(heard)
    assert not verdict.accepted
    assert any(reason in given for given in verdict.reasons), verdict.reasons


def test_a_bad_hearing_is_checked_by_a_second_one() -> None:
    listener = Given("The old man", TEXT)
    verdict = Checker(QualityOptions(), "en", listener).judge(TEXT, speechlike())
    assert verdict.accepted
    assert listener.careful == [False, True]


def test_two_words_are_not_judged_by_their_error_rate() -> None:
    assert judge("Know, Sir.", "Oh, sir!", speechlike(1.2)).accepted
    assert not judge("and then he went away from here", "Oh, sir!", speechlike(1.2)).accepted


def test_silence_clipping_and_a_failure_of_the_engine_reject() -> None:
    assert "the take is silent" in judge("", waveform=Waveform(np.zeros(RATE, np.float32), RATE)).reasons
    assert any("clipped" in reason for reason in judge(TEXT, waveform=speechlike(level=3.0)).reasons)
    checker = Checker(QualityOptions(), "en", Given(TEXT))
    assert checker.judge(TEXT, speechlike(), failure="row_limit").reasons == ("the engine itself reports: row_limit",)


def test_a_sudden_end_rejects() -> None:
    whole = speechlike()
    cut = Waveform(whole.samples[: -RATE // 2], RATE)
    assert "the sound breaks off at full level" in judge(TEXT, waveform=cut).reasons


def test_rejudging_under_another_threshold_needs_no_listening() -> None:
    verdict = judge("The old man went down to the seat and looked at a boats", max_wer=0.5)
    assert verdict.accepted
    assert not rejudge(verdict, QualityOptions(max_wer=0.1)).accepted
    assert rejudge(rejudge(verdict, QualityOptions(max_wer=0.1)), QualityOptions(max_wer=0.5)) == verdict


def test_an_accepted_take_scores_above_a_rejected_one() -> None:
    assert judge(TEXT).score > judge("The old man and looked at the boats").score


def test_the_similarity_line_depends_on_the_set_alone() -> None:
    takes = [replace(judge(TEXT), similarity=0.90 + 0.005 * n) for n in range(12)]
    line = similarity_band(takes, QualityOptions())
    assert line == similarity_band(takes[::-1], QualityOptions())
    assert 0.8 < line < 0.9
    assert similarity_line([0.9]) == DEFAULT_LINE
    outsider = replace(takes[0], similarity=0.7)
    assert not rejudge(outsider, QualityOptions(), min_sim=line).accepted
    assert rejudge(outsider, QualityOptions(min_sim=0.6), min_sim=line).accepted


def test_short_clips_get_a_lower_line() -> None:
    assert line_for(0.8, 0.5) is None
    assert line_for(0.8, 3.0) == 0.8
    short = line_for(0.8, 1.5)
    assert short is not None
    assert short < 0.7
