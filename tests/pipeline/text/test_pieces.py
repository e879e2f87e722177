"""Markup, lexicon, packing and the promise that display spans rebuild a chapter, for any chapter."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts.errors import TextError
from omnitts.pipeline.text import Piece, TextOptions, pieces_of, read_lexicon
from omnitts.pipeline.text.clauses import split_long
from omnitts.pipeline.text.duration import estimate_s
from omnitts.pipeline.text.markup import runs_of
from omnitts.types import Block, BlockKind, Chapter, Pause

OPTIONS = TextOptions(language="en")
SENTENCE = "The old man walked slowly down the long road to the village by the sea. "
SPEAKERS = st.one_of(st.none(), st.sampled_from(["anna", "ben"]))


def chapter(*blocks: Block | str) -> Chapter:
    return Chapter(
        "One", tuple(Block(BlockKind.PARAGRAPH, block) if isinstance(block, str) else block for block in blocks)
    )


def pieces(*blocks: Block | str, options: TextOptions = OPTIONS) -> list[Piece]:
    return list(pieces_of(chapter(*blocks), options))


def spoken(*blocks: Block | str) -> list[str]:
    return [piece.spoken for piece in pieces(*blocks)]


blocks_strategy = st.lists(
    st.builds(
        Block,
        kind=st.sampled_from(list(BlockKind)),
        text=st.one_of(
            st.text(max_size=80),
            st.sampled_from(["", "* * *", "😀", "[pause 1s]", "a [pause 0.5s] b", "[voice anna] Hi. [/voice] Bye."]),
            st.sampled_from(
                [
                    "[spell IBM] is old. [12] Yes.",
                    SENTENCE * 6,
                    "word " * 120,
                    "x" * 900,
                    "你好。" * 40,
                    "[voice",
                    "[pause x]",
                ]
            ),
        ),
        speaker=SPEAKERS,
        spoken=st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(blocks=blocks_strategy, budget_s=st.floats(min_value=2.0, max_value=30.0))
def test_spans_rebuild_any_chapter_and_no_piece_is_over_budget(blocks: list[Block], budget_s: float) -> None:
    source = Chapter("One", tuple(blocks))
    found = list(pieces_of(source, TextOptions(budget_s=budget_s)))
    if found:
        assert "".join(source.text[piece.span.start : piece.span.end] for piece in found) == source.text
        assert found[0].span.start == 0
    for piece in found:
        assert piece.spoken
        assert any(character.isalnum() for character in piece.spoken)
        assert piece.seconds <= budget_s + 0.1 or len(piece.spoken.split()) == 1


@given(blocks=blocks_strategy)
def test_every_letter_is_somewhere_in_a_piece(blocks: list[Block]) -> None:
    source = Chapter("One", tuple(blocks))
    has_words = any(
        character.isalnum()
        for block in blocks
        if block.kind is not BlockKind.SCENE_BREAK
        for run in (runs_of(block.text)[0] if not block.spoken else [])
        for character in run.text
        if character.isalpha() or character.isdecimal()
    )
    if has_words:
        assert list(pieces_of(source, TextOptions()))


def test_pauses_by_kind() -> None:
    found = pieces(
        Block(BlockKind.HEADING, "Chapter I"),
        SENTENCE * 3,
        SENTENCE * 3,
        Block(BlockKind.SCENE_BREAK, "* * *"),
        SENTENCE * 3,
    )
    assert [piece.pause for piece in found] == [
        Pause.HEADING, Pause.SENTENCE, Pause.PARAGRAPH, Pause.SENTENCE, Pause.SCENE, Pause.SENTENCE, Pause.CHAPTER
    ]  # fmt: skip
    assert found[0].spoken == "Chapter one."
    assert found[0].pause_s == 1.0


def test_pause_seconds_are_an_option() -> None:
    options = TextOptions(language="en", pauses={Pause.CHAPTER: 5.0})
    assert pieces("Hello there.", options=options)[0].pause_s == 5.0
    assert pieces(SENTENCE * 9, options=options)[0].pause_s == 0.35


def test_two_line_titles_are_one_announcement_and_stay_apart_from_the_text() -> None:
    assert spoken(Block(BlockKind.HEADING, "CHAPTER I"), Block(BlockKind.HEADING, "The Eve of the War"), "Yes.") == [
        "Chapter one. The Eve of the War.",
        "Yes.",
    ]


def test_short_lines_of_one_speaker_join() -> None:
    assert spoken("“Yes.”", "“No.”", "“Why not?”", "“Because I said so, and that is all there is to it.”") == [
        "Yes. No. Why not? Because I said so, and that is all there is to it."
    ]


def test_short_lines_of_different_speakers_do_not_join() -> None:
    lines = [
        Block(BlockKind.PARAGRAPH, text, speaker=name) for text, name in [("Yes.", "a"), ("No.", "b"), ("Oh.", "b")]
    ]
    found = pieces(*lines)
    assert [(piece.speaker, piece.spoken) for piece in found] == [("a", "Yes."), ("b", "No. Oh.")]


def test_long_paragraphs_are_cut_between_sentences_into_even_parts() -> None:
    found = pieces(SENTENCE * 10)
    assert len(found) > 3
    assert all(piece.spoken.endswith(".") and piece.seconds <= OPTIONS.target_s for piece in found)
    assert max(piece.seconds for piece in found) < 2 * min(piece.seconds for piece in found)


def test_a_sentence_is_divided_only_beyond_the_budget() -> None:
    sentence = "He saw the sea, and the ship, and the long white road that led away from them both, " * 4
    total_s = estimate_s(sentence)
    whole = pieces(sentence, options=TextOptions(language="en", budget_s=total_s + 5))
    assert len(whole) == 1
    parts = pieces(sentence, options=TextOptions(language="en", budget_s=10.0))
    assert len(parts) > 1
    assert all(piece.pause is Pause.CLAUSE for piece in parts[:-1])
    assert all(piece.spoken.endswith(",") for piece in parts[:-1])


def test_numbers_and_times_are_no_place_to_cut() -> None:
    text = (
        "they see, at its nearest distance only 35,000,000 of miles, or at 15:30 and 16:45 by the clock, that much " * 5
    )
    parts = pieces(text, options=TextOptions(language="en", budget_s=8.0, target_s=3.0))
    said = " ".join(piece.spoken for piece in parts)
    assert said.count("thirty-five million") == said.count("fifteen thirty") == said.count("sixteen forty-five") == 5


@pytest.mark.parametrize(
    "text",
    ["word " * 2_000, "longword" * 2_000, "你好世界" * 2_000, "1999 " * 1_000, "a, " * 3_000],
    ids=["words", "one token", "chinese", "years", "commas"],
)
def test_endless_text_is_cut_to_the_budget(text: str) -> None:
    found = pieces(text)
    assert all(piece.seconds <= OPTIONS.budget_s for piece in found)
    assert "".join(text[piece.span.start : piece.span.end] for piece in found) == text


def test_endless_text_takes_linear_time() -> None:
    def cpu_s(text: str) -> float:
        start = time.process_time()
        pieces(text)
        return time.process_time() - start

    cpu_s("word " * 1_000)
    small, large = cpu_s("the word is " * 5_000), cpu_s("the word is " * 50_000)
    assert large < 30 * small + 0.2


@given(st.text(alphabet="ab ,;。，1", min_size=1, max_size=200), st.floats(min_value=0.2, max_value=5))
def test_split_long_rebuilds_and_keeps_the_budget(text: str, budget_s: float) -> None:
    spans = split_long(text, estimate_s, budget_s, budget_s)
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(estimate_s(text[s.start : s.end]) <= budget_s + 1e-6 or s.end - s.start == 1 for s in spans)


def test_markup_pause() -> None:
    found = pieces("Wait here. [pause 0.5s] Now go. [pause 250ms] Stop.")
    assert [(piece.spoken, piece.pause_s) for piece in found] == [
        ("Wait here.", 0.5),
        ("Now go.", 0.25),
        ("Stop.", 2.0),
    ]


def test_a_pause_alone_in_its_paragraph_lengthens_the_one_before() -> None:
    found = pieces("Wait here.", "[pause 3s]", "Now go.")
    assert [(piece.spoken, piece.pause_s) for piece in found] == [("Wait here.", 3.0), ("Now go.", 2.0)]


def test_markup_voice_lasts_to_its_end_or_the_paragraphs() -> None:
    found = pieces("He said [voice anna] I am here. [/voice] and left.", "[voice ben]So am I.", "They sat.")
    assert [(piece.speaker, piece.spoken) for piece in found] == [
        ("", "He said"),
        ("anna", "I am here."),
        ("", "and left."),
        ("ben", "So am I."),
        ("", "They sat."),
    ]


def test_markup_spell() -> None:
    text = "Say [spell abc] twice. Then go."
    found = pieces(text)
    assert found[0].spoken == "Say a b c twice. Then go."
    assert text[found[0].span.start : found[0].span.end] == text


@pytest.mark.parametrize(
    "text", ["[pause] now", "[pause ten] now", "[pause 900s] now", "[/voice] now", "[spell ] now", "[wait 2s] now"]
)
def test_broken_markup_stays_text_and_is_reported(text: str) -> None:
    heard: list[str] = []
    found = list(pieces_of(chapter(text), OPTIONS, None, lambda what, block_idx: heard.append(what)))
    assert len(heard) == 1
    assert "now" in found[0].spoken


def test_ordinary_brackets_are_not_markup() -> None:
    assert runs_of("He wrote [sic] and [see note 4] here.")[1] == []


def test_chinese_pieces_join_without_blanks() -> None:
    found = pieces("你好。我很好。", options=TextOptions(language="zh"))
    assert [(piece.spoken, piece.language) for piece in found] == [("你好。我很好。", "zh")]


def test_pieces_name_their_language_and_place() -> None:
    found = pieces(
        Block(BlockKind.PARAGRAPH, SENTENCE, "p1"), Block(BlockKind.PARAGRAPH, "这是中文的句子，很长很长。", "p2")
    )
    assert [(piece.language, piece.source, piece.block_idx) for piece in found] == [("en", "p1", 0), ("zh", "p2", 1)]


# Lexicon --------------------------------------------------------------------------------------------------------------


def lexicon_text(tmp_path: Path, content: str, text: str) -> str:
    file = tmp_path / "lexicon.tsv"
    file.write_text(content, encoding="utf-8")
    return read_lexicon([file]).apply(text)


@pytest.mark.parametrize(
    ("entries", "text", "result"),
    [
        ("Hermione\tHer-my-oh-nee", "Hermione’s cat saw HERMIONE.", "Her-my-oh-nee’s cat saw Her-my-oh-nee."),
        ("Hermione\tHer-my-oh-nee", "hermione Hermiones", "hermione Hermiones"),
        ("lead\tled", "Lead the lead, LEAD leader", "Led the led, Led leader"),
        ("can\tkan", "I can but can't", "I kan but can't"),
        ("don't\tdo not", "I don’t. Don't.", "I do not. Do not."),
        ("New York\tNoo York", "In New York, not newyork", "In Noo York, not newyork"),
        ("/colou?r/i\thue", "Colour and color", "hue and hue"),
        ("/(\\d+)bn/\t\\1 billion", "5bn", "5 billion"),
        ("drô\tX", "drôle drô", "drôle X"),
        ("# remark\n\nword\tsaid\tnoted by me", "word", "said"),
        ("a.k.a.\talso known as", "Tom a.k.a. Tim", "Tom also known as Tim"),
        ("word\tfirst\nword\tsecond", "word", "second"),
        ("hush\t", "Be hush now", "Be  now"),
    ],
)
def test_lexicon(tmp_path: Path, entries: str, text: str, result: str) -> None:
    assert lexicon_text(tmp_path, entries, text) == result


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        ("fine\tfine\nno tab here", ":2", "no tab"),
        ("\tsaid", ":1", "nothing before"),
        ("/(/\tx", ":1", "does not compile"),
        ("/a/q\tx", ":1", "flag"),
        ("/a/\t\\2", ":1", "group"),
        ("/a*/\tx", ":1", "empty"),
    ],
)
def test_a_wrong_lexicon_line_is_named(tmp_path: Path, content: str, place: str, what: str) -> None:
    with pytest.raises(TextError, match=what) as caught:
        lexicon_text(tmp_path, content, "text")
    assert caught.value.where.endswith(place)


def test_an_unreadable_lexicon_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="cannot be read"):
        read_lexicon([tmp_path / "missing.tsv"])


@pytest.mark.parametrize("unit", [".", "!?", "—", "- ", "'", '"', "(", "[pause ", "9", "9,", "A", " ", "。", "…"])
def test_runs_of_one_mark_take_no_time(unit: str) -> None:
    start = time.process_time()
    pieces(unit * 20_000 + "a")
    assert time.process_time() - start < 5.0
