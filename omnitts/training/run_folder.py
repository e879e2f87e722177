"""The folder of one training run: where every stage keeps its files, and the recipe all stages share.

    RUN/recipe.json
    RUN/corpus/      features, memory-mapped (`store`)
    RUN/tokenizer/   checkpoint, speech_tokenizer_v2.onnx, codes of the corpus, silence.json
    RUN/speaker/     checkpoint, campplus.onnx
    RUN/flow/  RUN/vocoder/  RUN/text/  RUN/speech-lm/  RUN/pronouncer/  RUN/durations/
    RUN/evaluation.json

A stage that goes on from an exported model holds start.pt (`warm_start`).

Knows paths, not contents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnitts.audio import write_atomically
from omnitts.errors import InputError, UsageError
from omnitts.training.recipe import Recipe, recipe_from, recipe_json

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    root: Path

    @property
    def corpus(self) -> Path:
        return self.root / "corpus"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation.json"

    def stage(self, name: str) -> Path:
        """The folder of a stage, made when it is not there."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def recipe(self) -> Recipe:
        """The recipe the run was started with. Raises `UsageError` when there is none."""
        path = self.root / RECIPE_FILE
        if not path.is_file():
            raise UsageError("no training run is here", where=str(self.root), hint="start with `omnitts train corpus`")
        return recipe_from(read_json(path), str(path))

    def keep_recipe(self, recipe: Recipe) -> None:
        """Writes the recipe; a run that has one already keeps it. Raises `UsageError` when the two differ."""
        path = self.root / RECIPE_FILE
        if path.is_file():
            if self.recipe() != recipe:
                hint = f"edit {path}, drop --recipe, or start another run folder"
                raise UsageError("this run was started with another recipe", where="--recipe", hint=hint)
            return
        write_json(path, recipe_json(recipe))

    def need(self, stage: str, name: str) -> Path:
        """A file of an earlier stage. Raises `InputError` that says which command makes it."""
        path = self.root / stage / name
        if not path.exists():
            hint = f"run `omnitts train {stage if stage != 'text' else 'speech-lm'} {self.root}` first"
            raise InputError(f"the {stage} stage is not finished: {name} is missing", where=str(self.root), hint=hint)
        return path


def write_json(path: Path, data: Any) -> None:
    """Pretty JSON, written aside and renamed."""
    write_atomically(path, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Raises `InputError` for a file that is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as JSON ({error})", where=str(path)) from error
