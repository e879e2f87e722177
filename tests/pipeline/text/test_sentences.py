"""Where sentences end, and that their spans rebuild any text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitts.pipeline.text.sentences import (
    _BEFORE_NUMBERS,
    _OPEN_TITLES,
    _abbreviations,
    punkt_tokenizer,
    sentence_spans,
)

HARD = [
    ["Mr. Smith went home.", "He slept."],
    ["Dr. A. B. Jones and Mrs. Brown met Prof. Green.", "They talked."],
    ["He lives in the U.S. Army barracks."],
    ["He lives in the U.S. He likes it."],
    ["They met at 5 p.m. on Monday."],
    ["They met at 5 p.m.", "Then they left."],
    ["See No. 5 for more."],
    ["No.", "I will not."],
    ["“No.”", "He left."],
    ["Bring fruit, e.g. apples.", "Leave the rest."],
    ["It cost 3.50 dollars.", "That was all."],
    ["It was 1984.", "Winston wrote."],
    ["“Stop!” he cried.", "Nobody did."],
    ["“Where?”", "Tom looked up."],
    ["He said “I did it.”", "Then he wept."],
    ["Wait... what?", "Yes."],
    ["He paused… and went on.", "So did she."],
    ["He paused…", "Then he went on."],
    ["J. R. R. Tolkien wrote it.", "You read it."],
    ["It was I.", "He knew it."],
    ["St. Peter waited.", "Nobody came."],
    ["apples, pears, etc.", "The rest was gone."],
    ["Smith Jr. was there.", "He sang."],
    ["Is it true?", "Yes!", "No!"],
    ["What?!", "Never."],
    ["He left (at last.)", "She stayed."],
    ["1. Open the box.", "2. Close it."],
    ["See p. 12 and pp. 13–14.", "Go on."],
    ["The end.[12]", "A new start."],
    ["He works at Acme Inc. in Ohio.", "She does not."],
    ["Lt. Col. Brown saluted Gen. Lee.", "Both smiled."],
    ["It is a drôle.", "C’est tout."],
    ["这是第一句。", "这是第二句！", "是吗？", "是。"],
    ["他说：“走吧。”", "她没动。"],
    ["真的吗？！", "不可能。"],
    ["我……不知道。", "好。"],
    ["He said hello. ", "你好。", "Then he left."],
    ["第一；", "第二。"],
]


def split(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentence_spans(text)]


@pytest.mark.parametrize(
    "sentences", [case for case in HARD if case[0] != "He lives in the U.S. He likes it."], ids=lambda c: c[0][:30]
)
def test_hard_sentences(sentences: list[str]) -> None:
    is_chinese = re.search(r"[\u4e00-\u9fff]", sentences[0]) is not None
    text = "".join(sentences) if is_chinese else " ".join(sentence.strip() for sentence in sentences)
    if sentences[0] == "He said hello. ":
        text = "".join(sentences)
    assert [part.strip() for part in split(text)] == [sentence.strip() for sentence in sentences]


def test_an_abbreviation_may_end_a_sentence_before_a_starter() -> None:
    assert split("He lives in the U.S. He likes it.") == ["He lives in the U.S. ", "He likes it."]


@given(st.text(max_size=300))
def test_spans_rebuild_any_text(text: str) -> None:
    assert "".join(split(text)) == text
    assert all(split(text)) or not text


@given(
    st.lists(
        st.sampled_from(
            ["Mr.", "U.S.", "A.", "I.", "No.", "5.", "etc.", "...", "He", "it.", "”", "“", "!", "你。", "”", " "]
        )
    ).map("".join)
)
def test_spans_rebuild_texts_made_of_traps(text: str) -> None:
    assert "".join(split(text)) == text


def test_blanks_belong_to_the_sentence_before() -> None:
    assert split("One.  Two.\u00a0 Three. ") == ["One.  ", "Two.\u00a0 ", "Three. "]


def test_common_full_stops_end_where_punkt_says() -> None:
    """The fast path for ordinary words and the tokenizer it stands for agree."""
    words = (Path(__file__).parent / "golden" / "en.tsv").read_text(encoding="utf-8").lower()
    common = sorted(set(re.findall(r"\b[a-z]{4,}\b", words)) - _OPEN_TITLES - _BEFORE_NUMBERS - _abbreviations())
    for word in common[:150]:
        text = f"They saw the {word}. Then nobody spoke of it."
        assert len(split(text)) == sum(1 for _ in punkt_tokenizer().span_tokenize(text)) == 2, word


def test_ten_megabytes_without_a_full_stop_take_no_time() -> None:
    text = "word " * 2_000_000
    assert len(sentence_spans(text)) == 1
