"""Tokens to waveforms: token2wav of the reference, whole utterances in batches and blocks, seams."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omnitts.models.codec import detokenizer as module
from omnitts.models.codec.detokenizer import Detokenizer, Seam, join_piece
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.hift import Hift, Vocoded
from omnitts.models.codec.loading import Codec, fill, hift_state
from omnitts.models.codec.prompt import VoicePrompt
from tests.models.codec.conftest import random_prompt, random_tokens
from tests.models.codec.tiny_codec import flow_config_of, hift_config_of
from tests.models.golden_cases import GoldenCase, max_error


def _network_case(case: GoldenCase, kind: str) -> GoldenCase:
    folder = (case.folder / case.config[kind]).resolve()
    return GoldenCase(kind=kind, name=folder.name, folder=folder)


def _golden_detokenizer(case: GoldenCase) -> Detokenizer:
    flow_case, hift_case = _network_case(case, "flow"), _network_case(case, "hift")
    with torch.device("meta"):
        flow, hift = Flow(flow_config_of(flow_case.config)), Hift(hift_config_of(hift_case.config))
    flow_weights, hift_weights = case.weights(0), hift_state(case.weights(1))
    return Detokenizer(
        fill(flow, flow_weights, where=case.name, device="cpu", dtype=torch.float32),
        fill(hift, hift_weights, where=case.name, device="cpu", dtype=torch.float32),
    )


@pytest.mark.golden("token2wav")
def test_pieces_agree_with_the_reference(golden_case: GoldenCase, golden_record) -> None:
    detokenizer, io = _golden_detokenizer(golden_case), golden_case.runs[0].tensors()
    prompt = VoicePrompt(io["prompt_token"][0].long(), io["prompt_feat"][0], io["embedding"][0])
    seam: Seam | None = None
    for call in golden_case.meta["calls"]:
        name, finalize = call["call"], call["finalize"]
        tokens = io["token"][0, : call["tokens"]]
        if call["token_offset"] == 0:
            seam = None
        mel = detokenizer.flow([tokens], [prompt], streaming=call["stream"], finalize=finalize)[0]
        source = io[f"{name}.source"][0, 0]

        def vocode(frames: Tensor, cached: Tensor, *, name: str = name, source: Tensor = source) -> Vocoded:
            golden_record(f"{name} mel", max_error(frames, io[f"{name}.hift_mel"][0]), 1e-4)
            assert len(cached) == 0 or max_error(source[: len(cached)], cached) == 0
            return Vocoded(detokenizer.hift.decode([frames], [source])[0], source)

        wave, seam = join_piece(mel[:, 2 * call["token_offset"] :], seam, vocode, finalize=finalize)
        golden_record(f"{name} wave", max_error(wave, io[f"{name}.wav"][0]), 1e-4)
        if seam is not None:
            golden_record(f"{name} seam mel", max_error(seam.mel, io[f"{name}.cache_mel"][0]), 1e-4)
            golden_record(f"{name} seam source", max_error(seam.source, io[f"{name}.cache_source"][0, 0]), 0.0)
            golden_record(f"{name} seam speech", max_error(seam.speech, io[f"{name}.cache_speech"][0]), 1e-4)


def test_utterances_together_sound_as_alone(codec: Codec) -> None:
    speak = codec.detokenizer.speak
    tokens = [random_tokens(n, n) for n in (9, 31, 1, 20)]
    prompts = [random_prompt(n, n) for n in (5, 12, 5, 8)]
    together = speak(tokens, prompts, [1, 2, 3, 4])
    assert [len(wave) for wave in together] == [960 * len(row) for row in tokens]
    for row in range(4):
        alone = speak([tokens[row]], [prompts[row]], [row + 1])[0]
        assert max_error(together[row], alone) < 1e-3  # the source sums rounding of the pitch up over the utterance
    split = speak(tokens, prompts, [1, 2, 3, 4], max_batch_frames=60)
    assert all(max_error(a, b) < 1e-3 for a, b in zip(together, split, strict=True))


def test_the_seed_decides_the_noise(codec: Codec) -> None:
    speak, row, prompt = codec.detokenizer.speak, [random_tokens(9, 0)], [random_prompt(5, 0)]
    assert torch.equal(speak(row, prompt, [1])[0], speak(row, prompt, [1])[0])
    assert not torch.equal(speak(row, prompt, [1])[0], speak(row, prompt, [2])[0])


def test_long_utterances_are_spoken_in_blocks(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, prompt = random_tokens(25, 0), random_prompt(5, 0)
    monkeypatch.setattr(module, "BLOCK_TOKENS", 10)
    wave = codec.detokenizer.speak([tokens], [prompt], [3])[0]
    assert len(wave) == 25 * 960
    first = codec.detokenizer.speak([tokens[:10]], [prompt], [3])[0]
    assert torch.equal(wave[: len(first)], first)


def test_no_tokens_are_no_sound(codec: Codec) -> None:
    empty, spoken = codec.detokenizer.speak(
        [torch.zeros(0, dtype=torch.long), random_tokens(4, 0)], [random_prompt(5, 0)] * 2, [1, 2]
    )
    assert len(empty) == 0
    assert len(spoken) == 4 * 960
    assert codec.detokenizer.speak([], [], []) == []


def test_mismatched_lists_are_refused(codec: Codec) -> None:
    with pytest.raises(ValueError, match="zip"):
        codec.detokenizer.speak([random_tokens(4, 0)], [], [1])
