"""Speaker adaptation: a codec that is off in a voice is put right by the voice's own clip; nothing else is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.codec.adaptation import fitted
from omnitts.models.codec.enrolment import adapted
from omnitts.models.codec.features import vocoder_mel
from omnitts.models.codec.loading import SETTINGS, Codec, load_codec
from omnitts.models.codec.prompt import VoicePrompt
from tests.models.codec.conftest import random_prompt, random_tokens
from tests.models.codec.tiny_codec import ask_to_adapt, write_codec

M = 20


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def off(mel: torch.Tensor) -> torch.Tensor:
    """(M, F) frames as a flow would get them wrong: bands leak into each other, some are too loud."""
    leak = torch.eye(M) + 0.2 * drawn(M, M, seed=1) / M**0.5
    return leak @ mel + drawn(M, 1, seed=2)


def sounding(mel: torch.Tensor) -> torch.Tensor:
    """(M, F) frames as a vocoder would speak them: duller by band."""
    return mel - torch.linspace(0, 1, M)[:, None]


def test_frames_that_are_off_by_an_affine_map_come_right() -> None:
    recorded = drawn(400, M)
    found = fitted(off(recorded.T).T, recorded, frames=1e-3)
    assert found is not None
    other = drawn(M, 50, seed=3)
    assert float((off(other) - other).abs().mean()) > 0.5
    assert torch.allclose(found(off(other)), other, atol=0.05)


def test_two_maps_are_one() -> None:
    recorded = drawn(200, M)
    first = fitted(off(recorded.T).T, recorded, frames=10.0)
    last = fitted(recorded + 0.3 * drawn(200, M, seed=5) + 1, recorded, frames=10.0)
    assert first is not None
    assert last is not None
    frames = drawn(M, 50, seed=6) + 3  # no pauses
    assert torch.allclose(first.then(last)(frames), last(first(frames)), atol=1e-4)


def test_the_prior_holds_back_what_few_frames_say() -> None:
    """A strong one leaves but means and spreads to be put right; a flow that is right is left alone."""
    recorded = drawn(100, M)
    noisy = recorded + 0.5 * drawn(100, M, seed=4)
    bold, shy = fitted(noisy, recorded, frames=1.0), fitted(noisy, recorded, frames=1e6)
    assert bold is not None
    assert shy is not None
    across = ~torch.eye(M, dtype=torch.bool)
    assert float(shy.matrix[across].abs().max()) < 1e-3 < 0.05 < float(bold.matrix[across].abs().max())
    for found in (bold, shy):
        made = found((noisy - noisy.mean(dim=0)).T + noisy.mean(dim=0)[:, None])
        assert torch.allclose(made.std(dim=1), recorded.std(dim=0), rtol=0.02)
    same = fitted(recorded, recorded, frames=100.0)
    assert same is not None
    assert torch.allclose(same(recorded.T), recorded.T, atol=1e-4)


def test_pauses_stay_as_they_are() -> None:
    recorded = drawn(200, M)
    found = fitted(off(recorded.T).T, recorded, frames=10.0)
    assert found is not None
    pause = torch.full((M, 7), float(found.loud) - 8)
    assert torch.equal(found(pause), pause)


def test_a_click_is_not_loud_speech() -> None:
    recorded = drawn(200, M) - 7
    plain = fitted(off(recorded.T).T, recorded, frames=10.0)
    recorded[0] += 7
    clicked = fitted(off(recorded.T).T, recorded, frames=10.0)
    assert plain is not None
    assert clicked is not None
    assert abs(float(clicked.loud - plain.loud)) < 0.1


def test_little_speech_teaches_nothing() -> None:
    recorded = torch.full((300, M), -10.0)
    recorded[:30] = 0.0
    assert fitted(recorded + drawn(300, M), recorded, frames=100.0) is None


def test_the_clip_is_spoken_again_by_the_voice_of_its_other_parts() -> None:
    """No piece hears its own recording, and all of them are within what an engine gives the flow. What comes out of the
    vocoder in the end is what was recorded.
    """
    heard: list[tuple[list[int], list[int]]] = []

    def flow(tokens: Sequence[torch.Tensor], prompts: Sequence[VoicePrompt]) -> list[torch.Tensor]:
        heard.extend(
            (own.tolist(), prompt.tokens.tolist()) for own, prompt in zip(tokens, prompts, strict=True)
        )  # fmt: skip
        return [off(mel[2 * int(own[0]) : 2 * int(own[-1]) + 2].T) for own in tokens]

    mel = drawn(400, M)
    prompt = VoicePrompt(torch.arange(200), mel, torch.ones(3))
    found = adapted(flow, sounding, prompt, 1e-3).adaptation
    assert found is not None
    assert torch.allclose(sounding(found(off(mel.T))), mel.T, atol=0.05)
    assert [own for own, _ in heard] == [list(range(at, at + 66)) for at in (0, 66, 132)]
    assert all(not set(own) & set(given) for own, given in heard)
    short = VoicePrompt(torch.arange(49), mel[:98], torch.ones(3))
    assert adapted(flow, sounding, short, 1.0) == short


def adapting_codec(folder: Path, frames: float) -> Codec:
    write_codec(folder)
    ask_to_adapt(folder / SETTINGS, frames)
    return load_codec(folder)


def test_a_codec_that_adapts_hears_a_voice_with_it(codec: Codec, tmp_path: Path) -> None:
    clip = drawn(64_000) * 0.1
    plain = codec.listen(clip)
    assert plain.adaptation is None
    own = adapting_codec(tmp_path, 100.0)
    prompt = own.listen(clip)
    assert prompt.adaptation is not None
    tokens = [random_tokens(12, 0)]
    bare = own.detokenizer.flow(tokens, [replace(prompt, adaptation=None)])[0]
    assert torch.equal(bare, codec.detokenizer.flow(tokens, [plain])[0])
    assert torch.equal(own.detokenizer.flow(tokens, [prompt])[0], prompt.adaptation(bare))
    assert not torch.equal(prompt.adaptation(bare), bare)


def test_the_vocoder_is_asked_in_its_own_frames(codec: Codec) -> None:
    mel = random_prompt(30, 1).mel.T
    made = codec.detokenizer.revocoded(mel)
    assert made.shape == mel.shape
    assert torch.equal(made, codec.detokenizer.revocoded(mel))
    [wave] = codec.detokenizer.hift([mel], [torch.Generator().manual_seed(0)])
    assert torch.equal(made, vocoder_mel(wave.wave[None])[0])


def test_a_prior_below_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"flow\.adaptation_frames is -1"):
        adapting_codec(tmp_path, -1.0)
