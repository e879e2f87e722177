"""A whole toy run, trained once for all tests that look at what a stage leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnitts.cli import app as command_line
from omnitts.training.run_folder import RunFolder
from tests.training.toys import write_clips

STAGES = ("tokenizer", "speaker", "flow", "vocoder", "speech-lm", "pronouncer", "durations")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the toy clips."""
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def toy_run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Every stage but the export, through the command line."""
    root = tmp_path_factory.mktemp("toy") / "run"
    threads = torch.get_num_threads()
    command("train", "corpus", str(root), str(clips), "--recipe", "toy")
    for stage in STAGES:
        command("train", stage, str(root), "--threads", "1")
    torch.set_num_threads(threads)
    return RunFolder(root)


@pytest.fixture(scope="session")
def toy_model(toy_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy run as a checkpoint folder."""
    out = tmp_path_factory.mktemp("exported") / "model"
    command("train", "export", str(toy_run.root), "--out", str(out))
    return out


def command(*arguments: str) -> None:
    assert command_line.run(list(arguments)) == 0
