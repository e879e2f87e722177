"""The cache's bookkeeping: own lengths, views, scratch position, moves."""

from __future__ import annotations

import torch

from omnitts.models.kv_cache import KVCache


def small_cache() -> KVCache:
    return KVCache.allocate([2, 1], num_rows=4, max_length=6, head_dim=3, dtype=torch.float32, device="cpu")


def test_every_row_has_its_own_positions() -> None:
    cache = small_cache()
    cache.advance(torch.tensor([0, 2, 5, 1]))
    assert cache.next_positions(1).tolist() == [[0], [2], [5], [1]]
    counts = torch.tensor([2, 0, 1, 2])
    assert cache.next_positions(2, counts).tolist() == [[0, 1], [6, 6], [5, 6], [1, 2]]
    assert cache.scratch == 6


def test_written_keys_are_read_back_and_scratch_is_out_of_sight() -> None:
    cache = small_cache()
    positions = torch.tensor([[0, 1], [6, 6], [0, 6], [0, 1]])
    keys, values = torch.randn(2, 4, 2, 2, 3)
    cache.write(0, keys, values, positions)
    read_keys, read_values = cache.read(0, cache.max_length)
    assert read_keys.shape == (4, 2, 6, 3)
    assert torch.equal(read_keys[0, :, :2], keys[0].transpose(0, 1))
    assert torch.equal(read_values[2, :, 0], values[2, 0])
    assert not read_keys[1].any()
    assert not cache.read(1, 6)[0].any(), "layers are apart"


def test_a_view_writes_into_its_cache() -> None:
    cache = small_cache()
    view = cache.rows(1, 3)
    view.write(1, torch.ones(2, 1, 1, 3), torch.ones(2, 1, 1, 3), view.next_positions(1))
    view.advance(1)
    assert cache.lengths.tolist() == [0, 1, 1, 0]
    assert cache.read(1, 1)[0].sum(dim=(1, 2, 3)).tolist() == [0, 3, 3, 0]


def test_a_row_moves_whole_or_as_a_prefix() -> None:
    cache = small_cache()
    for layer in (0, 1):
        cache.keys[layer].normal_()
        cache.values[layer].normal_()
    cache.advance(torch.tensor([1, 2, 3, 5]))
    cache.copy_row(3, 0)
    assert cache.lengths.tolist() == [5, 2, 3, 5]
    for layer in (0, 1):
        assert torch.equal(cache.keys[layer][0, :, :5], cache.keys[layer][3, :, :5])
        assert torch.equal(cache.values[layer][0, :, :5], cache.values[layer][3, :, :5])
        assert not torch.equal(cache.keys[layer][0, :, 5], cache.keys[layer][3, :, 5])
    cache.copy_row(2, 1, length=2)
    assert cache.lengths.tolist() == [5, 2, 3, 5]
    cache.clear(2)
    assert cache.lengths.tolist() == [5, 2, 0, 5]
