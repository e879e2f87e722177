"""Speech LM: what learns is what speaks; examples are the same for the same number; references are of the speaker."""

from __future__ import annotations

import random
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.fusing import fuse
from omnitts.training.lm_data import LmData, LmUtterance
from omnitts.training.lm_pass import collate, row_logits, row_states
from omnitts.training.reading import text_times
from omnitts.training.recipe import TOY, SpeechLmRecipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speech_lm import new_model, open_language, spoken
from omnitts.training.speech_lm_stage import SpeechLmStage
from omnitts.training.spelling_loss import SpellingLoss
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer import read_codes

SIZES = replace(TOY.speech_lm, joined_share=0.5, reference_s=(0.5, 10.0))


def data_of(
    run: RunFolder, sizes: SpeechLmRecipe = SIZES, dropout: float = 0.1, *, crowd_from: int | None = None
) -> LmData:
    """The toy corpus; utterances from ``crowd_from`` on are one speaker's."""
    corpus = CorpusStore(run.corpus)
    codes = read_codes(run, corpus)
    _, config, vocabulary, prompts, coder = open_language(run)
    utterances = [
        LmUtterance(
            item.text,
            item.text,
            "many" if crowd_from is not None and index >= crowd_from else item.speaker,
            tuple(codes[item.offset : item.offset + item.num_codes].tolist()),
        )
        for index, item in enumerate(corpus.utterances)
    ]
    voices = np.random.default_rng(0).normal(size=(len(utterances), 8)).astype(np.float32)
    return LmData(utterances, voices, prompts, vocabulary, coder, sizes, dropout, config.dropped_rows)


def test_logits_in_one_pass_are_those_of_stepping(toy_run: RunFolder) -> None:
    _, config, *_ = open_language(toy_run)
    model = new_model(config, 0).eval()
    made = [data_of(toy_run).example(index, "0") for index in (0, 5)]
    examples = [item for item in made if item is not None]
    assert len(examples) == 2
    inputs, targets, _ = collate(examples)
    with torch.no_grad():
        at_once = row_logits(model, inputs, targets[..., 0] != -100)
        stepped = []
        for item in examples:
            cache = model.new_cache(1, len(item.rows))
            prompt, rest = item.rows[None, : item.num_prompt], item.rows[None, item.num_prompt : -1]
            for rows in (prompt, *rest.split(1, dim=1)):
                stepped.append(model(rows, cache))
                cache.advance(rows.shape[1])
    assert torch.allclose(at_once, torch.cat(stepped), atol=1e-4)


def test_every_weight_learns(toy_run: RunFolder) -> None:
    _, config, *_ = open_language(toy_run)
    model = new_model(config, 0).train()
    stage = SpeechLmStage(model, data_of(toy_run), set(), TOY.speech_lm, 0)
    stage.losses(stage.prepare(stage.batches(0)[0], 0), 0)["loss"].backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_a_batch_without_a_usable_example_is_no_loss(toy_run: RunFolder) -> None:
    _, config, vocabulary, prompts, coder = open_language(toy_run)
    data = data_of(toy_run)
    endless = [replace(item, codes=item.codes * 40) for item in data.utterances]
    voices = np.ones((12, 2), np.float32)
    hopeless = LmData(endless, voices, prompts, vocabulary, coder, SIZES, 0.0, config.dropped_rows)
    assert hopeless.example(0, "0") is None
    stage = SpeechLmStage(new_model(config, 0).train(), hopeless, set(), TOY.speech_lm, 0)
    loss = stage.losses(stage.prepare([0, 1], 0), 0)["loss"]
    loss.backward()
    assert loss.item() == 0


def test_a_padded_batch_is_worth_what_its_examples_are(toy_run: RunFolder) -> None:
    """What is known of lengths beforehand leaves no padding in any loss, the spelling and the guide included."""
    corpus = CorpusStore(toy_run.corpus)
    texts = [spoken(utterance.text, utterance.accent) for utterance in corpus.utterances]
    times = text_times(toy_run.root / "tokenizer", corpus, read_codes(toy_run, corpus), texts)
    data = data_of(toy_run)
    data.utterances = [
        replace(item, byte_codes=own, spelling=(1, 2, 3)) for item, own in zip(data.utterances, times, strict=True)
    ]
    _, config, *_ = open_language(toy_run)
    reader = TextReader.open(toy_run.root / "tokenizer" / READER).codes
    sizes = replace(TOY.speech_lm, learn_reference=True, guide_weight=0.5, spelling_weight=1.0)
    stage = SpeechLmStage(new_model(config, 0), data, set(), sizes, 0, spelling=SpellingLoss(reader))
    stage.networks.eval()
    parts = [stage.prepare([number], 0) for number in (0, 5)]
    both = stage.prepare([0, 5], 0)
    assert both is not None
    losses = stage.losses(both, 0)
    for name, place in (("codes", "learnt"), ("spelling", "labels")):
        sizes_of = [len(getattr(part.on("cpu"), place)) for part in parts if part is not None]
        apart = [float(stage.losses(part, 0)[name].detach()) for part in parts]
        mean = sum(size * value for size, value in zip(sizes_of, apart, strict=True)) / sum(sizes_of)
        assert float(losses[name].detach()) == pytest.approx(mean, rel=1e-4)


