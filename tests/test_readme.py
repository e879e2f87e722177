"""Every command of the README runs as it stands there, offline, on a small book (not what fetches gigabytes)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from omnitts import errors
from omnitts.cli.app import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FLAGGED_IS_FINE = (errors.EXIT_OK, errors.EXIT_FLAGGED)

CONTAINER = """<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="b.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">x</dc:identifier><dc:title>Small</dc:title>
<dc:language>en</dc:language></metadata><manifest>{items}</manifest><spine>{refs}</spine></package>"""
PAGE = """<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{title}</h1><p>{text}</p></body></html>"""
PAGES = {
    "Preface": "This book was written in a single winter.",
    "The Sea": "The sea was calm. A white boat came in.",
    "The Hill": "We walked up the hill. The old house was empty.",
    "The Road": "At noon we took the road home.",
}


def commands() -> list[str]:
    """Lines of the README's sh blocks that call omnitts, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("omnitts ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of."""
    folder = tmp_path_factory.mktemp("desk")
    with zipfile.ZipFile(folder / "book.epub", "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER)
        items = "".join(f'<item id="c{i}" href="c{i}.xhtml" media-type="application/xhtml+xml"/>' for i in range(4))
        refs = "".join(f'<itemref idref="c{i}"/>' for i in range(4))
        archive.writestr("b.opf", PACKAGE.format(items=items, refs=refs))
        for i, (title, text) in enumerate(PAGES.items()):
            archive.writestr(f"c{i}.xhtml", PAGE.format(title=title, text=text))
    shutil.copy(ROOT / "presets" / "voices" / "clara" / "clip.flac", folder / "ref.wav")
    (folder / "names.tsv").write_text("boat\tbote\n", encoding="utf-8")
    return folder


def run(line: str, desk: Path) -> subprocess.CompletedProcess[str]:
    command = shlex.join([sys.executable, "-m", "omnitts.cli.app"])
    script = re.sub(r"^omnitts\b", lambda _: command, line)
    environment = {**os.environ, "OMNITTS_HOME": str(desk / "home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["sh", "-c", script], cwd=desk, env=environment, capture_output=True, text=True, check=False, timeout=280
    )


def test_there_are_commands() -> None:
    assert len(commands()) >= 15


@pytest.mark.parametrize("line", commands())
def test_command_runs(line: str, desk: Path) -> None:
    if "models pull" in line:
        pytest.skip("would fetch gigabytes; the model store is tested against a hub on loopback")
    done = run(line, desk)
    assert done.returncode in FLAGGED_IS_FINE, done.stderr
    if "--voice ref.wav" in line:  # the small model speaks, and one line says where the full one is
        assert done.stderr.count("omnitts models pull 2b") == 1
    assert "Traceback" not in done.stderr


def test_files_were_written(desk: Path) -> None:
    """Runs after the commands: each named result is there."""
    wanted = {match for line in commands() for match in re.findall(r"(?:-o|>) (\S+)", line)}
    missing = [name for name in wanted if not (desk / name).exists()]
    assert missing == []


def test_every_public_command_is_named_in_the_readme() -> None:
    names = {info.name for info in app.registered_commands} | {group.name for group in app.registered_groups}
    assert {name for name in names if f"omnitts {name}" not in README} == set()


def test_exit_codes_are_those_of_the_errors() -> None:
    table = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", README, flags=re.MULTILINE) for code in row.split(",")
    }
    kinds = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert kinds | {errors.EXIT_OK, errors.EXIT_FLAGGED, errors.EXIT_INTERRUPTED} <= table


def test_the_first_command_line_names_files_that_exist() -> None:
    assert (ROOT / "examples" / "aesop-four-fables.epub").is_file()
    line = "pip install '.[offline]' && .venv/bin/omnitts narrate examples/aesop-four-fables.epub --voice clara"
    assert line in README
