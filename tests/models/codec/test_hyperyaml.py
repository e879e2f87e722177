"""The YAML dialect: references are resolved, tags stay data, nothing runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from omnitts.errors import ModelError
from omnitts.models.codec.hyperyaml import TAG, read


def _read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_references(tmp_path: Path) -> None:
    data = _read(
        tmp_path,
        """
        a: 25
        b: !ref <a> * 2 + 1
        c: !ref <b>
        d: {e: [1, {f: !ref <c>}]}
        g: !ref <d[e][1][f]>
        h: !ref <dir>/x.wav
        dir: /data
        i: [!ref <a>, !ref -<a>]
        j: !copy <d>
        """,
    )
    assert data["b"] == data["c"] == data["g"] == 51
    assert data["h"] == "/data/x.wav"
    assert data["i"] == [25, -25]
    assert data["j"] == {"e": [1, {"f": 51}]}


def test_tags_stay_data(tmp_path: Path) -> None:
    data = _read(
        tmp_path, "a: !new:os.path.Thing\n  x: 1\nb: !name:os.getcwd\nc: !apply:os.mkdir [x]\nd: !tuple [1, 2]\n"
    )
    assert data == {"a": {TAG: "new:os.path.Thing", "x": 1}, "b": "", "c": ["x"], "d": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a: !apply:os.mkdir ['{ran}']",
        "a: !new:os.mkdir\n  path: '{ran}'",
        "a: !!python/object/apply:os.mkdir ['{ran}']",
        "a: !module:os\nb: !ref <a> + __import__('os').mkdir('{ran}')",
        "a: 1\nb: !ref <a> + __import__('os').mkdir('{ran}')",
    ],
)
def test_nothing_runs(tmp_path: Path, text: str) -> None:
    ran = tmp_path / "ran"
    with contextlib.suppress(ModelError):  # some of these are data, some are no arithmetic
        _read(tmp_path, text.replace("{ran}", str(ran)))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: !ref <a>", "refers to itself"),
        ("a: !ref <b>\nb: !ref <a>", "refers to itself"),
        ("a: !ref nothing", "names nothing"),
        ("a: !ref <b[3]>\nb: [1]", "is not in the file"),
        ("a: 1\nb: !ref <a> / 0", "no arithmetic"),
        ("a: 1\nb: !ref <a> ** 9", "no arithmetic"),
        ("a: [1", "is not YAML"),
        ("- 1", "holds no mapping"),
        ("", "holds no mapping"),
        ("\x00", "is not YAML"),
    ],
)
def test_trouble_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ModelError, match=r"x\.yaml") as caught:
        _read(tmp_path, text)
    assert named in str(caught.value)


def test_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ModelError, match=r"x\.yaml"):
        read(tmp_path / "x.yaml")