def test_a_speaker_with_many_hours_does_not_outweigh_the_others(toy_run: RunFolder) -> None:
    _, config, *_ = open_language(toy_run)
    data = data_of(toy_run, crowd_from=4)
    count = len(data.utterances)

    def spoken_by_many(share: float, epoch: int) -> set[int]:
        sizes = replace(TOY.speech_lm, speaker_share=share)
        batches = SpeechLmStage(new_model(config, 0), data, set(), sizes, 0).batches(epoch)
        return {number - epoch * count for batch in batches for number in batch} - {0, 1, 2, 3}

    assert spoken_by_many(0.0, 0) == set(range(4, count))
    some = [spoken_by_many(1.0, epoch) for epoch in range(8)]
    assert all(len(part) < count - 4 for part in some)
    assert len(set.union(*some)) > len(some[0])


def test_an_example_is_the_same_whenever_asked(toy_run: RunFolder) -> None:
    data = data_of(toy_run)
    for index in range(12):
        first, second, other = data.example(index, "0 1"), data.example(index, "0 1"), data.example(index, "0 2")
        assert first is not None
        assert second is not None
        assert other is not None
        assert torch.equal(first.rows, second.rows)
        assert data.seconds(index, "0 1") > 0


def test_the_reference_is_another_utterance_of_the_speaker(toy_run: RunFolder) -> None:
    data = data_of(toy_run)
    for index in range(12):
        for seed in range(8):
            choice = data._choose(index, random.Random(seed), alone=False)
            assert choice.spoken[0] == index
            assert choice.reference not in choice.spoken
            speakers = {data.utterances[place].speaker for place in (choice.reference, *choice.spoken)}
            assert len(speakers) == 1


def test_a_lone_speaker_borrows_the_most_similar_voice(toy_run: RunFolder) -> None:
    data = data_of(toy_run)
    utterances = [*data.utterances]
    utterances[3] = replace(utterances[3], speaker="alone")
    _, config, vocabulary, prompts, coder = open_language(toy_run)
    voices = np.eye(12, dtype=np.float32)
    voices[3, 7] = 5.0
    lonely = LmData(utterances, voices, prompts, vocabulary, coder, SIZES, 0.0, config.dropped_rows)
    nearest = lonely._similar(3)
    assert nearest[0] == 7
    assert lonely._choose(3, random.Random(0), alone=False).reference in nearest


@pytest.mark.parametrize(("text", "said"), [("Dr. Gray came in 1850.", "Doctor Gray came in eighteen fifty.")])
def test_text_is_learnt_as_it_is_spoken(text: str, said: str) -> None:
    assert spoken(text, "en-us") == said


def test_the_guide_knows_when_words_are_spoken(toy_run: RunFolder) -> None:
    """The times come from the tokenizer's own reading, are kept, and make a loss of their own in training."""
    corpus = CorpusStore(toy_run.corpus)
    texts = [spoken(utterance.text, utterance.accent) for utterance in corpus.utterances]
    folder, codes = toy_run.root / "tokenizer", read_codes(toy_run, corpus)
    times = text_times(folder, corpus, codes, texts)
    assert [len(own) for own in times if own is not None] == [len(text.encode()) for text in texts]
    again = text_times(folder, corpus, codes, texts)
    assert all(np.array_equal(one, two) for one, two in zip(times, again, strict=True))
    (folder / "times.npy").unlink()
    shared_out = text_times(folder, corpus, codes, texts, workers=2)
    assert all(np.array_equal(one, two) for one, two in zip(times, shared_out, strict=True))
    data = data_of(toy_run)
    data.utterances = [replace(item, byte_codes=own) for item, own in zip(data.utterances, times, strict=True)]
    _, config, *_ = open_language(toy_run)
    model = new_model(config, 0).train()
    sizes = replace(TOY.speech_lm, dropout=0.0, learn_reference=True, guide_weight=0.5)
    stage = SpeechLmStage(model, data, set(), sizes, 0)
    losses = stage.losses(stage.prepare(stage.batches(0)[0], 0), 0)
    assert float(losses["loss"]) == pytest.approx(float(losses["codes"]) + 0.5 * float(losses["guide"]))
    losses["guide"].backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad is not None
    assert model.tts_adapter.layers[0].mlp.up_proj.weight.grad is None  # it is the backbone that is asked


