"""The editable dump of a plan: a text file with every piece exactly as it will be spoken, one a line.

A Plan in, text out (`write_dump`); that text, edited or not, in, a Book out (`read_dump`). Planning a dump again gives
the same spoken pieces, pauses, speakers and chapter titles, because its blocks are marked as already spoken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from omnitts.errors import TextError
from omnitts.pipeline.plan import Plan
from omnitts.pipeline.text.options import DEFAULT_PAUSES
from omnitts.types import Block, BlockKind, Book, Chapter, Pause, Utterance

_KIND: Final = "# omnitts spoken text"
_MARK: Final = f"{_KIND} 1"
_GUIDE: Final = """\
#
# Every line below is one piece of speech, written as it will be said. Change the words, delete lines, add lines: give
# the edited file to `omnitts narrate` in place of the book; with the same -o only what you changed is spoken again.
#
#   {chapter TITLE}      begins a chapter; the title becomes the chapter mark and is not spoken
#   {voice NAME} ...     at the head of a line: who speaks it (else the narrator)
#   {language zh} ...    at the head of a line: its language, where it is not the book's
#   ... {paragraph}      at the end of a line: the pause after it: clause, sentence, paragraph, scene, heading, chapter;
#                        none is a sentence's
#   ... {paragraph 2s}   the same with a length of its own
#
# Nothing here is normalised: digits, signs and abbreviations reach the voice as they stand, so write numbers in words.
# Lines beginning with # are remarks, empty lines mean nothing. To say { } or \\ write \\{ \\} \\\\.
"""
_PAUSE_AT_END: Final = re.compile(r"(?<!\\)\{\s*([a-z]+)(?:\s+(\d+(?:\.\d+)?)\s*s)?\s*\}\s*\Z")
_TAG_AT_HEAD: Final = re.compile(r"\s*\{\s*(voice|language)\s+((?:[^{}\\]|\\.)+?)\s*\}\s*")
_DIRECTIVE: Final = re.compile(r"\s*\{\s*(chapter|title|author|language)(?:\s+((?:[^{}\\]|\\.)*?))?\s*\}\s*\Z")
_UNESCAPED_BRACE: Final = re.compile(r"(?:[^{}\\]|\\.)*[{}]")
_HINT: Final = "the remarks at the head of the file say what may stand between braces"


def is_dump(text: str) -> bool:
    """Whether a text (or its first line) is such a dump."""
    return text.lstrip("\ufeff \t\r\n").startswith(_KIND)


def write_dump(plan: Plan) -> str:
    """The plan as a text for people to edit."""
    return "\n".join(_lines_of(plan)) + "\n"


def read_dump(text: str, source: str = "") -> Book:
    """The book in a dump. Raises `TextError`: another version, or (with its line) braces that mean nothing."""
    header = text.lstrip("\ufeff \t\r\n").partition("\n")[0].strip()
    if header != _MARK:
        hint = f"make it anew with omnitts plan --text, or, if nothing else differs, let its first line say {_MARK!r}"
        raise TextError(f"this spoken text is of another version ({header!r})", where=source, hint=hint)
    book_facts: dict[str, list[str]] = {"title": [], "author": [], "language": []}
    chapters: list[tuple[str, int, list[Block]]] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        directive = _DIRECTIVE.match(line)
        if directive is None:
            if not chapters:
                chapters.append((" ".join(book_facts["title"]), number, []))
            chapters[-1][2].append(_block(line, (book_facts["language"] or [""])[0], f"line {number}", source))
        elif directive[1] == "chapter":
            chapters.append((_unescaped(directive[2] or ""), number, []))
        else:
            book_facts[directive[1]].append(_unescaped(directive[2] or ""))
    return Book(
        title=" ".join(book_facts["title"]),
        authors=tuple(book_facts["author"]),
        language=(book_facts["language"] or [""])[0],
        chapters=tuple(Chapter(title, tuple(blocks), f"line {number}") for title, number, blocks in chapters),
        source=source,
    )


def _lines_of(plan: Plan) -> Iterator[str]:
    languages = Counter(utterance.language for utterance in plan.utterances)
    language = languages.most_common(1)[0][0] if languages else plan.language
    yield _MARK
    yield from _GUIDE.splitlines()
    yield ""
    yield f"{{title {_escaped(plan.title)}}}"
    yield from (f"{{author {_escaped(author)}}}" for author in plan.authors)
    yield f"{{language {language}}}"
    by_chapter: dict[int, list[Utterance]] = {}
    for utterance in plan.utterances:
        by_chapter.setdefault(utterance.chapter_idx, []).append(utterance)
    for chapter in plan.chapters:
        yield ""
        if chapter.chapter_idx is None:
            yield f"# left out: {' '.join(chapter.title.split()) or chapter.source} ({chapter.skip_reason})"
            continue
        yield f"{{chapter {_escaped(chapter.title)}}}"
        utterances = by_chapter[chapter.chapter_idx]
        for idx, utterance in enumerate(utterances):
            yield _line(utterance, language, is_last=idx == len(utterances) - 1)


def _line(utterance: Utterance, language: str, *, is_last: bool) -> str:
    head = f"{{voice {_escaped(utterance.speaker)}}} " if utterance.speaker else ""
    head += f"{{language {utterance.language}}} " if utterance.language != language else ""
    words = _escaped(utterance.text)
    if not head and words.startswith("#"):
        words = f"\\{words}"
    default = Pause.CHAPTER if is_last else Pause.SENTENCE
    if utterance.pause_s != DEFAULT_PAUSES[utterance.pause]:
        return f"{head}{words} {{{utterance.pause.value} {utterance.pause_s:.6g}s}}"
    return f"{head}{words}" if utterance.pause is default else f"{head}{words} {{{utterance.pause.value}}}"


def _block(line: str, language: str, place: str, source: str) -> Block:
    where = f"{source}, {place}" if source else place
    pause, pause_s, speaker = Pause.SENTENCE, None, None
    while tag := _TAG_AT_HEAD.match(line):
        if tag[1] == "voice":
            speaker = _unescaped(tag[2])
        else:
            language = _unescaped(tag[2])
        line = line[tag.end() :]
    if found := _PAUSE_AT_END.search(line):
        if found[1] not in {kind.value for kind in Pause}:
            raise TextError(f"{found.group().strip()} is no pause", where=where, hint=_HINT)
        pause, pause_s = Pause(found[1]), float(found[2]) if found[2] else None
        line = line[: found.start()]
    if stray := _UNESCAPED_BRACE.match(line):
        raise TextError(f"braces that mean nothing: {stray.group().strip()[-40:]!r}", where=where, hint=_HINT)
    kind = BlockKind.HEADING if pause is Pause.HEADING else BlockKind.PARAGRAPH
    return Block(
        kind=kind,
        text=" ".join(_unescaped(line).split()),
        source=place,
        speaker=speaker,
        language=language or None,
        spoken=True,
        pause=pause,
        pause_s=pause_s,
    )


def _escaped(text: str) -> str:
    return re.sub(r"[\\{}]", r"\\\g<0>", " ".join(text.split()))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).strip()
