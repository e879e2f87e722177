"""Perception learns to hear sounds and voices in mel, and judges guesses by them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.flow import FlowStage
from omnitts.training.perception import Perception, PerceptionStage, trained_perception
from omnitts.training.reading import corpus_sounds
from omnitts.training.recipe import TOY, PerceptionRecipe
from omnitts.training.run_folder import RunFolder
from omnitts.training.speaker import read_vectors
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer import read_codes


def perception(seed: int = 0) -> Perception:
    torch.manual_seed(seed)
    return Perception(80, 30, 192, replace(TOY.perception, dropout=0.0)).eval()


def mel(rows: int, frames: int, seed: int = 0) -> Tensor:
    return -5 + 2 * torch.randn(rows, frames, 80, generator=torch.Generator().manual_seed(seed))


def stage(run: RunFolder, recipe: PerceptionRecipe = TOY.perception) -> PerceptionStage:
    corpus = CorpusStore(run.corpus)
    reader = TextReader.open(run.root / "tokenizer" / READER)
    labels = [sounds.labels for sounds in corpus_sounds(reader, corpus)]
    return PerceptionStage(corpus, labels, reader.num_labels, read_vectors(run, corpus), recipe, 0)


def test_what_is_alike_is_near_and_only_judged_frames_count() -> None:
    judge, meant = perception(), mel(2, 40)
    inside = torch.ones(2, 40, 1)
    assert [float(part) for part in judge.distances(meant, meant, inside, inside)] == pytest.approx([0, 0], abs=1e-6)
    near, far = (judge.distances(meant + loud * mel(2, 40, 1), meant, inside, inside) for loud in (0.01, 0.5))
    assert all(0 < float(small) < float(large) for small, large in zip(near, far, strict=True))
    ends = meant.clone()
    ends[:, 35:] += 5
    judged = inside.clone()
    judged[:, 20:] = 0  # no convolution reaches from 35 to before 20
    assert [float(part) for part in judge.distances(ends, meant, inside, judged)] == pytest.approx([0, 0], abs=1e-6)
    assert all(float(part) > 0.001 for part in judge.distances(ends, meant, inside, inside))
    assert [float(part) for part in judge.distances(ends, meant, inside, 0 * inside)] == [0, 0]


def test_a_row_without_judged_frames_has_no_part_in_the_voices() -> None:
    judge, meant = perception(), mel(2, 40)
    made = meant + 0.5 * mel(2, 40, 1)
    inside = torch.ones(2, 40, 1)
    judged = inside.clone()
    judged[1] = 0
    _, one = judge.distances(made[:1], meant[:1], inside[:1], inside[:1])
    _, both = judge.distances(made, meant, inside, judged)
    assert float(both) == pytest.approx(float(one), rel=1e-5)


def test_it_does_not_hear_padding() -> None:
    judge, one = perception(), mel(1, 20)
    padded = torch.cat((one, mel(1, 10, 3)), dim=1)
    inside = (torch.arange(30) < 20).float()[None, :, None]
    sounds, voice = judge(padded, inside)
    alone_sounds, alone_voice = judge(one, torch.ones(1, 20, 1))
    assert torch.allclose(sounds[:, :20], alone_sounds, atol=1e-5)
    assert torch.allclose(voice, alone_voice, atol=1e-5)


def test_it_learns_the_corpus(toy_run: RunFolder) -> None:
    learning = stage(toy_run)
    batch = learning.batches(0)[0]
    optimiser = torch.optim.Adam(learning.networks.parameters(), 3e-3)
    torch.manual_seed(0)
    seen = []
    for step in range(40):
        losses = learning.losses(batch, step)
        optimiser.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen.append((float(losses["sounds"].detach()), float(losses["voice"].detach())))
    assert seen[-1][0] < 0.8 * seen[0][0]
    assert seen[-1][1] < 0.5 * seen[0][1]
    learning.networks.eval()
    assert 0 < float(learning.losses(batch, -1)["misread"]) <= 1.5


def test_the_flow_is_judged_behind_its_prompts_where_it_hears_codes(toy_run: RunFolder) -> None:
    """With no condition anywhere there is nothing to judge; else the loss has its share and reaches the flow."""
    corpus = CorpusStore(toy_run.corpus)
    codes, voices = read_codes(toy_run, corpus), read_vectors(toy_run, corpus)
    judge = trained_perception(toy_run, corpus, voices)
    assert (toy_run.root / "perception" / "checkpoint.pt").is_file()
    own = replace(TOY.flow, perception_weight=0.5, voice_weight=0.25, drop_condition=0.0)
    batch = corpus.training()[:3]
    flow = FlowStage(corpus, codes, voices, replace(TOY, flow=own), perception=judge)
    torch.manual_seed(0)
    losses = flow.losses(batch, 0)
    parts = (losses["matching"] + own.prior_weight * losses["prior"] + 0.5 * losses["heard"]).detach()
    parts += 0.25 * losses["voice"].detach()
    assert float(losses["loss"].detach()) == pytest.approx(float(parts), rel=1e-5)
    (losses["heard"] + losses["voice"]).backward()  # type: ignore[no-untyped-call]
    assert float(flow.flow.decoder.estimator.final_proj.weight.grad.abs().sum()) > 0  # type: ignore[union-attr, operator]
    assert not any(weight.requires_grad for weight in judge.parameters())
    deaf = FlowStage(corpus, codes, voices, replace(TOY, flow=replace(own, drop_condition=1.0)), perception=judge)
    unheard = deaf.losses(batch, 0)
    assert [float(unheard[name]) for name in ("heard", "voice")] == [0, 0]
