"""Answers: many at once or one alone, sampled or not, cached or not; text that streams in whole characters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.brain.answer import AnswerBatch, TextStream, answer, stream_text
from omnitts.models.mgm_omni.brain.audio_input import MEL_BINS
from omnitts.models.mgm_omni.brain.loading import LoadedBrain
from omnitts.models.mgm_omni.brain.network import PromptEmbeds
from omnitts.models.mgm_omni.brain.prompt import Media, Turn, encode_turns
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling

GREEDY = Sampling(temperature=0.0)
LENGTH = 12


@pytest.fixture(scope="module")
def prompts(tiny_brain: LoadedBrain) -> list[PromptEmbeds]:
    """Of different lengths, one with sound."""
    network, tokenizer = tiny_brain.network, tiny_brain.tokenizer
    sound = network.encode_audio(torch.randn(MEL_BINS, 3000, generator=torch.Generator().manual_seed(1)))
    asked = [(("Hi.",), []), ((Media.AUDIO, "What is said?"), [sound]), (("你好，今天天气真不错。",), [])]
    return [network.embed(encode_turns(tokenizer, [Turn("user", parts)]), media) for parts, media in asked]


def give(
    brain: LoadedBrain, prompts: list[PromptEmbeds], samplings: list[Sampling], **options: object
) -> list[list[int]]:
    settings = {"eos_ids": brain.eos_ids, "max_new_tokens": LENGTH, **options}
    return answer(AnswerBatch(brain.network, prompts, [RowSampler(s) for s in samplings], **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, repetition_penalty=1.2)])
def test_batched_answers_are_those_given_alone(
    tiny_brain: LoadedBrain, prompts: list[PromptEmbeds], sampling: Sampling
) -> None:
    samplings = [replace(sampling, seed=seed) for seed in range(len(prompts))]
    alone = [give(tiny_brain, [prompt], [own])[0] for prompt, own in zip(prompts, samplings, strict=True)]
    assert give(tiny_brain, prompts, samplings) == alone
    assert len({tuple(tokens) for tokens in alone}) == len(alone)


def test_cached_steps_are_those_without_a_cache(tiny_brain: LoadedBrain, prompts: list[PromptEmbeds]) -> None:
    """The plain twin: the whole text read anew for every token, positions and all."""
    network = tiny_brain.network
    for prompt in prompts:
        cached, embeds, positions = give(tiny_brain, [prompt], [GREEDY])[0], prompt.embeds, prompt.positions
        for token in cached:
            logits, _ = network.prefill([PromptEmbeds(embeds, positions, prompt.rope_delta)])
            assert int(logits.argmax()) == token
            here = torch.full((3, 1), len(embeds) + prompt.rope_delta)
            positions = torch.cat([positions, here], dim=1)
            embeds = torch.cat([embeds, network.text_model.embed_tokens(torch.tensor([token]))])


def test_an_answer_ends_with_eos_and_the_others_go_on(tiny_brain: LoadedBrain, prompts: list[PromptEmbeds]) -> None:
    whole = give(tiny_brain, prompts, [GREEDY] * 3)
    eos = next(token for token in whole[0] if token not in whole[1] + whole[2])
    cut = give(tiny_brain, prompts, [GREEDY] * 3, eos_ids={eos})
    assert cut[0] == whole[0][: whole[0].index(eos) + 1]
    assert cut[1:] == whole[1:]


def test_trap_34_the_penalty_counts_generated_tokens_only(tiny_brain: LoadedBrain, prompts: list[PromptEmbeds]) -> None:
    """With an enormous penalty the first token is still the unpunished best, and no token comes twice."""
    free = give(tiny_brain, prompts[1:2], [GREEDY])[0]
    assert len(set(free)) < len(free)
    punished = give(tiny_brain, prompts[1:2], [Sampling(temperature=0.0, repetition_penalty=1e6)])[0]
    assert punished[0] == free[0]
    assert len(set(punished)) == len(punished)


def test_trap_13_top_k_50_is_on_by_default(tiny_brain: LoadedBrain, prompts: list[PromptEmbeds]) -> None:
    logits, _ = tiny_brain.network.prefill(prompts[:1])
    scores = sampler.process_scores(logits[:, None], [RowSampler(Sampling.from_generation_config({}))])
    assert int(scores.isfinite().sum()) == 50


def test_text_streams_as_it_comes(tiny_brain: LoadedBrain, prompts: list[PromptEmbeds]) -> None:
    batch = AnswerBatch(
        tiny_brain.network, prompts[:1], [RowSampler(GREEDY)], eos_ids=tiny_brain.eos_ids, max_new_tokens=LENGTH
    )
    pieces = list(stream_text(batch, tiny_brain.tokenizer))
    assert "".join(pieces) == tiny_brain.tokenizer.decode(batch.tokens[0], skip_special_tokens=True)
    assert len(pieces) > 1
    with pytest.raises(ValueError, match="one answer at a time"):
        next(stream_text(AnswerBatch(tiny_brain.network, prompts, [], eos_ids=()), tiny_brain.tokenizer))


def test_trap_30_half_a_character_waits(tiny_brain: LoadedBrain) -> None:
    tokenizer = tiny_brain.tokenizer
    ids = tokenizer("龘 ok", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids[:1]) == "\ufffd"
    stream = TextStream(tokenizer)
    pieces = [stream.push(token) for token in ids]
    assert pieces[:2] == ["", ""]
    assert "".join(pieces) == "龘 ok"
    stream.push(ids[0])
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""
