"""The flow against the reference, and each of its fast paths against a plain one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.flow_matching import cosine_times, noise_table
from omnitts.models.codec.loading import Codec, fill
from omnitts.models.codec.prompt import VoicePrompt
from tests.models.codec.conftest import random_prompt, random_tokens
from tests.models.codec.tiny_codec import flow_config_of, published_flow_config
from tests.models.golden_cases import GoldenCase, max_error


def _golden_flow(case: GoldenCase) -> Flow:
    with torch.device("meta"):
        flow = Flow(flow_config_of(case.config))
    return fill(flow, case.weights(), where=case.name, device="cpu", dtype=torch.float32)


def _golden_runs(case: GoldenCase) -> dict[str, tuple[torch.Tensor, VoicePrompt, bool, bool, dict[str, torch.Tensor]]]:
    tensors = case.runs[0].tensors()
    runs = {}
    for name, meta in case.meta["runs"].items():
        io = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        prompt = VoicePrompt(io["prompt_token"][0].long(), io["prompt_feat"][0], io["embedding"][0])
        runs[name] = (io["token"][0], prompt, meta["streaming"], meta["finalize"], io)
    return runs


@pytest.mark.golden("flow")
def test_mel_agrees_with_the_reference(golden_case: GoldenCase, golden_record) -> None:
    flow = _golden_flow(golden_case)
    for name, (tokens, prompt, streaming, finalize, io) in _golden_runs(golden_case).items():
        mel = flow([tokens], [prompt], streaming=streaming, finalize=finalize)[0]
        golden_record(f"{name} mel", max_error(mel, io["mel"][0]), 1e-4)


@pytest.mark.golden("flow")
def test_encoder_and_velocity_agree_with_the_reference(golden_case: GoldenCase, golden_record) -> None:
    flow = _golden_flow(golden_case)
    chunk = flow.config.estimator.chunk
    for name, (tokens, prompt, streaming, finalize, io) in _golden_runs(golden_case).items():
        ids = torch.cat((prompt.tokens, tokens.long()))
        context = 0 if finalize else flow.config.encoder.lookahead
        with torch.inference_mode():
            hidden = flow.encoder(flow.input_embedding(ids)[None], [len(ids)], context, streaming)
            golden_record(f"{name} encoder", max_error(hidden, io["encoder_out"]), 1e-4)
            golden_record(f"{name} mu", max_error(flow.encoder_proj(hidden).transpose(1, 2), io["mu"]), 1e-4)
            frames = torch.zeros(2, io["z"].shape[2], 320)
            speaker = io["spks"][:, None].expand(1, frames.shape[1], -1)
            frames[:1] = torch.cat(
                (io["z"].transpose(1, 2), io["mu"].transpose(1, 2), speaker, io["cond"].transpose(1, 2)), dim=-1
            )
            frames[1:, :, :80] = io["z"].transpose(1, 2)
            position = torch.arange(frames.shape[1])
            mask = position[None] < (position[:, None] // chunk + 1) * chunk if streaming else None
            time = flow.decoder.estimator.time_mlp(io["ode_t"][:1])[0]
            velocity = flow.decoder.estimator(frames, time, mask if mask is None else mask[None, None])
        golden_record(f"{name} first velocity", max_error(velocity.transpose(1, 2), io["estimator_out_step0"]), 1e-4)


@pytest.mark.golden("flow")
def test_noise_and_times_are_the_references_to_the_bit(golden_case: GoldenCase, golden_record) -> None:
    io = golden_case.runs[0].tensors()
    head, tail = io["rand_noise_head"][0], io["rand_noise_tail"][0]
    table = noise_table(head.shape[0], 30_000)
    golden_record("noise head", max_error(table[:, : head.shape[1]], head), 0.0)
    golden_record("noise tail", max_error(table[:, -tail.shape[1] :], tail), 0.0)
    for name in golden_case.meta["runs"]:
        span = io[f"{name}.t_span"]
        golden_record(f"{name} times", max_error(cosine_times(len(span) - 1, torch.device("cpu")), span), 0.0)


@pytest.mark.golden("flow")
@pytest.mark.parametrize("streaming", [False, True])
def test_rows_of_several_lengths_sound_as_alone(golden_case: GoldenCase, golden_record, streaming: bool) -> None:
    flow = _golden_flow(golden_case)
    rows = [(tokens, prompt) for tokens, prompt, *_ in _golden_runs(golden_case).values() if len(tokens) > 3]
    mels = flow([row[0] for row in rows], [row[1] for row in rows], streaming=streaming, finalize=not streaming)
    for mel, (tokens, prompt) in zip(mels, rows, strict=True):
        alone = flow([tokens], [prompt], streaming=streaming, finalize=not streaming)[0]
        # Other shapes add in another order: up to 9e-6 seen over ten solver steps on these cases.
        golden_record(f"batched, streaming {streaming}", max_error(mel, alone), 5e-5)


def test_the_global_random_state_is_left_alone(codec: Codec) -> None:
    noise_table.cache_clear()
    before = torch.random.get_rng_state()
    codec.detokenizer.flow([random_tokens(5, 0)], [random_prompt(4, 0)])
    assert torch.equal(before, torch.random.get_rng_state())


def test_streamed_mel_stays_when_more_tokens_come(codec: Codec) -> None:
    """With chunk masks a finished chunk does not change: mathematics, not luck."""
    flow, prompt, tokens = codec.detokenizer.flow, random_prompt(25, 1), random_tokens(103, 2)
    short = flow([tokens[:53]], [prompt], streaming=True, finalize=False)[0]
    long = flow([tokens], [prompt], streaming=True, finalize=False)[0]
    assert max_error(short, long[:, : short.shape[1]]) < 1e-5
    whole = flow([tokens], [prompt])[0]
    assert max_error(short, whole[:, : short.shape[1]]) > 1e-3, "whole attention hears the future"


def test_streaming_is_whole_within_one_chunk(codec: Codec) -> None:
    flow, prompt, tokens = codec.detokenizer.flow, random_prompt(10, 1), random_tokens(15, 2)
    assert max_error(flow([tokens], [prompt], streaming=True)[0], flow([tokens], [prompt])[0]) < 1e-5


def test_long_rows_pass_the_attention_in_slices(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, prompt, tokens = codec.detokenizer.flow, random_prompt(20, 1), random_tokens(61, 2)
    whole = flow([tokens], [prompt], streaming=True)[0]
    monkeypatch.setattr("omnitts.models.codec.conformer._QUERIES_AT_ONCE", 7)
    assert max_error(flow([tokens], [prompt], streaming=True)[0], whole) < 1e-5


def test_bf16_stays_near_fp32(codec: Codec) -> None:
    """Bound stated in docs/differences.md: the mean error of the log-mel is below 0.03."""
    flow = codec.detokenizer.flow
    rounded = Flow(flow.config).bfloat16()
    rounded.load_state_dict(flow.state_dict())
    prompt, tokens = random_prompt(12, 3), random_tokens(40, 4)
    difference = (rounded([tokens], [prompt])[0] - flow([tokens], [prompt])[0]).abs()
    assert 0 < difference.mean() < 0.03
    assert difference.max() < 0.3


def test_bf16_rows_of_several_lengths_sound_as_alone(codec: Codec) -> None:
    flow = Flow(codec.detokenizer.flow.config).bfloat16()
    flow.load_state_dict(codec.detokenizer.flow.state_dict())
    prompts, tokens = [random_prompt(12, 3), random_prompt(7, 5)], [random_tokens(40, 4), random_tokens(9, 6)]
    together = flow(tokens, prompts, streaming=True)
    for row in range(2):
        alone = flow([tokens[row]], [prompts[row]], streaming=True)[0]
        assert (together[row] - alone).abs().mean() < 0.03


def test_compiled_is_eager(codec: Codec) -> None:
    estimator = codec.detokenizer.flow.decoder.estimator
    compiled = torch.compile(estimator, backend="aot_eager")
    frames = torch.randn(2, 12, 320, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        time = estimator.time_mlp(torch.tensor([0.3]))[0]
        assert max_error(compiled(frames, time, None), estimator(frames, time, None)) < 1e-5


def test_more_frames_than_noise_end_in_words(codec: Codec) -> None:
    flow = Flow(dataclasses.replace(codec.detokenizer.flow.config, noise_frames=20)).eval()
    with pytest.raises(ModelError, match="30 mel frames"):
        flow([random_tokens(10, 0)], [random_prompt(5, 0)])


def test_published_size() -> None:
    with torch.device("meta"):
        flow = Flow(published_flow_config())
    assert sum(parameter.numel() for parameter in flow.parameters()) == pytest.approx(112.5e6, rel=1e-3)
    shapes = {name: tuple(value.shape) for name, value in flow.state_dict().items()}
    assert shapes["input_embedding.weight"] == (6561, 512)
    assert shapes["encoder.pre_lookahead_layer.conv1.weight"] == (512, 512, 4)
    assert shapes["encoder.up_encoders.3.self_attn.pos_bias_u"] == (8, 64)
    assert shapes["decoder.estimator.mid_blocks.11.1.3.attn1.to_q.weight"] == (512, 256)
    assert shapes["decoder.estimator.up_blocks.0.0.block1.block.0.weight"] == (256, 512, 3)
