"""Cues say what a transcript tells of each sound beside which one it is."""

from __future__ import annotations

import pytest

from omnitts.models.reading.cues import NUM_CUES, Behind, Stress, cue, cued
from omnitts.models.reading.labels import Alphabet, Sounds, Speller


def is_letter(char: str) -> bool:
    return char.isalpha() and char not in "ˈˌː"


def test_stress_length_and_words_are_told() -> None:
    found = cued("ə kˌɑːpˈɑk, hi", is_letter)
    none, secondary, primary = Stress.NONE, Stress.SECONDARY, Stress.PRIMARY
    within, space, pause, end = Behind.NOTHING, Behind.SPACE, Behind.PAUSE, Behind.END
    assert found == [
        ("ə", cue(none, False, True, space)),
        ("k", cue(none, False, True, within)),
        ("ɑ", cue(secondary, True, False, within)),
        ("p", cue(none, False, False, within)),
        ("ɑ", cue(primary, False, False, within)),
        ("k", cue(none, False, False, pause)),
        ("h", cue(none, False, True, within)),
        ("i", cue(none, False, False, end)),
    ]


@pytest.mark.parametrize(
    ("between", "behind"),
    [
        ("", Behind.NOTHING),
        (" ", Behind.SPACE),
        (" ˈ", Behind.SPACE),
        ("'", Behind.NOTHING),
        ("-", Behind.NOTHING),
        ("' ", Behind.SPACE),
        (" - ", Behind.PAUSE),
        (", ", Behind.PAUSE),
        ("—", Behind.PAUSE),
        (' "ˈ', Behind.PAUSE),
        (". ", Behind.END),
        ('?" ', Behind.END),
        ("... ", Behind.END),
    ],
)
def test_what_stands_behind_a_sound(between: str, behind: Behind) -> None:
    (_, first), _ = cued(f"a{between}b", is_letter)
    assert first == cue(Stress.NONE, False, True, behind)


def test_every_combination_has_its_own_number() -> None:
    every = [
        cue(s, long, begins, b) for s in Stress for long in (False, True) for begins in (False, True) for b in Behind
    ]
    assert sorted(every) == list(range(NUM_CUES))


def test_a_text_without_sounds_has_none() -> None:
    assert cued("... !", is_letter) == []
    assert cued("", is_letter) == []


def test_the_phonemizer_marks_are_understood() -> None:
    """British vowels are long, stress stands before its vowel, and the sounds are those that are spelled."""
    speller = Speller("phonemes")
    found = speller.cued("The car park, sir.", "British")
    assert "".join(symbol for symbol, _ in found) == speller.spell("The car park, sir.", "British")
    sounds = [symbol for symbol, _ in found]
    vowel = found[sounds.index("ɑ")][1]
    assert vowel == cue(Stress.PRIMARY, True, False, Behind.SPACE)
    comma = max(place for place, symbol in enumerate(sounds) if symbol == "k")
    assert found[comma][1] == cue(Stress.NONE, False, False, Behind.PAUSE)


def test_sounds_that_have_no_label_take_their_cues_along() -> None:
    assert Alphabet(("a", "c")).sounds([("a", 1), ("b", 2), ("c", 3)]) == Sounds((1, 2), (1, 3))
