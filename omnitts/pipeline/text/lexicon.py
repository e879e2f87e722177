"""Lexicon: how names and odd words are to be said. TSV files in, one replacer of display text out.

One entry a line: what is written, a tab, what is said; further columns are remarks. ``#`` begins a comment line.

    Hermione    Her-my-oh-nee       whole word; lower-case entries match any case, others the case given and ALL CAPS
    /colou?r/i  color               a regular expression between slashes, flags i (any case) and m, s, x; \\1 works

Later files and lines win over earlier ones for the same word. Knows nothing of languages or sentences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from omnitts.errors import TextError
from omnitts.presets import presets

_REGEX_ENTRY: Final = re.compile(r"/(.+)/([a-z]*)\Z", re.DOTALL)
_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
_WORD: Final = re.compile(r"\w+(?!['’](?!s\b)\w)")
_HINT: Final = "one entry a line: what is written, a tab, what is said"


@dataclass(frozen=True)
class Lexicon:
    """Replaces words and phrases, then runs the regular expressions in their order.

    ``exact`` maps what is written to what is said; ``folded`` does so for entries that match in any case. Single words
    are looked up one by one, so that a lexicon of thousands costs no more than one of ten; ``phrases`` finds the rest.
    """

    exact: dict[str, str] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()
    phrases: re.Pattern[str] | None = None

    def apply(self, text: str) -> str:
        """``text`` with every entry replaced; without entries it comes back as it is."""
        if self.phrases is not None:
            text = self.phrases.sub(self._replacement, text)
        if self.exact or self.folded:
            text = _WORD.sub(self._replacement, text)
        for pattern, spoken in self.patterns:
            text = pattern.sub(spoken, text)
        return text

    def _replacement(self, found: re.Match[str]) -> str:
        written = found.group().replace("’", "'")
        if written in self.exact:
            return self.exact[written]
        spoken = self.folded.get(written.lower())
        return found.group() if spoken is None else _cased_like(written, spoken)


def read_lexicon(files: Sequence[Path]) -> Lexicon:
    """Reads and joins lexicons: files, or names of presets (``english``).

    Raises `TextError` naming file and line of the first entry that is wrong.
    """
    exact: dict[str, str] = {}
    folded: dict[str, str] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    for file in map(_located, files):
        for number, line in enumerate(_lines_of(file), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            written, spoken = _entry(line, where=f"{file}:{number}")
            regex = _REGEX_ENTRY.match(written)
            if regex:
                patterns.append(_pattern(regex, spoken, where=f"{file}:{number}"))
                continue
            word = written.replace("’", "'")
            if word == word.lower():
                folded[word] = spoken
            else:
                exact[word] = spoken
                exact.setdefault(word.upper(), spoken)
    return Lexicon(exact, folded, tuple(patterns), _phrase_finder(exact, folded))


def _located(file: Path) -> Path:
    """A bare name that is no file here is a preset's."""
    is_name = len(file.parts) == 1 and not file.suffix and not file.exists()
    return presets("lexicons").get(file.name, file) if is_name else file


def _lines_of(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"the lexicon cannot be read: {error}", where=str(file), hint="it must be UTF-8 text"
        ) from error


def _entry(line: str, *, where: str) -> tuple[str, str]:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) < 2:
        raise TextError("no tab between what is written and what is said", where=where, hint=_HINT)
    if not columns[0]:
        raise TextError("nothing before the tab", where=where, hint=_HINT)
    return columns[0], columns[1]


def _pattern(regex: re.Match[str], spoken: str, *, where: str) -> tuple[re.Pattern[str], str]:
    flags = 0
    for letter in regex.group(2):
        if letter not in _FLAGS:
            raise TextError(f"unknown flag {letter!r}", where=where, hint=f"flags are {', '.join(sorted(_FLAGS))}")
        flags |= _FLAGS[letter]
    try:
        pattern = re.compile(regex.group(1), flags)
        template_groups = max((int(n) for n in re.findall(r"(?<!\\)\\(\d+)", spoken)), default=0)
    except re.error as error:
        raise TextError(f"the regular expression does not compile: {error}", where=where) from error
    if template_groups > pattern.groups:
        raise TextError(f"\\{template_groups} names a group that the expression does not have", where=where)
    if pattern.match(""):
        raise TextError("the regular expression matches an empty text", where=where)
    try:
        pattern.sub(spoken, "", count=1)
        re.compile("|" + regex.group(1), flags).sub(spoken, "x", count=1)
    except (re.error, IndexError) as error:
        raise TextError(f"the replacement is not usable: {error}", where=where) from error
    return pattern, spoken


def _phrase_finder(exact: dict[str, str], folded: dict[str, str]) -> re.Pattern[str] | None:
    """One expression for the entries that are more than one word, longest first."""
    alternatives: list[str] = []
    for word in sorted({*exact, *folded}, key=lambda entry: (-len(entry), entry)):
        if _WORD.fullmatch(word):
            continue
        body = re.escape(word).replace("'", "['’]")
        body = f"(?i:{body})" if word in folded else body
        left = r"(?<!\w)" if word[0].isalnum() else ""
        right = r"(?!\w)" if word[-1].isalnum() else ""
        alternatives.append(f"{left}{body}{right}")
    return re.compile("|".join(alternatives)) if alternatives else None


def _cased_like(written: str, spoken: str) -> str:
    """A capital at the word's head is kept, so that a sentence still begins with one."""
    return spoken[:1].upper() + spoken[1:] if written[:1].isupper() else spoken
