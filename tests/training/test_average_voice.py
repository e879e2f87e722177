"""The reader that gives the flow's mu its target: the tokenizer's own, in one voice, through a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omnitts.errors import InputError, ModelError, UsageError
from omnitts.training.average_voice import MEL_READER, average_mel, average_reader, keep_mel_reader, open_mel_reader
from omnitts.training.flow import train_flow
from omnitts.training.recipe import TOY, recipe_json
from omnitts.training.run_folder import RECIPE_FILE, RunFolder, write_json
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer import TokenizerStage


def test_it_reads_as_the_tokenizer_does_with_the_mean_style(toy_run: RunFolder, tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    tokenizer = TokenizerStage(corpus, TOY.tokenizer, 3).tokenizer.eval()
    keep_mel_reader(average_reader(tokenizer, TOY.tokenizer, corpus), tmp_path)
    reader = open_mel_reader(tmp_path, TOY.tokenizer)
    clips = {utterance.speaker: index for index, utterance in enumerate(corpus.utterances)}
    styles = [
        tokenizer.style(corpus.read("mel", index)[None], torch.tensor([corpus.utterances[index].num_codes]))
        for index in clips.values()
    ]
    codes = torch.arange(24).view(2, 12) * 2
    tokenizer.style = lambda mel, num_codes: torch.stack(styles).mean(dim=0)  # type: ignore[method-assign]
    with torch.no_grad():
        rounded = tokenizer.encoder.quantiser.rounded_of(codes)
        _, expected = tokenizer.read(rounded, torch.zeros(2, 24, 80), torch.tensor([12, 7]))
        own = average_mel(reader, codes, [12, 7])
    assert own.shape == (2, 24, 80)
    assert torch.allclose(own[0], expected[0], atol=0.02)  # float16 in the file
    assert torch.allclose(own[1, :14], expected[1, :14], atol=0.02)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no mel_reader") as caught:
        open_mel_reader(tmp_path, TOY.tokenizer)
    assert "flow.prior" in caught.value.hint
    (tmp_path / MEL_READER).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="cannot be opened"):
        open_mel_reader(tmp_path, TOY.tokenizer)


def test_an_unknown_prior_is_refused(toy_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    for name in ("corpus", "tokenizer", "speaker"):
        (run.root / name).symlink_to(toy_run.root / name)
    write_json(run.root / RECIPE_FILE, recipe_json(replace(TOY, flow=replace(TOY.flow, prior="nobody"))))
    with pytest.raises(UsageError, match="nobody"):
        train_flow(run)
