"""Recipes by name and from JSON; whatever is misspelt is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitts.errors import UsageError
from omnitts.training.recipe import CPU, RECIPES, find_recipe, recipe_from, recipe_json


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe_from(json.loads(json.dumps(recipe_json(recipe))), "test") == recipe


def test_a_file_changes_some_fields(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"base": "cpu", "seed": 5, "flow": {"channels": 96, "plan": {"steps": 9}}}', encoding="utf-8")
    mine = find_recipe(str(path))
    assert (mine.seed, mine.flow.channels, mine.flow.plan.steps) == (5, 96, 9)
    assert mine.flow.plan.batch_s == CPU.flow.plan.batch_s
    assert mine.tokenizer == CPU.tokenizer


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "huge"}, "base is 'huge'"),
        ({"flo": {}}, "no flo"),
        ({"flow": {"chanels": 1}}, "flow.chanels"),
        ({"flow": 3}, "flow is not"),
        ({"tokenizer": {"levels": 8}}, "tokenizer.levels"),
        ({"seed": "one"}, "seed is 'one'"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipe_from(changes, "test")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no recipe is called"):
        find_recipe("nonesuch")
