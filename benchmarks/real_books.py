"""Real books through the reader: what is a chapter, what is skipped, and whether any word got lost.

    python benchmarks/real_books.py FOLDER [--chapters]

Reads every .epub, .txt, .md and .html below FOLDER and prints a row for each: chapters to speak, chapters skipped,
words
to speak, words in all chapters with the notes kept, words of the raw source, and the share of the source's words that
came through. With ``--chapters`` the chapters are listed with their first and last words, for looking at by eye.
"""

from __future__ import annotations

import argparse
import time
import zipfile
from pathlib import Path

from lxml import etree

from omnitts.errors import OmnittsError
from omnitts.pipeline.read import ReadOptions, read_book
from omnitts.pipeline.read.charset import decode
from omnitts.pipeline.read.cleaning import count_words
from omnitts.pipeline.read.markup import parse_markup
from omnitts.types import Book, Chapter

SUFFIXES = (".epub", ".txt", ".md", ".html", ".htm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chapters", action="store_true", help="list the chapters too")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    print(
        f"{'book':44} {'lang':4} {'spoken':>6} {'skip':>4} {'words':>8} {'all':>8} {'raw':>8} "
        f"{'kept':>7} {'s':>5} problems"
    )
    for path in paths:
        started = time.perf_counter()
        try:
            book = read_book(path)
        except OmnittsError as error:
            print(f"{path.name[:44]:44} {type(error).__name__}: {error}")
            continue
        seconds = time.perf_counter() - started
        print(row(path, book, seconds))
        if arguments.chapters:
            for number, chapter in enumerate(book.chapters, 1):
                print(chapter_line(number, chapter))
            for problem in book.problems:
                print(f"      ! {problem.where}: {problem.what}")


def row(path: Path, book: Book, seconds: float) -> str:
    """One line of the table."""
    spoken = [chapter for chapter in book.chapters if not chapter.skip_reason]
    words = sum(count_words(chapter.text) for chapter in spoken)
    everything = sum(count_words(chapter.text) for chapter in read_book(path, ReadOptions(notes="end")).chapters)
    raw = raw_words(path)
    return (
        f"{path.name[:44]:44} {book.language or '?':4} {len(spoken):6} {len(book.chapters) - len(spoken):4} {words:8} "
        f"{everything:8} {raw:8} {everything / max(raw, 1):7.2%} {seconds:5.2f} {len(book.problems)}"
    )


def raw_words(path: Path) -> int:
    """Words of the source by the shortest way: all text inside the pages' bodies, or the whole text file."""
    if path.suffix.lower() != ".epub":
        data = path.read_bytes()
        if path.suffix.lower().startswith(".htm"):
            return _body_words(data)
        return count_words(decode(data, where=path.name).text)
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".xhtml", ".html", ".htm", ".xml"))]
        pages = [
            name for name in names if "META-INF" not in name and not name.lower().endswith(("nav.xhtml", "toc.xhtml"))
        ]
        return sum(_body_words(archive.read(name)) for name in pages)


def _body_words(data: bytes) -> int:
    root, _ = parse_markup(data, "page")
    body = root.find("body")
    texts = [] if body is None else body.xpath(".//text()[not(ancestor::script or ancestor::style)]")
    return count_words(" ".join(str(text) for text in texts if not isinstance(text, etree._Comment)))


def chapter_line(number: int, chapter: Chapter) -> str:
    """A chapter's number, words, title, how it begins and ends, and why it is skipped."""
    text = " ".join(chapter.text.split())
    reason = f"  [{chapter.skip_reason}]" if chapter.skip_reason else ""
    return f"  {number:4} {count_words(text):7}  {chapter.title[:56]:56} | {text[:48]} ... {text[-32:]}{reason}"


if __name__ == "__main__":
    main()
