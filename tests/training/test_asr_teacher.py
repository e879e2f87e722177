"""The recogniser's states: each utterance gets those of its own stretch of the window, in a few directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnitts.training import asr_teacher
from omnitts.training.asr_teacher import WIDTH, asr_states
from omnitts.training.recipe import TOY
from omnitts.training.run_folder import RunFolder
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer import TokenizerStage

STATE_WIDTH = 96


class Ear:
    """Stands in for whisper: its states are the levels of the sound around each moment, in several mixtures."""

    def __init__(self) -> None:
        self.windows = 0
        self._mixture = np.random.default_rng(0).normal(size=(320, STATE_WIDTH)).astype(np.float32)

    def feature_extractor(self, sound: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        assert len(sound) == 480_000
        self._sound = np.abs(sound).reshape(1500, 320)
        return np.zeros((80, 3001), np.float32)

    def encode(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        assert features.shape == (80, 3000)
        self.windows += 1
        return (self._sound @ self._mixture)[None]


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    made = Ear()
    monkeypatch.setattr(asr_teacher, "_open", lambda model, threads: made)
    return made


def test_states_lie_where_the_sound_is(toy_run: RunFolder, ear: Ear, tmp_path: Path) -> None:
    """The toy clips are silent for a quarter of a second in their middles; so must be their states."""
    corpus = CorpusStore(toy_run.corpus)
    states = asr_states(corpus, tmp_path)
    silent = states.read(3)[corpus.utterances[3].num_codes + 2]  # within the silence of the middle
    for index, utterance in enumerate(corpus.utterances):
        own = states.read(index)
        assert own.shape == (2 * utterance.num_codes, WIDTH)
        loud = (own - silent).square().sum(dim=1)
        middle = utterance.num_codes
        assert float(loud[middle + 1 : middle + 5].max()) < 0.05 * float(loud.max()), index


def test_they_are_made_once(toy_run: RunFolder, ear: Ear, tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    first = asr_states(corpus, tmp_path).read(0)
    windows = ear.windows
    assert windows >= 1
    assert torch.equal(asr_states(corpus, tmp_path).read(0), first)
    assert ear.windows == windows


def test_the_tokenizer_learns_to_rebuild_them(toy_run: RunFolder, ear: Ear, tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    recipe = TOY.tokenizer.__class__(TOY.tokenizer.plan, (4, 4, 4), 32, 1, 1, 1, asr_weight=2.0, augment=True)
    stage = TokenizerStage(corpus, recipe, 0, asr_states(corpus, tmp_path))
    stage.networks.train()
    losses = stage.losses([0, 1], 0)
    expected = losses["spelling"] + losses["mel"] + 2.0 * losses["asr"]
    assert float(losses["loss"]) == pytest.approx(float(expected), rel=1e-5)
    losses["asr"].backward()
    assert stage.tokenizer.encoder.conv1.weight.grad is not None
