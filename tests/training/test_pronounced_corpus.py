"""The corpus as its pronouncer says it: every clip's own sounds in another clip's voice, as many codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.engines.pronouncing import Pronouncing
from omnitts.errors import InputError
from omnitts.training.pronounced_corpus import pronounced_codes
from omnitts.training.pronouncer import trained_pronouncer
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer import read_codes


def test_each_clip_is_said_in_the_voice_of_the_next_of_its_speaker(toy_run: RunFolder) -> None:
    corpus = CorpusStore(toy_run.corpus)
    codes, voices = read_codes(toy_run, corpus), read_vectors(toy_run, corpus)
    said = pronounced_codes(toy_run, corpus, codes, voices)
    assert said.dtype == codes.dtype
    assert said.shape == codes.shape
    reader, pronouncer = trained_pronouncer(toy_run)
    pronouncing = Pronouncing(reader, pronouncer)
    of_speaker = [place for place, item in enumerate(corpus.utterances) if item.speaker == "s0"]
    assert len(of_speaker) > 1
    for place, other in zip(of_speaker, [*of_speaker[1:], of_speaker[0]], strict=True):
        item = corpus.utterances[place]
        span = slice(item.offset, item.offset + item.num_codes)
        own = torch.from_numpy(codes[span].astype(np.int64))
        sounds = reader.sounds(item.text, item.accent)
        expected = pronouncing.codes(own, sounds, torch.from_numpy(voices[other]))
        assert said[span].tolist() == expected.tolist()


def test_a_run_without_a_pronouncer_says_what_to_do(toy_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(toy_run.root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "pronouncer")
    run = RunFolder(tmp_path / "run")
    corpus = CorpusStore(run.corpus)
    with pytest.raises(InputError, match="has not been trained") as caught:
        pronounced_codes(run, corpus, read_codes(run, corpus), read_vectors(run, corpus))
    assert "omnitts train pronouncer" in (caught.value.hint or "")
