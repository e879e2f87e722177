"""`omnitts models` from the outside: output, streams, exit codes; against a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitts.cli import models
from omnitts.errors import ModelError, UsageError
from omnitts.models.hub import BUNDLED
from tests.models.fake_hub import FakeHub, serve
from tests.models.test_hub import REPO, mouth_files


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path / "home"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve(FakeHub(REPO, mouth_files())) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def run(*arguments: str | Path) -> int:
    status = models.app([str(argument) for argument in arguments], standalone_mode=False)
    return status if isinstance(status, int) else 0


def test_the_list_knows_what_is_here_and_what_is_not(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert "not here" in lines["2b"]
    assert REPO in lines["2b"]
    run("pull", "2b", "--quiet")
    capsys.readouterr()
    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [item["repo"] for item in listed["stored"]] == [REPO, BUNDLED.repo]
    assert next(item["state"] for item in listed["known"] if item["name"] == "2b") == "ready (store, aaaaaaaa)"


def test_pull_prints_the_folder_and_tells_its_way(hub: FakeHub, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run("pull", "2b") == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(home / "models" / "wcy1122--MGM-Omni-TTS-2B-0927")
    assert "100 % of" in captured.err
    assert run("pull", "2b", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "pulled"
    assert {"download", "check"} <= {event["event"] for event in events}


def test_path_is_one_line_for_a_shell(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    run("pull", "2b", "--quiet")
    folder = capsys.readouterr().out.strip()
    assert run("path", REPO) == 0
    assert capsys.readouterr().out.strip() == folder
    assert run("path", folder, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["revision"]) == 16


def test_verify_passes_and_fails(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    run("pull", "2b", "--quiet")
    folder = Path(capsys.readouterr().out.strip())
    assert run("verify", "2b") == 0
    assert "every byte as pulled" in capsys.readouterr().out
    (folder / "cosyvoice2/flow.pt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"cosyvoice2/flow\.pt has changed"):
        run("verify", "2b")
    assert run("verify", "2b", "--json") == ModelError.exit_code
    assert json.loads(capsys.readouterr().out)["faults"] == ["cosyvoice2/flow.pt has changed (sha256 differs)"]


def test_remove_asks_first(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    run("pull", "2b", "--quiet")
    folder = Path(capsys.readouterr().out.strip())
    with pytest.raises(UsageError, match="nobody can be asked"):
        run("remove", "2b", "--json")
    assert folder.is_dir()
    assert run("remove", "2b", "--yes") == 0
    assert not folder.exists()


def test_what_is_not_here_says_how_to_get_it() -> None:
    for command in ("path", "verify"):
        with pytest.raises(ModelError, match="not on this machine") as caught:
            run(command, "2b")
        assert "omnitts models pull 2b" in caught.value.hint
    with pytest.raises(ModelError, match="cannot be reached"):
        run("pull", "2b")


@pytest.mark.parametrize("command", ["list", "pull", "verify", "path", "remove"])
def test_each_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(command, "--help")
    assert f"omnitts models {command}" in " ".join(capsys.readouterr().out.split())
