"""Joint generation where the reference crashes, cuts or says nothing: with the brain's words forced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.mgm_omni import sampler
from omnitts.models.mgm_omni.brain.joint import JointGeneration, SpokenRow, TextDelta
from omnitts.models.mgm_omni.brain.loading import LoadedBrain
from omnitts.models.mgm_omni.checkpoint import Mouth
from omnitts.models.mgm_omni.sampler import RowSampler, Sampling
from omnitts.models.mgm_omni.text_feed import Failure

GREEDY = Sampling(temperature=0.0)
SILENCE = 6486

Start = Callable[..., JointGeneration]


@pytest.fixture
def start(tiny_brain: LoadedBrain, tiny_mouth: Mouth) -> Start:
    """`start(words, codes=None, sampling=GREEDY, **options)`: the brain says `words`, the mouth `codes` or its own."""

    def begin(
        words: Sequence[int],
        codes: Sequence[int] | None = None,
        sampling: Sampling = GREEDY,
        brain: LoadedBrain = tiny_brain,
        **options: int,
    ) -> JointGeneration:
        said = iter(words)

        def choose(logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
            if logits.shape[1] == 1:
                return torch.tensor([[next(said)]])
            return torch.tensor([codes]) if codes is not None else sampler.sample(logits, rows)

        return JointGeneration(
            brain,
            brain.network.embed([5, 6, 7]),
            tiny_mouth,
            tiny_mouth.prompts.voice_rows("Hello.", list(range(40))),
            sampling,
            choose=choose,
            **{"max_new_tokens": 200, **options},
        )

    return begin


@pytest.fixture(scope="module")
def blank(tiny_mouth: Mouth) -> int:
    return next(i for i, is_blank in enumerate(tiny_mouth.vocabulary.is_blank_text) if is_blank)


@pytest.fixture(scope="module")
def eos(tiny_brain: LoadedBrain) -> int:
    return int(tiny_brain.tokenizer.eos_token_id)


def test_words_are_spoken_in_the_turn_they_are_thought(start: Start, eos: int) -> None:
    events = list(start([70, 71, eos]))
    assert [type(event) for event in events[:6]] == [TextDelta, SpokenRow] * 3
    assert [event.row[0] for event in events[:4] if isinstance(event, SpokenRow)] == [70, 71]


def test_blanks_at_the_start_make_the_mouth_wait(start: Start, blank: int, eos: int) -> None:
    """The reference pops from an empty buffer here: IndexError."""
    joint = start([blank, blank, 70, 71, eos])
    events = list(joint)
    assert [type(event) for event in events[:4]] == [TextDelta, TextDelta, TextDelta, SpokenRow]
    rows = joint.speech().rows
    assert rows[:2, 0].tolist() == [70, 71]
    assert joint.tokens == [blank, blank, 70, 71, eos]


@pytest.mark.parametrize("words", [0, 1, 3])
def test_an_answer_of_nothing_but_blanks_ends(
    start: Start, tiny_mouth: Mouth, blank: int, eos: int, words: int
) -> None:
    joint = start([*[blank] * words, eos])
    list(joint)
    text = joint.speech().rows[:, 0].tolist()
    pad = tiny_mouth.vocabulary.text_pad
    assert text == [pad, pad, tiny_mouth.vocabulary.audio_end, tiny_mouth.vocabulary.text_eos]


def test_trap_5_ten_blank_rows_are_borne_the_eleventh_ends_the_chunk(start: Start, eos: int) -> None:
    joint = start([70, 71, 72, eos], codes=[SILENCE] * 4)
    list(joint)
    speech = joint.speech()
    is_eos = (speech.rows[:, 1:] == 6561).all(dim=1)
    assert int(is_eos.nonzero()[0]) == 10
    assert speech.failures == (Failure.BLANK_RUN,)


def test_trap_5_max_new_tokens_limits_rows_exactly(start: Start) -> None:
    joint = start([70] * 30, max_new_tokens=30)
    list(joint)
    assert len(joint.tokens) == len(joint.speech().rows) == 30
    assert Failure.ROW_LIMIT in joint.speech().failures


def test_the_text_goes_on_where_the_speech_waited(start: Start, blank: int, eos: int) -> None:
    """The mouth lost two turns; both ends come, each by its own count."""
    joint = start([blank, blank, *[70] * 6, eos], max_new_tokens=9)
    list(joint)
    assert joint.tokens[-1] == eos
    assert len(joint.speech().rows) == 9


def test_trap_22_the_penalty_of_the_brain_also_acts_on_the_mouth(start: Start, eos: int) -> None:
    """Per codebook, over what it has spoken: with an enormous penalty no code comes twice while text is spoken."""
    joint = start([*range(70, 110), eos], sampling=Sampling(temperature=0.0, repetition_penalty=1e6))
    list(joint)
    codes = joint.speech().rows[:40, 1:]
    for k in range(codes.shape[1]):
        assert len(set(codes[:, k].tolist())) == 40
    free = start([*range(70, 110), eos])
    list(free)
    assert len(set(free.speech().rows[:40, 1].tolist())) < 40


def test_a_second_end_id_is_not_spoken(start: Start, tiny_brain: LoadedBrain, tiny_mouth: Mouth) -> None:
    """Published generation configs end an answer with `<|endoftext|>` too, which is the mouth's pad id."""
    pad = tiny_mouth.vocabulary.text_pad
    brain = replace(tiny_brain, eos_ids=tiny_brain.eos_ids | {pad})
    joint = start([*[70] * 20, pad], brain=brain)
    list(joint)
    text = joint.speech().rows[:, 0].tolist()
    assert text[:20] == [70] * 20
    assert set(text[20:-2]) == {pad}
    assert len(text) > 23
    assert text[-2:] == [tiny_mouth.vocabulary.audio_end, tiny_mouth.vocabulary.text_eos]


def test_streamed_text_is_the_answer(start: Start, tiny_brain: LoadedBrain, eos: int) -> None:
    words = tiny_brain.tokenizer("龘 and so on.", add_special_tokens=False).input_ids
    text = "".join(event.text for event in start([*words, eos]) if isinstance(event, TextDelta))
    assert text == "龘 and so on."


def test_a_brain_and_a_mouth_of_other_vocabularies_are_refused(tiny_brain: LoadedBrain, tiny_mouth: Mouth) -> None:
    other = replace(tiny_brain, tokenizer=SimpleNamespace(eos_token_id=7))
    with pytest.raises(ModelError, match="ends its text with id 7"):
        JointGeneration(other, tiny_brain.network.embed([5]), tiny_mouth, torch.zeros(1, 5), GREEDY)
