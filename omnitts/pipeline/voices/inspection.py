"""What is wrong with a reference clip. A waveform and its transcript in, an `Inspection` out.

Every measure is of the clip itself; what was heard in it is handed in. Knows nothing of files, libraries or engines.

Thresholds were calibrated on synthetic voices: white or pink noise added at a true ratio of R dB measures R + 2 to
R + 5 here, so ``NOISY_DB`` answers to about 15 dB and ``GRAINY_DB`` to about 22 dB. Speakers: see `speakers`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from omnitts.audio import FloatArray, Waveform, join, peak_dbfs, rms_dbfs
from omnitts.pipeline.voices.library import LONGEST_S, SHORTEST_S
from omnitts.pipeline.voices.speakers import Likeness, likeness
from omnitts.pipeline.voices.trim import SpeechSpan, speech_spans

COMFORTABLE_S = 5.0
LEAST_SPEECH_SHARE = 0.3
NOISY_DB, GRAINY_DB = 18.0, 25.0
INAUDIBLE_DBFS, QUIET_DBFS = -50.0, -36.0
NARROW_HZ = 16_000
FLAT_TOPS_PER_S = 1.0
MISMATCH_WER, DOUBTFUL_WER = 0.5, 0.25
FASTEST_CPS, SLOWEST_CPS = 30.0, 3.0  # letters per second of speech; half of that where a letter is a syllable
_FRAME_S = 0.02


class Severity(str, Enum):
    """``FATAL`` cannot be cloned at all; ``FAULT`` is refused unless forced; ``WARNING`` is only said."""

    FATAL = "fatal"
    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a clip: a stable word, a sentence, and what to do."""

    code: str
    what: str
    hint: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Inspection:
    """All measures of a clip and what follows from them.

    ``speech_s`` counts speech without pauses; ``snr_db`` is the level of the louder half over the 5th percentile, in
    20 ms frames; ``flat_tops_per_s`` counts clipped peaks; ``wer`` compares the transcript with what was heard, None
    when nobody listened.
    """

    duration_s: float
    speech_s: float
    sample_rate: int
    peak_dbfs: float
    speech_dbfs: float
    snr_db: float
    flat_tops_per_s: float
    likeness: Likeness | None
    wer: float | None
    findings: tuple[Finding, ...]

    @property
    def is_fit(self) -> bool:
        """True when nothing worse than a warning was found."""
        return not self.faults

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is not Severity.WARNING)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "fit": self.is_fit,
            "duration_s": round(self.duration_s, 3),
            "speech_s": round(self.speech_s, 3),
            "sample_rate": self.sample_rate,
            "peak_dbfs": round(self.peak_dbfs, 1),
            "speech_dbfs": round(self.speech_dbfs, 1),
            "snr_db": round(self.snr_db, 1),
            "flat_tops_per_s": round(self.flat_tops_per_s, 2),
            "voice_likeness": None if self.likeness is None else round(self.likeness.halves, 3),
            "transcript_wer": None if self.wer is None else round(self.wer, 3),
            "findings": [
                {"code": f.code, "severity": f.severity.value, "what": f.what, "hint": f.hint} for f in self.findings
            ],
        }


def inspect(
    waveform: Waveform, transcript: str = "", *, wer: float | None = None, spans: Sequence[SpeechSpan] | None = None
) -> Inspection:
    """Measures a clip and names its faults, worst first.

    ``wer`` is the word (Chinese: character) error rate of the transcript against what an ASR heard. ``spans`` are the
    clip's `speech_spans`, when the caller has them.
    """
    spans = speech_spans(waveform) if spans is None else spans
    speech = _speech_only(waveform, spans)
    measured = Inspection(
        duration_s=waveform.duration_s,
        speech_s=speech.duration_s,
        sample_rate=waveform.sample_rate,
        peak_dbfs=peak_dbfs(waveform.samples),
        speech_dbfs=rms_dbfs(speech.samples),
        snr_db=_snr_db(waveform, spans),
        flat_tops_per_s=_flat_tops(waveform.samples) / max(waveform.duration_s, 1e-9),
        likeness=likeness(speech),
        wer=wer,
        findings=(),
    )
    findings = sorted(_findings(measured, transcript), key=lambda finding: list(Severity).index(finding.severity))
    return dataclasses.replace(measured, findings=tuple(findings))


def _findings(clip: Inspection, transcript: str) -> list[Finding]:
    if clip.speech_s < 0.5:
        return [_fatal("no_speech", "nobody speaks in the clip", "give a recording of one person speaking")]
    found = [*_length(clip), *_level(clip), *_content(clip, transcript)]
    if clip.sample_rate < NARROW_HZ:
        what = f"the clip has {clip.sample_rate} samples a second, like a telephone"
        found.append(_warning("narrow", what, "record at 24 kHz or more"))
    return found


