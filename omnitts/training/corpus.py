"""Corpus stage: recordings -> the feature cache. Trims silence, resamples, cuts to whole speech codes.

Recordings go into the cache in their order, in however many processes they are heard; a stopped run goes on with the
next. Those that cannot be used are counted and the first few named. Knows no network.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnitts.audio import FloatArray, Waveform, fade, load, resample
from omnitts.errors import AudioError, InputError
from omnitts.models.codec.features import kaldi_fbank, vocoder_mel, whisper_log_mel
from omnitts.training.pitch import pitch_of
from omnitts.training.store import CODE_S, FRONT_RATE, KINDS, WAVE_RATE, CorpusStore, StoreWriter
from omnitts.training.workers import in_order

if TYPE_CHECKING:
    from pathlib import Path

    from omnitts.training.manifest import Recording

logger = logging.getLogger(__name__)

MARGIN_S: Final = 0.1  # silence kept at both ends, as `voices add` does
SHORTEST_S: Final = 0.6
_FADE_S: Final = 0.01
_BELOW_LOUDEST_DB: Final = 40.0
_FRAME_S: Final = 0.02
_SAY_EVERY_S: Final = 20.0
_NAMED: Final = 5


@dataclass(frozen=True)
class CorpusOptions:
    """``longest_s``: longer recordings are left out. ``validation``: share that only measures (by hash of the id)."""

    longest_s: float = 20.0
    validation: float = 0.01


def prepare_corpus(
    recordings: Sequence[Recording], folder: Path, options: CorpusOptions, *, workers: int = 0
) -> CorpusStore:
    """Fills the cache with the recordings that are not in it yet; ``workers``: processes that hear them.

    Raises `InputError` when none can be used.
    """
    unusable: list[str] = []
    said_s = time.monotonic()
    with StoreWriter(folder) as store:
        new = [recording for recording in recordings if recording.id not in store.known]
        heard = in_order(lambda place: _heard(new[place].audio, options.longest_s), len(new), workers)
        for number, (recording, features) in enumerate(zip(new, heard, strict=True), 1):
            if isinstance(features, AudioError):
                unusable.append(str(features))
                continue
            held_back = is_validation(recording.id, options.validation)
            store.append(recording.id, recording.text, recording.speaker, recording.accent, held_back, features)
            if time.monotonic() - said_s > _SAY_EVERY_S:
                said_s = time.monotonic()
                logger.info("corpus: %d of %d recordings", number, len(new))
    if unusable:
        logger.warning("%d recordings cannot be used: %s", len(unusable), "; ".join(unusable[:_NAMED]))
        if len(unusable) == len(recordings):
            raise InputError("no recording can be used", where=str(folder))
    corpus = CorpusStore(folder)
    logger.info("corpus: %d utterances, %.2f h", len(corpus.utterances), corpus.hours)
    return corpus


def _heard(audio: Path, longest_s: float) -> dict[str, FloatArray] | AudioError:
    """`features_of` as arrays, which a worker hands over by value; or why there are none."""
    try:
        return {name: values.numpy() for name, values in features_of(audio, longest_s).items()}
    except AudioError as error:
        return error


def is_validation(name: str, share: float) -> bool:
    """The same answer for a name on every machine and in every order."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < share * 2**32


def features_of(audio: Path, longest_s: float) -> dict[str, Tensor]:
    """Every kind of feature of one file. Raises `AudioError` when it is broken, silent, too short or too long."""
    wave = trimmed(load(audio, WAVE_RATE))
    if not SHORTEST_S <= wave.duration_s <= longest_s:
        raise AudioError(f"{wave.duration_s:.1f} s of speech, not {SHORTEST_S} to {longest_s:g} s", where=str(audio))
    num_codes = int(wave.duration_s / CODE_S)
    return features_of_wave(wave.samples[: num_codes * KINDS["wave"].frames])


def features_of_wave(samples: FloatArray, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """(960 K,) samples at 24 kHz -> all kinds, each whole numbers of frames per code.

    ``device``: where they are computed; they come back to the CPU.
    """
    num_codes = len(samples) // KINDS["wave"].frames
    front = torch.from_numpy(resample(Waveform(samples, WAVE_RATE), FRONT_RATE).samples).to(device)
    wanted = round(num_codes * CODE_S * FRONT_RATE)
    front = F.pad(front, (0, max(0, wanted - len(front))))[:wanted]  # the resampler may round by a sample
    wave = torch.from_numpy(np.ascontiguousarray(samples)).to(device)
    bank = kaldi_fbank(front)
    features = {
        "log_mel": whisper_log_mel(front).T,
        "fbank": F.pad(bank, (0, 0, 0, 4 * num_codes - len(bank))),
        "mel": vocoder_mel(wave[None])[0].T,
        "pitch": pitch_of(wave, WAVE_RATE, KINDS["wave"].frames // KINDS["pitch"].frames)[:, None],
        "wave": wave[:, None],
    }
    return {name: values.cpu() for name, values in features.items()}


def trimmed(wave: Waveform) -> Waveform:
    """Silence cut off both ends but for a margin: frames more than 40 dB below the loudest are silence."""
    hop = round(_FRAME_S * wave.sample_rate)
    num_frames = len(wave) // hop
    if not num_frames:
        return wave
    power = np.square(wave.samples[: num_frames * hop], dtype=np.float64).reshape(num_frames, hop).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-_BELOW_LOUDEST_DB / 10))
    if not len(loud) or power.max() <= 0:
        raise AudioError("the recording is silent")
    start_s, end_s = loud[0] * _FRAME_S - MARGIN_S, (loud[-1] + 1) * _FRAME_S + MARGIN_S
    return fade(wave.slice_s(float(start_s), float(end_s)), _FADE_S, _FADE_S)
