"""The feature cache: what is in it, that it survives being killed, and the pitch it stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.audio import Waveform
from omnitts.errors import AudioError, InputError
from omnitts.models.codec.features import kaldi_fbank, vocoder_mel
from omnitts.training.corpus import MARGIN_S, CorpusOptions, features_of_wave, is_validation, prepare_corpus, trimmed
from omnitts.training.manifest import read_recordings
from omnitts.training.pitch import pitch_of
from omnitts.training.store import INDEX, KINDS, CorpusStore
from tests.training.toys import RATE, TEXTS, buzz


def test_silence_is_trimmed_but_for_a_margin() -> None:
    speech = buzz(1.0, 120.0)
    wave = np.concatenate([np.zeros(RATE, np.float32), speech, np.zeros(2 * RATE, np.float32)])
    kept = trimmed(Waveform(wave, RATE))
    assert kept.duration_s == pytest.approx(1.0 + 2 * MARGIN_S, abs=0.06)


def test_a_silent_recording_is_refused() -> None:
    with pytest.raises(AudioError, match="silent"):
        trimmed(Waveform(np.zeros(RATE, np.float32), RATE))


def test_every_kind_has_its_frames_and_its_values() -> None:
    wave = buzz(0.8, 120.0)
    features = features_of_wave(wave)
    for name, kind in KINDS.items():
        assert features[name].shape == (20 * kind.frames, kind.width), name
    assert torch.equal(features["mel"], vocoder_mel(torch.from_numpy(wave)[None])[0].T)
    assert torch.isfinite(features["log_mel"]).all()
    assert (features["fbank"][-2:] == 0).all()


@pytest.mark.parametrize("hertz", [75.0, 110.0, 220.0, 400.0])
def test_pitch_of_a_tone(hertz: float) -> None:
    time = torch.arange(RATE) / RATE
    tone = sum(torch.sin(2 * torch.pi * hertz * k * time) / k for k in range(1, 6)) * 0.1
    found = pitch_of(torch.as_tensor(tone), RATE, 480)
    assert found.shape == (50,)
    assert torch.allclose(found[5:-5], torch.full((40,), hertz), rtol=0.01)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(0)) * 0.1
    assert (pitch_of(noise, RATE, 480) > 0).float().mean() < 0.1
    assert (pitch_of(torch.zeros(RATE), RATE, 480) == 0).all()


def test_workers_hear_the_same(clips: Path, tmp_path: Path) -> None:
    """Also of what cannot be used."""
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    good = read_recordings(clips)[:5]
    recordings = [good[0], replace(good[0], id="broken", audio=tmp_path / "broken.wav"), *good[1:]]
    for workers in (0, 2):
        prepare_corpus(recordings, tmp_path / str(workers), CorpusOptions(), workers=workers)
    for name in (INDEX, *(f"{kind}.bin" for kind in KINDS)):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name
    assert [item.id for item in CorpusStore(tmp_path / "2").utterances] == [recording.id for recording in good]


def test_the_cache_gives_back_what_was_put_in(clips: Path, tmp_path: Path) -> None:
    corpus = prepare_corpus(read_recordings(clips)[:3], tmp_path, CorpusOptions())
    assert [item.text for item in corpus.utterances] == list(TEXTS[:3])
    for index, utterance in enumerate(corpus.utterances):
        wave = corpus.read("wave", index)[:, 0]
        assert len(wave) == utterance.num_codes * 960
        assert torch.allclose(corpus.read("mel", index), vocoder_mel(wave[None])[0].T, atol=0.15)
        assert torch.equal(corpus.read("mel", index, 3, 5), corpus.read("mel", index)[6:10])
    assert kaldi_fbank(torch.zeros(400)).shape == (1, 80)


def test_a_killed_preparation_goes_on(clips: Path, tmp_path: Path) -> None:
    recordings = read_recordings(clips)[:4]
    whole = prepare_corpus(recordings, tmp_path / "whole", CorpusOptions())
    part = tmp_path / "part"
    prepare_corpus(recordings[:2], part, CorpusOptions())
    with (part / INDEX).open("ab") as index, (part / "mel.bin").open("ab") as mel:
        index.write(b'{"id": "torn')
        mel.write(b"\1" * 1001)
    resumed = prepare_corpus(recordings, part, CorpusOptions())
    assert resumed.utterances == whole.utterances
    for name in KINDS:
        assert (part / f"{name}.bin").read_bytes() == (tmp_path / "whole" / f"{name}.bin").read_bytes()


def test_unusable_recordings_are_left_out(clips: Path, tmp_path: Path) -> None:
    recordings = read_recordings(clips)[:2]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    first = recordings[0]
    bad = type(first)("bad", broken, "Hello.", "anna")
    assert len(prepare_corpus([*recordings, bad], tmp_path / "cache", CorpusOptions()).utterances) == 2
    with pytest.raises(InputError, match="no recording"):
        prepare_corpus([bad], tmp_path / "none", CorpusOptions())


def test_the_validation_share_depends_on_the_name_alone() -> None:
    names = [f"clip {number}" for number in range(4000)]
    share = sum(is_validation(name, 0.05) for name in names) / len(names)
    assert 0.04 < share < 0.06
    assert is_validation("clip 7", 1.0)
    assert not is_validation("clip 7", 0.0)


def test_an_unknown_cache_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        CorpusStore(tmp_path)
