"""Loading: exact keys and shapes, shards, and errors that name what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from omnitts.errors import ModelError, UsageError
from omnitts.models.weights import dtype_by_name, expected_shapes, load_module, read_tensors, weight_files


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))


def tensors() -> dict[str, Tensor]:
    return {name: torch.randn(shape) for name, shape in expected_shapes(build).items()}


def test_expected_names_and_shapes_need_no_memory() -> None:
    assert expected_shapes(build) == {"0.weight": (2, 3), "0.bias": (2,), "1.weight": (1, 2)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_module_is_loaded_in_the_dtype_asked_for(dtype: torch.dtype) -> None:
    given = tensors()
    module = load_module(build, given, where="here", dtype=dtype)
    assert not module.training
    for name, parameter in module.named_parameters():
        assert parameter.dtype == dtype
        assert not parameter.requires_grad
        assert torch.equal(parameter, given[name].to(dtype))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"0.bias": None}, r"here: 1 tensor missing: 0\.bias"),
        ({"2.weight": torch.zeros(1)}, r"1 tensor unexpected: 2\.weight"),
        ({"1.weight": torch.zeros(4, 2)}, r"1\.weight is 4x2, not 1x2"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Tensor | None], complaint: str) -> None:
    given = {name: tensor for name, tensor in (tensors() | change).items() if tensor is not None}
    with pytest.raises(ModelError, match=complaint):
        load_module(build, given, where="here")


def test_ignored_names_are_dropped_only_where_the_module_has_no_place() -> None:
    given = tensors() | {"9.weight": torch.zeros(1)}
    load_module(build, given, where="here", ignored={"9.weight", "0.bias"})
    del given["0.bias"]
    with pytest.raises(ModelError, match=r"missing: 0\.bias"):
        load_module(build, given, where="here", ignored={"9.weight", "0.bias"})


def write_sharded(folder: Path, given: dict[str, Tensor]) -> None:
    names = sorted(given)
    files = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: given[name] for name in names if files[name] == file}, str(folder / file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def test_shards_and_a_single_file_hold_the_same(tmp_path: Path) -> None:
    given = tensors()
    write_sharded(tmp_path, given)
    assert len(weight_files(tmp_path)) == 2
    single = tmp_path / "single"
    single.mkdir()
    save_file(given, str(single / "model.safetensors"))
    for folder in (tmp_path, single):
        read = read_tensors(folder, dtype=torch.bfloat16)
        assert read.keys() == given.keys()
        assert all(torch.equal(read[name], given[name].bfloat16()) for name in given)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_sharded(tmp_path, tensors())
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors is missing"):
        read_tensors(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        read_tensors(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not a header")
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged"):
        read_tensors(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ModelError, match="index cannot be read"):
        read_tensors(tmp_path)


def test_dtypes_have_names() -> None:
    assert dtype_by_name("bf16") is torch.bfloat16
    with pytest.raises(UsageError, match="int3"):
        dtype_by_name("int3")
