"""Three-axis positions, by hand and against the rules written out."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from omnitts.models.mgm_omni.brain.positions import GridSpan, LineSpan, Span, prompt_positions

SPANS = st.lists(
    st.one_of(
        st.builds(LineSpan, st.integers(0, 9)),
        st.builds(GridSpan, st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    ),
    max_size=6,
)


def written_out(spans: list[Span]) -> list[tuple[int, int, int]]:
    position, out = 0, []
    for span in spans:
        if isinstance(span, LineSpan):
            out += [(position + i,) * 3 for i in range(span.length)]
        else:
            out += [
                (position + t, position + h, position + w)
                for t in range(span.frames)
                for h in range(span.rows)
                for w in range(span.columns)
            ]
        position = max((max(axes) for axes in out), default=-1) + 1
    return out


def test_text_alone_counts_up() -> None:
    positions, rope_delta = prompt_positions([LineSpan(4)])
    assert positions.tolist() == [[0, 1, 2, 3]] * 3
    assert rope_delta == 0


def test_a_picture_between_words() -> None:
    positions, rope_delta = prompt_positions([LineSpan(2), GridSpan(1, 2, 3), LineSpan(1)])
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5],
        [0, 1, 2, 2, 2, 3, 3, 3, 5],
        [0, 1, 2, 3, 4, 2, 3, 4, 5],
    ]
    assert rope_delta == 6 - 9


def test_frames_of_a_video_count_one_by_one() -> None:
    """Unlike transformers' Qwen2.5-VL, no seconds come in."""
    positions, _ = prompt_positions([GridSpan(3, 1, 1), LineSpan(1)])
    assert positions.tolist() == [[0, 1, 2, 3], [0, 0, 0, 3], [0, 0, 0, 3]]


@given(SPANS)
def test_any_order_follows_the_rules(spans: list[Span]) -> None:
    positions, rope_delta = prompt_positions(spans)
    wanted = written_out(spans)
    assert positions.T.tolist() == [list(axes) for axes in wanted]
    assert rope_delta == max((max(axes) for axes in wanted), default=-1) + 1 - len(wanted)
    assert positions.dtype == torch.long