def _length(clip: Inspection) -> list[Finding]:
    hint = "give 5 to 15 s of clean speech"
    if clip.duration_s < SHORTEST_S:
        return [_fatal("too_short", f"the clip is {clip.duration_s:.1f} s long", hint)]
    if clip.duration_s > LONGEST_S:
        return [_warning("too_long", f"the clip is {clip.duration_s:.0f} s long and will be cut", hint)]
    found = []
    if clip.speech_s < LEAST_SPEECH_SHARE * clip.duration_s:
        what = f"only {clip.speech_s:.1f} of {clip.duration_s:.1f} s are speech"
        found.append(_fault("mostly_silent", what, "cut the pauses, and music or noise, out"))
    if clip.duration_s < COMFORTABLE_S:
        found.append(_warning("short", f"the clip is {clip.duration_s:.1f} s long", "5 to 15 s clone better"))
    return found


def _level(clip: Inspection) -> list[Finding]:
    found = []
    if clip.flat_tops_per_s > FLAT_TOPS_PER_S:
        what = f"the recording is clipped ({clip.flat_tops_per_s:.0f} flattened peaks a second)"
        found.append(_fault("clipped", what, "record again with less gain"))
    if clip.snr_db < NOISY_DB:
        what = f"speech stands only {clip.snr_db:.0f} dB above the noise"
        found.append(_fault("noisy", what, "record in a quiet room, close to the microphone, without music"))
    elif clip.snr_db < GRAINY_DB:
        what = f"there is noise {clip.snr_db:.0f} dB below the speech"
        found.append(_warning("some_noise", what, "a clone copies the noise too"))
    if clip.speech_dbfs < INAUDIBLE_DBFS:
        found.append(_fault("too_quiet", f"the speech is at {clip.speech_dbfs:.0f} dBFS", "record with more gain"))
    elif clip.speech_dbfs < QUIET_DBFS:
        found.append(_warning("quiet", f"the speech is at {clip.speech_dbfs:.0f} dBFS", "record with more gain"))
    return found


def _content(clip: Inspection, transcript: str) -> list[Finding]:
    found = []
    if clip.likeness is not None and not clip.likeness.is_one_voice:
        what = f"there seems to be more than one speaker (likeness {clip.likeness.halves:.2f})"
        found.append(_fault("speakers", what, "cut out the part where one person speaks"))
    if not transcript:
        return found
    if clip.wer is not None and clip.wer > DOUBTFUL_WER:
        make = _fault if clip.wer > MISMATCH_WER else _warning
        what = f"the transcript differs from what is heard ({min(clip.wer, 1.0):.0%} of its words)"
        found.append(make("transcript", what, "correct it with --text: a wrong transcript leaks into the speech"))
    letters_per_s = sum(_weight(letter) for letter in transcript) / clip.speech_s
    if not SLOWEST_CPS <= letters_per_s <= FASTEST_CPS:
        amount = "long" if letters_per_s > FASTEST_CPS else "short"
        what = f"the transcript is too {amount} for {clip.speech_s:.1f} s of speech"
        found.append(_fault("transcript_length", what, "write exactly what is said in the clip"))
    return found


def _weight(letter: str) -> float:
    """Letters of speech in a character: a Chinese one is a whole syllable."""
    return 3.0 if "\u4e00" <= letter <= "\u9fff" else float(letter.isalnum())


def _speech_only(waveform: Waveform, spans: Sequence[SpeechSpan]) -> Waveform:
    """The stretches of speech end to end."""
    parts = [waveform.slice_s(span.start_s, span.end_s) for span in spans]
    return join(parts) if parts else Waveform(np.zeros(0, np.float32), waveform.sample_rate)


def _snr_db(waveform: Waveform, spans: Sequence[SpeechSpan]) -> float:
    """Level of the louder half over the 5th percentile of 20 ms frames, from the first to the last word."""
    samples = waveform.slice_s(spans[0].start_s, spans[-1].end_s).samples if spans else waveform.samples
    length = max(1, round(_FRAME_S * waveform.sample_rate))
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    if not len(frames):
        return 0.0
    power = np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12
    loud = float(np.mean(power[power >= np.median(power)]))
    return float(10 * np.log10(loud / np.percentile(power, 5)))


def _flat_tops(samples: FloatArray) -> int:
    """Runs of three and more samples within 0.2 % of the clip's largest value: peaks that hit a ceiling.

    A clean recording touches its own maximum once or twice; a clipped one, even when turned down later, many times.
    """
    magnitude = np.abs(samples)
    at_ceiling = magnitude >= 0.998 * float(magnitude.max(initial=0.0))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], at_ceiling, [False])).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(np.count_nonzero(lengths >= 3))


def _fatal(code: str, what: str, hint: str) -> Finding:
    return Finding(code, what, hint, Severity.FATAL)


def _fault(code: str, what: str, hint: str) -> Finding:
    return Finding(code, what, hint, Severity.FAULT)


def _warning(code: str, what: str, hint: str) -> Finding:
    return Finding(code, what, hint, Severity.WARNING)
