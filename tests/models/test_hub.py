"""The model store: found, missing, damaged, pulled, resumed, verified, removed; against a hub on loopback."""

from __future__ import annotations

import json
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitts.errors import ModelError, UsageError
from omnitts.models import transfer
from omnitts.models.hub import (
    KNOWN_MODELS,
    check_layout,
    list_models,
    locate_model,
    model_revision,
    remove_model,
    store_folder,
    verify,
)
from omnitts.models.layout import CODEC_FILES
from omnitts.models.manifest import read_manifest
from omnitts.models.pull import hub_fault, pull
from omnitts.progress import Event
from tests.models.fake_hub import FakeHub, serve

REPO = "wcy1122/MGM-Omni-TTS-2B-0927"
BIG = 300_000


def safetensors(num_bytes: int, fill: int = 7) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes([fill]) * num_bytes


def mouth_files() -> dict[str, bytes]:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    files = {
        "config.json": b'{"model_type": "MGMTTS"}',
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}).encode(),
        shards[0]: safetensors(BIG),
        shards[1]: safetensors(1000),
        "tokenizer_config.json": b"{}",
        "vocab.json": b"{}",
        "merges.txt": b"",
        "README.md": b"# not wanted",
    }
    return files | {f"cosyvoice2/{name}": name.encode() * 10 for name in CODEC_FILES}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test, and no hub but the one a test starts."""
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(transfer, "PAUSE_S", 0.01)
    monkeypatch.setattr(transfer, "BLOCK_BYTES", 20_000)
    return tmp_path / "home"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve(FakeHub(REPO, mouth_files())) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def test_layout_names_each_missing_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", mouth_files())
    assert check_layout(folder) == []
    for name in mouth_files().keys() - {"README.md", "model.safetensors.index.json"}:
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        assert check_layout(folder) == [name]
        (folder / name).write_bytes(data)


def test_layout_takes_one_weight_file_and_either_tokenizer(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", {"config.json": b'{"model_type": "MGMOmni"}', "tokenizer_config.json": b"{}"})
    assert check_layout(folder) == ["model.safetensors", "vocab.json", "merges.txt"]
    write(folder, {"weights.safetensors": safetensors(8), "tokenizer.json": b"{}"})
    assert check_layout(folder) == []
    assert check_layout(folder, "mouth") == [f"cosyvoice2/{name}" for name in CODEC_FILES]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("config.json", b"{", "cannot be read as JSON"),
        ("config.json", b"[]", "not a JSON object"),
        ("config.json", b'{"model_type": "llama"}', "'llama'"),
        ("model.safetensors.index.json", b"{}", "lists no weights"),
    ],
)
def test_unreadable_layout_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    folder = write(tmp_path / "model", mouth_files() | {name: data})
    with pytest.raises(ModelError, match=said) as caught:
        check_layout(folder)
    assert name in caught.value.where


def test_revision_sees_every_change(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", mouth_files())
    shard = "model-00001-of-00002.safetensors"
    first = model_revision(folder)
    assert first == model_revision(write(tmp_path / "copy", mouth_files()))
    seen = {first}
    for name, data in {
        shard: safetensors(BIG, fill=8),
        "config.json": b'{"model_type": "MGMTTS", "x": 1}',
        "cosyvoice2/flow.pt": b"other",
        "extra.json": b"{}",
    }.items():
        write(folder, {name: data})
        seen.add(model_revision(folder))
    assert len(seen) == 5
    before = model_revision(folder)
    write(folder, {"README.md": b"words about it", ".cache/huggingface/x.metadata": b"1"})
    assert model_revision(folder) == before


def test_revision_reads_little_of_a_huge_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", mouth_files())
    with (folder / "huge.safetensors").open("wb") as file:
        file.truncate(20_000_000_000)  # sparse: reading it through would take half a minute
    start = time.monotonic()
    model_revision(folder)
    assert time.monotonic() - start < 2.0


def test_a_folder_is_located_or_its_lack_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", mouth_files())
    assert locate_model(str(folder)) == folder
    (folder / "cosyvoice2/hift.pt").unlink()
    with pytest.raises(ModelError, match=r"cosyvoice2/hift\.pt missing"):
        locate_model(str(folder))


@pytest.mark.parametrize("reference", ["2b", "2B", REPO])
def test_a_model_that_is_not_here_names_its_command(reference: str) -> None:
    with pytest.raises(ModelError, match="not on this machine") as caught:
        locate_model(reference)
    assert caught.value.where == REPO
    assert "omnitts models pull 2b" in caught.value.hint


def test_what_names_no_model_is_said_with_the_choices() -> None:
    for call in (locate_model, pull):
        with pytest.raises((ModelError, UsageError)) as caught:
            call("no such thing")
        assert all(model.short_name in caught.value.hint for model in KNOWN_MODELS)


def test_an_empty_folder_named_like_a_model_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "2b").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="not on this machine"):
        locate_model("2b")


def test_the_hub_cache_is_looked_into(tmp_path: Path) -> None:
    root, commit = tmp_path / "hf" / f"models--{REPO.replace('/', '--')}", "c" * 40
    write(root, {"refs/main": commit.encode()})
    folder = write(root / "snapshots" / commit, mouth_files())
    assert locate_model("2b") == folder
    (found,) = list_models()
    assert (found.repo, found.place, found.commit, found.missing) == (REPO, "hub cache", commit, ())
    with pytest.raises(ModelError, match="not in omnitts' store"):
        remove_model("2b")
    assert folder.is_dir()


def test_pull_fetches_checks_and_pins(hub: FakeHub, home: Path) -> None:
    listener = Listener()
    folder = pull("2b", progress=listener)
    assert folder == home / "models" / "wcy1122--MGM-Omni-TTS-2B-0927"
    assert {name: (folder / name).read_bytes() for name in mouth_files() if name != "README.md"} == {
        name: data for name, data in mouth_files().items() if name != "README.md"
    }
    assert not (folder / "README.md").exists()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.repo, manifest.revision, manifest.commit) == (REPO, "main", "a" * 40)
    assert verify(folder).faults == ()
    last = [event for event in listener.events if event.name == "download"][-1].data
    assert last["done_bytes"] == last["total_bytes"] > BIG
    assert {event.data["file"] for event in listener.events if event.name == "check"} == set(manifest.sha256)
    assert locate_model("2b") == locate_model(REPO, revision="aaaaaaa") == folder
    with pytest.raises(ModelError, match="at revision other"):
        locate_model("2b", revision="other")
    assert [model.repo for model in list_models()] == [REPO]


def test_pull_again_fetches_nothing(hub: FakeHub) -> None:
    pull("2b")
    hub.requested.clear()
    pull("2b")
    assert hub.requested == []


def test_another_revision_has_its_own_folder(hub: FakeHub) -> None:
    hub.commits["v1"] = "b" * 40
    main, old = pull("2b"), pull("2b", "v1")
    assert main != old
    assert locate_model("2b", revision="v1") == old
    assert locate_model("2b") == main
    remove_model("2b", revision="v1")
    assert not old.exists()
    assert main.exists()


def test_an_interrupted_pull_goes_on(hub: FakeHub) -> None:
    hub.cut = {"model-00001-of-00002.safetensors"}
    with pytest.raises(ModelError):
        pull("2b")
    (left,) = list_models()
    assert left.missing
    with pytest.raises(ModelError, match="not on this machine"):
        locate_model("2b")
    hub.cut = set()
    hub.requested.clear()
    assert verify(pull("2b")).faults == ()
    assert "cosyvoice2/flow.pt" not in {name for name, _ in hub.requested}
    starts = [first for name, first in hub.requested if name == "model-00001-of-00002.safetensors"]
    assert len(starts) == 1
    assert starts[0] > BIG // 3


@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "vocab.json"])
def test_a_damaged_file_is_refused_and_fetched_again(hub: FakeHub, name: str) -> None:
    hub.damaged = {name}
    with pytest.raises(ModelError, match=f"{name} arrived damaged"):
        pull("2b")
    assert not (store_folder(REPO, None) / name).exists()
    hub.damaged = set()
    assert verify(pull("2b")).faults == ()


def test_pull_looks_at_the_disk_first(hub: FakeHub) -> None:
    hub.sizes["cosyvoice2/flow.pt"] = 10**15
    with pytest.raises(ModelError, match=r"needs 1000000\.\d GB"):
        pull("2b")
    assert hub.requested == []


def test_pull_stops_before_the_weights_of_another_kind_of_model(hub: FakeHub) -> None:
    hub.files["config.json"] = b'{"model_type": "llama"}'
    with pytest.raises(ModelError, match="'llama'"):
        pull("2b")
    assert {name for name, _ in hub.requested} == {"config.json"}
    assert not store_folder(REPO, None).exists()


def test_pull_names_what_the_hub_lacks(hub: FakeHub) -> None:
    with pytest.raises(ModelError, match="no such model"):
        pull("wcy1122/elsewhere")
    with pytest.raises(ModelError, match="no revision 'v9'"):
        pull("2b", "v9")
    del hub.files["cosyvoice2/campplus.onnx"]
    with pytest.raises(ModelError, match=r"cosyvoice2/campplus\.onnx missing"):
        pull("2b")


def test_a_hub_that_answers_is_reachable(hub: FakeHub) -> None:
    assert hub_fault() == ""


def test_no_hub_is_said_within_seconds() -> None:
    start = time.monotonic()
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        pull("2b")
    assert time.monotonic() - start < 5.0
    assert "--model" in caught.value.hint
    assert "cannot be reached" in hub_fault()


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "has changed (sha256 differs)"),
    ],
)
def test_verify_finds_what_changed(hub: FakeHub, spoil, fault: str) -> None:  # type: ignore[no-untyped-def]
    folder, name = pull("2b"), "model-00002-of-00002.safetensors"
    spoil(folder / name)
    assert f"{name} {fault}" in verify(folder).faults


def test_verify_without_a_lock_file_says_so(tmp_path: Path) -> None:
    found = verify(write(tmp_path / "model", mouth_files()))
    assert (found.faults, found.has_manifest) == ((), False)
    with pytest.raises(ModelError, match="no such folder"):
        verify(tmp_path / "nowhere")


def test_remove_frees_the_store(hub: FakeHub) -> None:
    folder = pull("2b")
    assert remove_model("2b") == folder
    assert list_models() == []
    with pytest.raises(ModelError, match="not in omnitts' store"):
        remove_model("2b")


def test_a_broken_lock_file_does_not_break_the_list(hub: FakeHub) -> None:
    folder = pull("2b")
    (folder / "omnitts.lock.json").write_text("{", encoding="utf-8")
    (model,) = list_models()
    assert "lock file cannot be read" in model.missing[0]
    shutil.rmtree(folder)
