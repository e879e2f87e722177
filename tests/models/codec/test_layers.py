"""Fast layers against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from omnitts.models.codec import layers
from omnitts.models.codec.attention import valid, visible
from omnitts.models.codec.layers import CausalConv, Linear, PointConv, WideConv, attend, channels_together
from tests.models.golden_cases import max_error


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(1, 1, 24), (2, 17, 24), (1, 300, 24)])
def test_linear_maps(shape: tuple[int, int, int]) -> None:
    hidden = torch.randn(shape)
    linear, point = Linear(24, 40), PointConv(24, 40, 1)
    with torch.no_grad():
        assert max_error(linear(hidden), F.linear(hidden, linear.weight, linear.bias)) < 1e-5
        plain = F.conv1d(hidden.transpose(1, 2), point.weight, point.bias).transpose(1, 2)
        assert max_error(point(hidden), plain) < 1e-5


@pytest.mark.parametrize("width", [1, 2, 50])
def test_causal_convolution_sees_the_past_only(width: int) -> None:
    conv, hidden = CausalConv(24, 16, 3), torch.randn(2, width, 24)
    with torch.no_grad():
        plain = F.conv1d(F.pad(hidden.transpose(1, 2), (2, 0)), conv.weight, conv.bias).transpose(1, 2)
        assert max_error(conv(hidden), plain) < 1e-5
        changed = hidden.clone()
        changed[:, -1] += 1.0
        assert torch.equal(conv(changed)[:, :-1], conv(hidden)[:, :-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("lengths", [[60, 60], [60, 23]])
def test_attention_in_slices(
    dtype: torch.dtype, chunk: int | None, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_QUERIES_AT_ONCE", 16)
    query, key, value = torch.randn(3, 2, 4, 60, 8).to(dtype)
    mask = visible(valid(lengths, 60, query.device), 60, chunk, query.device)
    wanted = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask)
    got = attend(query, key, value, mask)
    assert got.dtype == dtype
    assert max_error(got.float(), wanted.transpose(1, 2).flatten(2)) < (1e-5 if dtype == torch.float32 else 0.03)


def test_masks() -> None:
    cpu = torch.device("cpu")
    assert visible(None, 10, None, cpu) is None
    assert visible(None, 10, 25, cpu) is None, "one chunk is the whole"
    chunked = visible(None, 6, 2, cpu)
    assert chunked is not None
    assert chunked[0, 0].sum(dim=1).tolist() == [2, 2, 4, 4, 6, 6]
    both = visible(valid([6, 3], 6, cpu), 6, 2, cpu)
    assert both is not None
    assert both[1, 0].sum(dim=1).tolist() == [2, 2, 3, 3, 3, 3]


def test_wide_convolution_is_the_plain_one_in_another_layout() -> None:
    wide = WideConv(24, 16, 7, dilation=3, padding=9)
    hidden = torch.randn(2, 24, 50)
    expected = F.conv1d(hidden, wide.weight, wide.bias, dilation=3, padding=9)
    for given in (hidden, channels_together(hidden)):
        out = wide(given)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
        assert out.shape == expected.shape
