"""The golden helper itself: kinds by prefix, runs by glob, shared files by relative path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.models.golden_cases import find_cases, max_error


def write_case(folder: Path, meta: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    save_file({"x": torch.ones(2)}, str(folder / "odd_name.safetensors"))
    save_file({"w": torch.zeros(3)}, str(folder / "weights.safetensors"))


def test_a_suffixed_folder_keeps_its_kind_and_runs(tmp_path: Path) -> None:
    write_case(tmp_path / "seed9" / "speechlm-forward-untied-b", {"runs": {"odd_name": {"seed": 9}}})
    (case,) = find_cases(tmp_path)
    assert (case.kind, case.name) == ("speechlm-forward", "seed9/speechlm-forward-untied-b")
    assert [(run.name, run.meta["seed"]) for run in case.runs] == [("odd_name", 9)]
    assert set(case.weights()) == {"w"}


def test_a_folder_of_another_name_is_known_by_what_it_says(tmp_path: Path) -> None:
    write_case(tmp_path / "renamed", {"what": "MGMTTSForCausalLM.generate end to end"})
    assert [case.kind for case in find_cases(tmp_path)] == ["speechlm-generate"]


def test_unknown_folders_are_left_alone(tmp_path: Path) -> None:
    write_case(tmp_path / "notes", {"what": "something else"})
    assert find_cases(tmp_path) == []


def test_max_error_refuses_other_shapes() -> None:
    with pytest.raises(AssertionError, match="shape"):
        max_error(torch.zeros(2, 3), torch.zeros(3, 2))
