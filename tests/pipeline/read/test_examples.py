"""The example book is what its script makes."""

from __future__ import annotations

import runpy
import zipfile
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_committed_epub_is_what_the_script_makes(tmp_path: Path) -> None:
    maker = runpy.run_path(str(EXAMPLES / "make_epub.py"))
    one, two = tmp_path / "one.epub", tmp_path / "two.epub"
    maker["write_epub"](one)
    maker["write_epub"](two)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(EXAMPLES / "aesop-four-fables.epub") as committed, zipfile.ZipFile(one) as made:
        assert committed.namelist() == made.namelist()
        assert committed.infolist()[0].compress_type == zipfile.ZIP_STORED
        for name in made.namelist():  # contents, not bytes: another zlib may pack them differently
            if name.endswith(".png"):
                assert committed.read(name)[:33] == made.read(name)[:33]
            else:
                assert committed.read(name) == made.read(name)
