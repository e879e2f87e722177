"""Flow and vocoder: what learns computes what the codec's own modules compute."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from omnitts.models.codec.flow import Flow
from omnitts.models.codec.flow_matching import cosine_times, noise_table
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.loading import hift_state
from omnitts.models.codec.prompt import VoicePrompt
from omnitts.models.codec.source import HarmonicSource, SourceDraws
from omnitts.training.average_voice import open_mel_reader
from omnitts.training.codec_settings import hift_config_of
from omnitts.training.flow import FlowStage, Matching, conditions, matching_losses, new_flow, velocity
from omnitts.training.recipe import TOY
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.store import CorpusStore, Span
from omnitts.training.tokenizer import read_codes
from omnitts.training.vocoder import decode, excitation, fuse_activations, normed
from omnitts.training.vocoder_losses import Discriminators, adversarial_losses, mel_loss, spectral_loss


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("streaming", [False, True])
def test_solving_with_the_learnt_velocity_is_the_flow_itself(streaming: bool) -> None:
    torch.manual_seed(0)
    flow = new_flow(TOY).eval()
    ids, voice, prompt_mel = torch.arange(40) % 64, drawn(192), drawn(20, 80, seed=1)
    prompt = VoicePrompt(ids[:10], prompt_mel, voice)
    expected = flow([ids[10:]], [prompt], streaming=streaming)[0]  # (M, F)

    with torch.no_grad():
        mu, speaker = conditions(flow, ids[None], [40], voice[None], streaming)
        given = torch.zeros(1, 80, 80)
        given[0, :20] = prompt_mel
        mel = noise_table(80, flow.config.noise_frames)[:, :80].T[None].clone()
        times = cosine_times(flow.config.num_steps, torch.device("cpu"))
        for time, step in zip(times[:-1], times.diff(), strict=True):
            now = time[None]
            told = velocity(flow, mel, mu, speaker, given, now, [40], streaming)
            untold = velocity(flow, mel, mu * 0, speaker * 0, given * 0, now, [40], streaming)
            mel = mel + step * ((1 + flow.config.guidance) * told - flow.config.guidance * untold)
    assert torch.allclose(mel[0, 20:].T, expected, atol=1e-4)


@pytest.mark.parametrize("is_average", [False, True], ids=["mel", "average voice"])
def test_mu_is_drawn_to_a_mel(toy_run: RunFolder, is_average: bool) -> None:
    corpus = CorpusStore(toy_run.corpus)
    recipe = replace(TOY, flow=replace(TOY.flow, prior_weight=0.5, streaming_share=0.0))
    reader = open_mel_reader(toy_run.root / "tokenizer", TOY.tokenizer) if is_average else None
    stage = FlowStage(corpus, read_codes(toy_run, corpus), read_vectors(toy_run, corpus), recipe, reader)
    index = min(corpus.training(), key=lambda i: corpus.utterances[i].num_codes)
    utterance = corpus.utterances[index]
    codes = stage.codes_of(index, 0, utterance.num_codes)[None]
    wanted = corpus.read("mel", index)[None]
    if reader is not None:
        wanted = reader(reader.quantiser.rounded_of(codes), torch.ones(1, utterance.num_codes, 1)).view(wanted.shape)
    with torch.no_grad():
        mu, _ = conditions(stage.flow, codes, [utterance.num_codes], torch.zeros(1, 192), False)
        losses = stage.losses([index], 0)
    assert float(losses["prior"]) == pytest.approx(float((mu - wanted).square().mean()), rel=1e-4)
    assert float(losses["loss"]) == pytest.approx(float(losses["matching"] + 0.5 * losses["prior"]))


def test_a_prompt_of_another_clip_is_never_the_clip_itself(toy_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = CorpusStore(toy_run.corpus)
    recipe = replace(TOY, flow=replace(TOY.flow, prompt_share=1.0, other_prompt_share=1.0))
    stage = FlowStage(corpus, read_codes(toy_run, corpus), read_vectors(toy_run, corpus), recipe)
    asked: list[Sequence[Span]] = []
    joined = corpus.joined

    def remembered(kind: str, rows: Sequence[Sequence[Span]]) -> Tensor:
        asked.extend(rows)
        return joined(kind, rows)

    monkeypatch.setattr(corpus, "joined", remembered)
    torch.manual_seed(0)
    index = corpus.training()[0]
    with torch.no_grad():
        stage.losses([index] * 60, 0)
    others = {prompt for (prompt, _, _), _ in asked}
    assert {spoken for _, (spoken, _, _) in asked} == {index}
    assert index not in others
    assert {corpus.utterances[other].speaker for other in others} == {corpus.utterances[index].speaker}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_behind_its_prompt_a_row_may_hear_the_pronouncer(
    toy_run: RunFolder, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    corpus = CorpusStore(toy_run.corpus)
    recipe = replace(TOY, flow=replace(TOY.flow, prompt_share=1.0, other_prompt_share=0.5, pronounced_share=share))
    codes = np.zeros_like(read_codes(toy_run, corpus))
    stage = FlowStage(corpus, codes, read_vectors(toy_run, corpus), recipe, pronounced=codes + 7)
    heard: list[Tensor] = []
    prompts: list[int] = []

    def remembered(flow: Flow, ids: Tensor, lengths: list[int], *rest: Any, **more: Any) -> Matching:
        heard.extend(row[:length] for row, length in zip(ids, lengths, strict=True))
        prompts.extend(frames // 2 for frames in more["prompt_frames"])
        return Matching(torch.zeros(()), torch.zeros(()), torch.zeros(()))

    monkeypatch.setattr("omnitts.training.flow.matching_losses", remembered)
    torch.manual_seed(0)
    stage.losses(corpus.training()[:1] * 20, 0)
    assert len(set(prompts)) > 5
    for row, prompt in zip(heard, prompts, strict=True):
        assert row[:prompt].eq(0).all()
        assert row[prompt:].eq(7 if share else 0).all()


@pytest.mark.parametrize("which", [0, 1], ids=["matching", "prior"])
def test_the_losses_do_not_hear_padding_and_reach_every_weight(which: int) -> None:
    torch.manual_seed(0)
    flow = new_flow(TOY).train()
    ids, mel, voices = torch.arange(60).view(2, 30) % 64, drawn(2, 60, 80), drawn(2, 192, seed=3)
    noise, times = drawn(2, 60, 80, seed=4), torch.tensor([0.3, 0.8])

    def loss(mel: Tensor, rows: slice, lengths: list[int]) -> Tensor:
        frames = 2 * max(lengths)
        return matching_losses(
            flow,
            ids[rows, : max(lengths)],
            lengths,
            mel[rows, :frames],
            voices[rows],
            prior_mel=mel[rows, :frames],
            prompt_frames=[4] * len(lengths),
            has_condition=torch.ones(len(lengths), dtype=torch.bool),
            times=times[rows],
            noise=noise[rows, :frames],
            streaming=False,
        )[which]

    both, first, second = (
        loss(mel, rows, lengths)
        for rows, lengths in ((slice(0, 2), [30, 20]), (slice(0, 1), [30]), (slice(1, 2), [20]))
    )
    assert torch.allclose(both, (first * 30 + second * 20) / 50, rtol=1e-4)
    both.backward()
    untouched = [name for name, weight in flow.named_parameters() if weight.grad is None]
    if which == 0:
        assert untouched == []
    else:  # mu is what the encoder makes
        assert all(name.startswith(("decoder.", "spk_embed_affine_layer.")) for name in untouched)
        assert len(untouched) < sum(1 for _ in flow.parameters())


@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="torch compiles with a C++ compiler")
def test_fused_activations_give_the_same_sound_and_gradients() -> None:
    torch.manual_seed(0)
    plain = normed(Hift(hift_config_of(TOY.vocoder)))
    fused = deepcopy(plain)
    fuse_activations(fused)
    mel, source = drawn(2, 80, 12) - 5, drawn(2, 12 * 480) * 0.1
    for hift in (plain, fused):
        decode(hift, mel, source).square().mean().backward()
    assert fused.state_dict().keys() == plain.state_dict().keys()
    with torch.no_grad():
        assert torch.allclose(decode(plain, mel, source), decode(fused, mel, source), atol=1e-6)
    for one, other in zip(plain.parameters(), fused.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None and other.grad is not None:
            assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-7)


def test_the_vocoder_that_learns_is_the_vocoder_that_speaks() -> None:
    torch.manual_seed(0)
    learning = normed(Hift(hift_config_of(TOY.vocoder))).eval()
    speaking = Hift(hift_config_of(TOY.vocoder)).eval()
    speaking.load_state_dict(hift_state(learning.state_dict()))
    mel, pitch = drawn(2, 80, 12) - 5, torch.tensor([[120.0] * 12, [0.0] * 6 + [200.0] * 6])
    sources = [learning.m_source(row, torch.Generator().manual_seed(i)) for i, row in enumerate(pitch)]
    with torch.no_grad():
        made = decode(learning, mel, torch.stack(sources))
    expected = torch.stack(speaking.decode(list(mel), [source.detach() for source in sources]))
    assert made.shape == (2, 12 * 480)
    assert torch.allclose(made, expected, atol=1e-5)


def test_sources_of_many_rows_are_those_of_each() -> None:
    torch.manual_seed(0)
    source = HarmonicSource(hift_config_of(TOY.vocoder))
    pitch = torch.tensor([[120.0] * 12, [0.0] * 6 + [200.0] * 6, [310.0] * 4 + [0.0] * 8])
    noise = drawn(3, source.config.num_harmonics + 1, 12 * 480)
    with torch.no_grad():
        made = excitation(source, pitch, noise)
        expected = torch.stack([source(row, SourceDraws(own.T)) for row, own in zip(pitch, noise, strict=True)])
    assert float(made.abs().max()) > 0.05
    assert torch.allclose(made, expected, atol=1e-5)


def test_spectral_losses_are_zero_for_the_same_sound() -> None:
    wave = drawn(2, 9600) * 0.1
    assert float(spectral_loss(wave, wave)) == 0
    assert float(mel_loss(wave, wave)) == 0
    assert float(spectral_loss(wave * 0.5, wave)) > 0.3
    assert float(mel_loss(wave.roll(1, 0), wave)) > 0


def test_judges_and_vocoder_learn_apart() -> None:
    torch.manual_seed(0)
    judges = Discriminators(4)
    real = drawn(2, 4800) * 0.1
    made = (drawn(2, 4800, seed=1) * 0.1).requires_grad_()
    fool, judge = adversarial_losses(judges, made, real)
    fool.backward(retain_graph=True)
    assert made.grad is not None
    assert all(weight.grad is None for weight in judges.parameters())
    before = made.grad.clone()
    judge.backward()
    assert torch.equal(made.grad, before)
    assert all(weight.grad is not None for weight in judges.parameters())
