"""The normalisers against their golden tables, and what must hold for any text at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitts.pipeline.text.english import _easy, _speak, speak_english
from omnitts.pipeline.text.normalise import language_of, normalise

GOLDEN = Path(__file__).parent / "golden"


def golden_rows(language: str) -> list[tuple[str, str]]:
    lines = (GOLDEN / f"{language}.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("# ")]
    return [(written, spoken) for written, spoken in rows]


@pytest.mark.parametrize(("written", "spoken"), golden_rows("en"), ids=lambda text: text[:40])
def test_english_golden(written: str, spoken: str) -> None:
    assert normalise(written, "en") == spoken


@pytest.mark.parametrize(("written", "spoken"), golden_rows("zh"), ids=lambda text: text[:40])
def test_chinese_golden(written: str, spoken: str) -> None:
    assert normalise(written, "zh") == spoken


def test_golden_tables_are_large_and_free_of_repeats() -> None:
    for language, least in (("en", 250), ("zh", 120)):
        written = [row[0] for row in golden_rows(language)]
        assert len(written) >= least
        assert len(set(written)) == len(written)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_golden_rows_read_the_same_inside_a_sentence(language: str) -> None:
    """What is read right alone must not spoil the words around it."""
    before, after = ("Then he said that", "was all.") if language == "en" else ("他们说", "就是这样。")
    for written, _ in golden_rows(language):
        spoken = normalise(f"{before} {written.rstrip('.!?。！？')} {after}", language)
        assert spoken.startswith(before)
        assert spoken.endswith(after)


@pytest.mark.parametrize("language", ["en", "zh", "en-GB"])
@given(text=st.text(max_size=120))
def test_any_text_is_normalised_and_never_silenced(language: str, text: str) -> None:
    spoken = normalise(text, language)
    has_words = any(character.isalpha() or character.isdecimal() for character in text)
    assert bool(spoken) or not has_words
    assert spoken == spoken.strip()


@given(
    text=st.lists(
        st.one_of(
            st.sampled_from(
                ["$", "3", "12.50", "1984", "Mr.", "IV", "p.m.", "%", "5km", "1/2", "“", "”", "—", "…", "(", ")"]
            ),
            st.sampled_from(
                ["Dr", "St.", "NASA", "No.", "'90s", "2020-01-31", "3:30", "www.a.com", "a@b.org", "#5", "½"]
            ),
            st.text(max_size=4),
        ),
        max_size=14,
    ).map(" ".join)
)
def test_fragments_of_numbers_and_marks_never_raise_and_leave_no_digit(text: str) -> None:
    spoken = normalise(text, "en")
    assert not any("0" <= character <= "9" for character in spoken)
    assert not set(spoken) & set('"“”«»()[]{}*_|<>…—')


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyzàéîöüñ", min_size=3, max_size=9), min_size=1, max_size=12))
def test_lower_case_words_are_never_changed(words: list[str]) -> None:
    assert normalise(" ".join(words), "en") == " ".join(words)


@given(st.text(alphabet="abcXYI ,.;:!?'-“”’\"—", max_size=60))
def test_the_easy_path_agrees_with_the_full_one(text: str) -> None:
    easy = _easy(text)
    if easy:
        assert easy == _speak(text, is_heading=False, is_day_first=False)


def test_day_first_outside_america() -> None:
    assert normalise("3/4/2021", "en-GB") == "April third, twenty twenty-one"
    assert normalise("3/4/2021", "en-US") == "March fourth, twenty twenty-one"
    assert normalise("2021-04-03", "en-GB") == "April third, twenty twenty-one"


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("IV", "Four"),
        ("I", "One"),
        ("XXI.", "Twenty-one."),
        ("II. The Storm", "Two. The Storm"),
        ("MIX", "Mix"),
        ("I Wake", "I Wake"),
    ],
)
def test_headings_may_be_bare_roman_numerals(written: str, spoken: str) -> None:
    assert speak_english(written, is_heading=True) == spoken


def test_other_languages_get_their_own_numbers_and_no_english() -> None:
    assert normalise("Il y a 3 « chats ».", "fr") == "Il y a trois chats."
    assert normalise("Dr. Smith hat 5 kg", "de") == "Dr. Smith hat fünf kg"
    assert normalise("abc 12", "xx") == "abc 12"


@pytest.mark.parametrize(
    ("text", "wanted", "language"),
    [
        ("Hello there", "", "en"),
        ("你好", "", "zh"),
        ("我在用 GPT 写作", "en", "zh"),
        ("The word 道 means way", "zh", "en"),
        ("Hello there", "zh", "en"),
        ("12345", "zh", "zh"),
        ("Bonjour", "fr", "fr"),
        ("colour", "en-GB", "en-gb"),
        ("😀", "", "en"),
    ],
)
def test_script_decides_between_english_and_chinese(text: str, wanted: str, language: str) -> None:
    assert language_of(text, wanted) == language
