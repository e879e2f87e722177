"""How words sound: tells a homophone or a rare name heard by ear from a wrong word. English only.

Words in, a likeness out. Pronunciations come from the dictionary of the draft narrator (PyPI ``hibari-tts``), so they
cost no model; what is a rare word is told by the ASR's own vocabulary: common words are one piece there. Sees no audio.

The rule for leniency: words that sound the same are the same ("there", "their"). A *rare* word (several pieces in the
ASR's vocabulary: names, old words) may also be heard as something near it: at most `NEAR_DISTANCE` of its phonemes
differ ("Queequeg", "quick wig"). Common words get no such grace, so "can" for "can't" stays an error, and a word that
is not there at all is missing whatever its rarity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

NEAR_DISTANCE: Final = 0.45  # share of phonemes; "Queequeg"/"quick wig" is 0.33, unrelated words lie above 0.6
_UNHEARD: Final = str.maketrans("ɐᵻᵊɜʔɾ", "əɪəətt", "ˈˌː ")  # stress, length and weak vowels: no ear is that fine


class Sounds(Protocol):
    """What `wer.compare` asks about words that differ in writing."""

    def same(self, expected: Sequence[str], heard: Sequence[str]) -> bool: ...

    def near(self, expected: Sequence[str], heard: Sequence[str]) -> bool: ...


class NoSounds:
    """Knows no pronunciation: nothing that is written differently sounds alike."""

    def same(self, expected: Sequence[str], heard: Sequence[str]) -> bool:
        return False

    def near(self, expected: Sequence[str], heard: Sequence[str]) -> bool:
        return False


class EnglishSounds:
    """Compares phonemes. ``is_rare`` takes a word as written in the expected text."""

    def __init__(self, is_rare: Callable[[str], bool]) -> None:
        from hibari.g2p import G2P

        self._pronounce: Callable[[str], str] = G2P()
        self._is_rare = is_rare
        self._phonemes: dict[str, str] = {}

    def same(self, expected: Sequence[str], heard: Sequence[str]) -> bool:
        first, second = self._of(expected), self._of(heard)
        return bool(first) and first == second

    def near(self, expected: Sequence[str], heard: Sequence[str]) -> bool:
        if not any(self._is_rare(word) for word in expected):
            return False
        distance = self._distance(expected, heard)
        if distance > NEAR_DISTANCE:
            return False
        # A neighbour must not ride along: "Kruft" was heard as "cruft", not as "and cruft".
        fewer = [(expected[1:], heard), (expected[:-1], heard)] if len(expected) > 1 else []
        fewer += [(expected, heard[1:]), (expected, heard[:-1])] if len(heard) > 1 else []
        return all(distance < self._distance(*pair) for pair in fewer)

    def _distance(self, expected: Sequence[str], heard: Sequence[str]) -> float:
        from rapidfuzz.distance import Levenshtein

        first, second = self._of(expected), self._of(heard)
        return Levenshtein.normalized_distance(first, second) if first and second else 1.0

    def _of(self, words: Sequence[str]) -> str:
        return "".join(self._of_word(word) for word in words)

    def _of_word(self, word: str) -> str:
        if word not in self._phonemes:
            self._phonemes[word] = str(self._pronounce(word)).translate(_UNHEARD)
        return self._phonemes[word]
