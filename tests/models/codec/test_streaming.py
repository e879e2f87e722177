"""The streaming schedule: the reference's calls where it has no defect, ours where it has; the sound of a stream."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnitts.errors import UsageError
from omnitts.models.codec.loading import Codec
from omnitts.models.codec.streaming import SpeechStream, StreamCall, StreamOptions, StreamSchedule
from tests.models.codec.conftest import random_prompt, random_tokens
from tests.models.golden_cases import GoldenCase

SMALL = StreamOptions(hop=8, max_hop=32, limit=60)


def _calls(
    num_prompt: int,
    num_tokens: int,
    step: int = 4,
    options: StreamOptions | None = None,
    schedule: StreamSchedule | None = None,
) -> list[StreamCall]:
    schedule = schedule or StreamSchedule(num_prompt, options)
    calls = []
    for start in range(0, num_tokens, step):
        calls += schedule.add(min(step, num_tokens - start))
    return calls + schedule.end()


class _Repeating(StreamSchedule):
    """Our schedule with the reference's first defect put back: the look-ahead at the limit is spoken again."""

    def _begin_block(self, num_spoken: int) -> None:
        super()._begin_block(num_spoken - self.options.lookahead)


@pytest.mark.golden("streamer-schedule")
def test_calls_agree_with_the_reference(golden_case: GoldenCase, golden_record) -> None:
    """Exactly: the first block as it is, and all blocks once the defect at the limit is put back."""
    wraps = golden_case.meta["max_audio_token"] - 2  # a token's value in the golden data is its index modulo this
    for name, run in golden_case.meta["runs"].items():
        match = re.fullmatch(r"ref(\d+)_total(\d+).*", name)
        assert match, f"a run that names neither prompt nor total: {name}"
        num_prompt, num_tokens = int(match[1]), int(match[2])
        wanted = [
            StreamCall(
                call["first"],
                call["n_tokens"],
                call["token_offset"],
                call["stream"],
                call["finalize"],
                call["cache_was_none"],
            )
            for call in run
        ]
        repeating = _calls(num_prompt, num_tokens, schedule=_Repeating(num_prompt))
        repeating = [dataclasses.replace(call, first=call.first % wraps) for call in repeating]
        golden_record(f"{name} calls that differ", _num_different(repeating, wanted), 0)
        block = 1 + next(index for index, call in enumerate(wanted) if call.finalize)
        golden_record(f"{name} first block", _num_different(_calls(num_prompt, num_tokens)[:block], wanted[:block]), 0)


def _num_different(ours: list[StreamCall], theirs: list[StreamCall]) -> int:
    return sum(a != b for a, b in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))


def test_defect_1_lookahead_at_the_limit_is_spoken_once() -> None:
    calls = _calls(90, 7000)
    limit = next(index for index, call in enumerate(calls) if call.finalize)
    assert calls[limit].num_tokens == 6313
    assert calls[limit + 1].first == 6313, "the reference begins at 6310, with three tokens already spoken"


def test_defect_2_tokens_that_outrun_the_speaker_are_not_lost() -> None:
    assert _calls(90, 4000, step=4000) == _calls(90, 4000, step=4)


def test_defect_3_only_rows_of_codes_are_sound(codec: Codec) -> None:
    """The reference takes anything with four columns for sound; here ids are checked, and text never gets here."""
    stream = SpeechStream(codec.detokenizer, random_prompt(4, 0), 0)
    for row in ([151_643, 1, 2, 3], [97, 97, 97, 97], [1, 2, 3, -1]):
        assert list(stream.push(row)) == []
    assert list(stream.finish()) == []


@given(
    num_prompt=st.integers(0, 700),
    num_tokens=st.integers(0, 15_000),
    step=st.sampled_from([1, 4, 40, 999, 20_000]),
    options=st.sampled_from([StreamOptions(), StreamOptions(hop=25, max_hop=400, limit=1000), SMALL]),
)
def test_every_token_is_spoken_once(num_prompt: int, num_tokens: int, step: int, options: StreamOptions) -> None:
    spoken = 0  # index of the first token that has not sounded yet
    for call in _calls(num_prompt, num_tokens, step, options):
        assert call.first + call.token_offset == spoken
        assert call.begins == (call.token_offset == 0)
        assert call.streaming != call.finalize
        spoken = call.first + call.num_tokens - (0 if call.finalize else options.lookahead)
    assert spoken == num_tokens


def _streamed(codec: Codec, tokens: torch.Tensor, seed: int, options: StreamOptions) -> list[torch.Tensor]:
    stream = SpeechStream(codec.detokenizer, random_prompt(20, 1), seed, options)
    pieces = []
    for row in tokens.view(-1, 4).tolist():
        pieces += stream.push(row)
    return pieces + list(stream.finish())


@pytest.mark.parametrize("num_tokens", [4, 40, 200])
def test_a_stream_is_as_long_as_its_tokens(codec: Codec, num_tokens: int) -> None:
    pieces = _streamed(codec, random_tokens(num_tokens, 2), 7, SMALL)
    assert sum(len(piece) for piece in pieces) == 960 * num_tokens
    assert all(torch.isfinite(piece).all() for piece in pieces)
    assert len(pieces) > 1 or num_tokens == 4


def test_a_stream_of_one_call_is_the_whole_utterance(codec: Codec) -> None:
    tokens = random_tokens(16, 2)
    pieces = _streamed(codec, tokens, 7, StreamOptions())
    whole = codec.detokenizer.speak([tokens], [random_prompt(20, 1)], [7])[0]
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("options", [{"hop": 3}, {"hop": 200, "max_hop": 100}, {"limit": 0}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        StreamOptions(**options)
