"""Golden table: two writings of one thing are equal, two different things are not."""

import pytest

from omnitts.pipeline.check.wer import compare

SAME = [
    ("In nineteen eighty-four, it's five dollars.", "In 1984 it is $5."),
    ("Mr. Smith paid twelve dollars and fifty cents", "Mister Smith paid $12.50"),
    ("everyone knows the post-office", "every one knows the post office"),
    ("the twenty-first of May", "the 21st of May"),
    ("at three thirty p.m. he came", "at 3:30 PM he came"),
    ("five o'clock", "5:00"),
    ("ten oh five", "10:05"),
    ("fifty per cent", "50%"),
    ("the colour of honour realised at the centre", "the color of honor realized at the center"),
    ("eighteen oh five", "1805"),
    ("two thousand and one", "2001"),
    ("three hundred and five men", "305 men"),
    ("a hundred men", "100 men"),
    ("one thousand two hundred", "1,200"),
    ("five million dollars", "$5 million"),
    ("three point one four", "3.14"),
    ("Chapter four", "Chapter IV"),
    ("Henry the Eighth", "Henry VIII"),
    ("A B C", "ABC"),
    ("café naïve", "cafe naive"),
    ("do not go; I cannot", "don't go I can't"),
    ("salt & pepper, um, gone", "salt and pepper gone"),
]
DIFFERENT = [
    ("and they all died", "they all died"),
    ("nineteen eighty-four", "1985"),
    ("I can go", "I can't go"),
    ("five dollars", "five pounds"),
    ("the fifteenth", "fifteen"),
    ("and", ""),
]


@pytest.mark.parametrize(("said", "heard"), SAME)
def test_two_writings_of_one_thing_are_equal_both_ways(said: str, heard: str) -> None:
    assert compare(said, heard, "en").errors == 0
    assert compare(heard, said, "en").errors == 0


@pytest.mark.parametrize(("said", "heard"), DIFFERENT)
def test_different_words_stay_different(said: str, heard: str) -> None:
    assert compare(said, heard, "en").errors > 0


@pytest.mark.parametrize(
    ("said", "heard"), [("二零二六年十一月", "2026年11月"), ("百分之十二", "12%"), ("這是", "这是")]
)
def test_chinese_digits_units_and_traditional_characters(said: str, heard: str) -> None:
    assert compare(said, heard, "zh").errors == 0


def test_chinese_counts_characters() -> None:
    result = compare("他看见了大海", "他看见了小海", "zh")
    assert (result.words, result.errors) == (6, 1)


def test_other_languages_read_their_own_numbers() -> None:
    assert compare("Es kostet 12 Euro", "es kostet zwölf Euro", "de").errors == 0