def test_single_utterances_come_first(toy_run: RunFolder) -> None:
    data = data_of(toy_run, replace(SIZES, joined_share=1.0))
    lengths = [
        [len(item.rows) for i in range(12) if (item := data.example(i, "0", alone=alone)) is not None]
        for alone in (True, False)
    ]
    assert sum(lengths[0]) < sum(lengths[1])
    assert data.seconds(3, "0", alone=True) < 6.0


def test_without_a_reader_nobody_knows_the_times(toy_run: RunFolder, tmp_path: Path) -> None:
    corpus = CorpusStore(toy_run.corpus)
    texts = [utterance.text for utterance in corpus.utterances]
    codes = read_codes(toy_run, corpus)
    assert text_times(tmp_path, corpus, codes, texts) == [None] * len(texts)
    (tmp_path / READER).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="spelling reader cannot be opened"):
        text_times(tmp_path, corpus, codes, texts)


def test_codes_are_heard_as_the_numbers_they_were_made_of(toy_run: RunFolder) -> None:
    """The reader of a file that was kept reads codes as the tokenizer read its own rounded numbers."""
    reader = TextReader.open(toy_run.root / "tokenizer" / READER).codes
    codes = torch.arange(reader.quantiser.num_codes)[None]
    assert torch.equal(reader.quantiser.codes(reader.quantiser.rounded_of(codes)), codes)


def test_the_models_own_codes_take_the_place_of_sounds_alone(
    toy_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, silent rows, ends and separators stay, and everything when nothing is asked for."""
    _, config, *_ = open_language(toy_run)
    made = [data_of(toy_run).example(index, "0") for index in (0, 5)]
    examples = [item for item in made if item is not None]
    inputs, targets, _ = collate(examples, config.codebook_size - 1)
    num_codes = config.codebook_size - 2
    sounds = torch.zeros(inputs.shape[:2], dtype=torch.bool)  # padding is none
    for row, item in enumerate(examples):
        sounds[row, : len(item.rows) - 1] = (item.rows[:-1, 1:] < num_codes).all(dim=-1)
    unheard = min({*range(num_codes)} - {*inputs[..., 1:].flatten().tolist()})

    def sure_of_it(model: SpeechLM, adapted: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(adapted), config.codes_per_row, config.codebook_size)
        logits[..., unheard] = 99.0
        return logits

    monkeypatch.setattr(SpeechLM, "speech_logits", sure_of_it)

    def changed(share: float) -> torch.Tensor:
        sizes = replace(TOY.speech_lm, own_share=share)
        stage = SpeechLmStage(new_model(config, 0).train(), data_of(toy_run), set(), sizes, 0)
        torch.manual_seed(0)
        return stage._with_own_codes(inputs, stage._own_places(targets))

    own = changed(1.0)
    assert torch.equal(own[..., 0], inputs[..., 0])
    assert torch.equal(own[~sounds], inputs[~sounds])
    assert (own[sounds][:, 1:] == unheard).all()
    assert 0.2 < (changed(0.5)[sounds][:, 1:] == unheard).float().mean() < 0.8
    assert torch.equal(changed(0.0), inputs)


def test_an_example_knows_how_its_sounds_are_spelled(toy_run: RunFolder) -> None:
    data = data_of(toy_run, replace(SIZES, joined_share=1.0))
    data.utterances = [replace(item, spelling=(place + 1, 40)) for place, item in enumerate(data.utterances)]
    for place in range(12):
        item, choice = data.example(place, "0"), data._choose(place, random.Random(f"0 {place}"), alone=False)
        assert item is not None
        reference, said = item.spellings
        assert reference == (choice.reference + 1, 40)
        assert said in {tuple(label for own in choice.spoken for label in (own + 1, 40)), (place + 1, 40)}
    data = data_of(toy_run)
    unknown = [data.example(place, "0") for place in range(12)]
    assert {item.spellings for item in unknown if item is not None} == {((), ())}


@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="torch compiles with a C++ compiler")
def test_fused_layers_give_the_same_states_and_gradients(toy_run: RunFolder) -> None:
    _, config, *_ = open_language(toy_run)
    plain = new_model(config, 0).train()
    fused = deepcopy(plain)
    fuse([*fused.model.layers, *fused.tts_adapter.layers], "speech_lm.fused")
    assert fused.state_dict().keys() == plain.state_dict().keys()
    for index in (0, 5):  # of two lengths
        item = data_of(toy_run).example(index, "0")
        assert item is not None
        states = [row_states(model, item.rows[None]).adapter for model in (plain, fused)]
        assert torch.allclose(*states, atol=1e-5)
        for part in states:
            part.square().mean().backward()
    for one, other in zip(plain.parameters(), fused.parameters(), strict=True):
        assert one.grad is None or torch.allclose(one.grad, other.grad, atol=1e-6)
