"""Speech tokenizer: quantiser, labels, padding, and the exported file against torch at several lengths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import UsageError
from omnitts.models.codec.loading import TOKENIZER
from omnitts.models.codec.onnx_session import OnnxNetwork
from omnitts.models.codec.s3_tokenizer import S3Tokenizer
from omnitts.models.reading.labels import Alphabet, Speller, unblank
from omnitts.models.reading.quantiser import Quantiser
from omnitts.training.checkpoint import load_weights
from omnitts.training.loop import train
from omnitts.training.losses_file import LOSSES, read_losses
from omnitts.training.recipe import TOY
from omnitts.training.run_folder import RunFolder, read_json
from omnitts.training.silence import measure_silence
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer import CODES, SILENCE, STAGE, TokenizerStage, read_codes
from omnitts.training.tokenizer_network import SpeechTokenizer


def test_the_quantiser_reaches_every_code_and_no_other() -> None:
    quantiser = Quantiser((4, 5, 3))
    numbers = torch.randn(1, 20_000, 3, generator=torch.Generator().manual_seed(0)) * 3
    codes = quantiser.codes(quantiser(numbers))
    assert set(codes.flatten().tolist()) == set(range(60))


def test_the_quantiser_passes_gradients() -> None:
    numbers = torch.zeros(1, 1, 2, requires_grad=True)
    Quantiser((4, 5))(numbers).sum().backward()
    assert numbers.grad is not None
    assert (numbers.grad > 0.5).all()


def test_rows_do_not_hear_their_neighbours() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SpeechTokenizer(TOY.tokenizer, 9).eval()
    features = torch.randn(2, 80, 128, generator=torch.Generator().manual_seed(0))
    together = network.encoder(features, torch.tensor([80, 48]))
    alone = network.encoder(features[1:, :48], torch.tensor([48]))
    assert torch.equal(together[1:, :12], alone)
    mel = torch.randn(2, 40, 80)
    labels, rebuilt = network.read(together, mel, torch.tensor([20, 12]))
    own_labels, own_rebuilt = network.read(alone, mel[1:, :24], torch.tensor([12]))
    assert torch.allclose(labels[1:, :12], own_labels, atol=1e-5)
    assert torch.allclose(rebuilt[1:, :24], own_rebuilt, atol=1e-5)


def test_labels_are_sounds_alone() -> None:
    american, british = (Speller("phonemes").spell("Park the car!", accent) for accent in ("en-us", "en-gb"))
    assert american != british
    assert american.isalpha()
    assert Speller("characters").spell("It's 2 o'clock.", "en-us") == "its2oclock"
    alphabet = Alphabet.of(["ba", "cab"])
    assert alphabet.labels("cab!") == [3, 1, 2]
    assert alphabet.size == 4
    with pytest.raises(UsageError, match="labels"):
        Speller("runes")


def test_repeats_are_read_once_and_blanks_separate() -> None:
    assert unblank([0, 3, 3, 0, 3, 1, 1, 0]) == [3, 3, 1]


def test_the_exported_file_agrees_with_torch_at_several_lengths(toy_run: RunFolder) -> None:
    stage = TokenizerStage(CorpusStore(toy_run.corpus), TOY.tokenizer, TOY.seed)
    load_weights(stage.networks, toy_run.stage(STAGE), TOY.tokenizer.plan)
    session = OnnxNetwork(toy_run.need(STAGE, TOKENIZER), num_inputs=2, num_threads=1)
    for frames in (8, 101, 400):
        feature = torch.randn(1, 128, frames, generator=torch.Generator().manual_seed(frames))
        ids = session.run(feature.numpy(), np.array([frames], np.int32))
        encoder = stage.tokenizer.encoder
        expected = encoder.quantiser.codes(encoder(feature.transpose(1, 2), torch.tensor([frames])))
        assert ids.dtype == np.int32
        assert ids.shape == (1, -(-frames // 4))
        assert (ids == expected.numpy()).mean() > 0.98  # a number halfway between two levels may round either way


def test_the_codec_hears_with_the_exported_file(toy_run: RunFolder) -> None:
    tokens = S3Tokenizer(toy_run.need(STAGE, TOKENIZER)).tokens(torch.zeros(16_000 * 31))
    assert len(tokens) == 31 * 25
    assert ((tokens >= 0) & (tokens < 64)).all()


def test_the_corpus_is_coded_and_silence_found(toy_run: RunFolder) -> None:
    corpus = CorpusStore(toy_run.corpus)
    codes = read_codes(toy_run, corpus)
    silence = read_json(toy_run.need(STAGE, SILENCE))
    assert len(codes) == corpus.num_codes
    assert silence["silence_token"] in silence["blank_ids"]
    # The code of silence is the one most often met in the pauses, by construction of what is counted here again.
    found = measure_silence(corpus, codes, 64)
    assert found.code == silence["silence_token"]
    assert 0.05 < found.quiet_share < 0.6


def test_silence_is_what_sounds_like_nothing(toy_run: RunFolder) -> None:
    corpus = CorpusStore(toy_run.corpus)
    codes = np.full(corpus.num_codes, 9, np.int16)
    for index, utterance in enumerate(corpus.utterances):
        wave = corpus.read("wave", index).view(utterance.num_codes, -1)
        quiet = (wave.abs().amax(dim=1) < 1e-3).numpy()
        codes[utterance.offset : utterance.offset + utterance.num_codes][quiet] = 5
    found = measure_silence(corpus, codes, 64)
    assert found.code == 5
    assert found.blanks == (5,)


def test_what_is_held_back_is_measured(toy_run: RunFolder) -> None:
    stage = TokenizerStage(CorpusStore(toy_run.corpus), TOY.tokenizer, 0)
    stage.networks.eval()
    with torch.no_grad():
        measured = stage.losses([0, 1, 2], 0)
    assert 0.5 < float(measured["label errors"]) < 3
    assert 1 <= float(measured["codes in use"]) <= 64


def test_a_restarted_stage_makes_the_same_losses(toy_run: RunFolder, tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    plan = replace(TOY.tokenizer.plan, save_every=2, validate_every=100)
    train(TokenizerStage(corpus, TOY.tokenizer, 0), plan, tmp_path / "whole", 0, steps=5)
    for stop in (2, 5):
        train(TokenizerStage(corpus, TOY.tokenizer, 0), plan, tmp_path / "parts", 0, steps=stop)
    assert read_losses(tmp_path / "parts" / LOSSES) == read_losses(tmp_path / "whole" / LOSSES)
    assert (toy_run.root / STAGE / CODES).stat().st_size == 2 * corpus.num_codes


def test_an_exported_file_knows_nothing_of_the_machine_it_was_made_on(toy_run: RunFolder) -> None:
    for file in (toy_run.root / "tokenizer" / TOKENIZER, toy_run.root / "speaker" / "campplus.onnx"):
        data = file.read_bytes()
        assert b"stack_trace" not in data
        assert str(Path(__file__).parent.parent.parent).encode() not in data
