"""The plan: ids, numbering, totals, problems; the editable dump of it; the time it is said to take."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts.errors import BookError, EngineError, TextError, VoiceError
from omnitts.pipeline.estimate import estimate_time, remember_speed
from omnitts.pipeline.plan import Plan, PlanOptions, SoundSettings, count_words, plan, utterance_id
from omnitts.pipeline.read.dump import is_dump, read_dump, write_dump
from omnitts.pipeline.text import TextOptions
from omnitts.types import Block, BlockKind, Book, Chapter, Pause, Voice

SOUND = SoundSettings("fake", "1")
OPTIONS = PlanOptions(SOUND)
NARRATOR: dict[str, Voice | None] = {"": None}
ANNA = Voice("anna", Path("anna.flac"), digest="a" * 64)
SENTENCE = "The old man walked slowly down the long road to the village by the sea. "


def book(*chapters: Chapter, language: str = "en") -> Book:
    return Book("A Book", chapters, authors=("A. Writer",), language=language, source="book.txt")


def chapter(title: str, *texts: str | Block, skip_reason: str = "") -> Chapter:
    blocks = tuple(
        Block(BlockKind.PARAGRAPH, text, f"line {i}") if isinstance(text, str) else text for i, text in enumerate(texts)
    )
    return Chapter(title, blocks, skip_reason=skip_reason)


def heard(planned: Plan) -> list[tuple[object, ...]]:
    return [
        (u.id, u.text, u.pause, u.pause_s, u.speaker, u.language, u.chapter_idx, u.piece_idx)
        for u in planned.utterances
    ]


# Ids ------------------------------------------------------------------------------------------------------------------


def test_the_id_is_the_documented_hash() -> None:
    canonical = (
        '{"engine":"fake","language":"en","revision":"1","seed":0,"speed":1.0,"text":"Hello — you.","v":1,"voice":""}'
    )
    assert utterance_id("Hello — you.", "en", None, SOUND) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [{"engine": "draft"}, {"revision": "2"}, {"seed": 1}, {"speed": 1.1}],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_the_sound_changes_the_id(change: dict[str, object]) -> None:
    assert utterance_id("Hi.", "en", None, dataclasses.replace(SOUND, **change)) != utterance_id(
        "Hi.", "en", None, SOUND
    )


def test_text_language_and_voice_change_the_id_and_a_voice_name_does_not() -> None:
    ids = {
        utterance_id("Hi.", "en", None, SOUND),
        utterance_id("Hi!", "en", None, SOUND),
        utterance_id("Hi.", "zh", None, SOUND),
        utterance_id("Hi.", "en", ANNA, SOUND),
    }
    assert len(ids) == 4
    assert utterance_id("Hi.", "en", dataclasses.replace(ANNA, name="ben"), SOUND) in ids


def test_places_and_pauses_do_not_change_ids() -> None:
    slow = PlanOptions(SOUND, TextOptions(pauses={Pause.PARAGRAPH: 3.0}))
    before = plan(book(chapter("One", SENTENCE * 2, SENTENCE + "Then he sat.")), NARRATOR, OPTIONS)
    after = plan(
        book(chapter("Zero", SENTENCE), chapter("One", SENTENCE * 2, SENTENCE + "Then he sat.")), NARRATOR, slow
    )
    assert {u.id for u in before.utterances} < {u.id for u in after.utterances}


def test_an_edit_changes_only_the_pieces_it_touches() -> None:
    paragraphs = [
        f"This is paragraph number {word}, and it tells its own story to the end."
        for word in ("one", "two", "three", "four")
    ]
    before = plan(book(chapter("One", *paragraphs)), NARRATOR, OPTIONS)
    edited = [*paragraphs[:2], paragraphs[2].replace("story", "tale"), *paragraphs[3:]]
    after = plan(book(chapter("One", *edited)), NARRATOR, OPTIONS)
    assert [u.id == v.id for u, v in zip(before.utterances, after.utterances, strict=True)] == [True, True, False, True]


def test_a_lexicon_changes_only_the_pieces_it_touches(tmp_path: Path) -> None:
    (tmp_path / "names.tsv").write_text("Ahab\tAy-hab\n", encoding="utf-8")
    source = book(chapter("One", SENTENCE, "Then Ahab stood on the deck and looked at the sea for a while."))
    before = plan(source, NARRATOR, OPTIONS)
    after = plan(source, NARRATOR, PlanOptions(SOUND, TextOptions(lexicon=(tmp_path / "names.tsv",))))
    assert [u.id == v.id for u, v in zip(before.utterances, after.utterances, strict=True)] == [True, False]
    assert "Ay-hab" in after.utterances[1].text
    assert "Ahab" in after.utterances[1].display


# Chapters and totals --------------------------------------------------------------------------------------------------


def test_chapters_are_numbered_by_what_is_spoken() -> None:
    source = book(
        chapter("Contents", "One. Two.", skip_reason="table of contents"),
        chapter("One", SENTENCE),
        chapter("Pictures", "* * *", "😀"),
        chapter("Two", SENTENCE),
    )
    planned = plan(source, NARRATOR, OPTIONS)
    assert [(c.book_idx, c.chapter_idx, c.title, c.skip_reason) for c in planned.chapters] == [
        (0, None, "Contents", "table of contents"),
        (1, 0, "One", ""),
        (2, None, "Pictures", "nothing to speak"),
        (3, 1, "Two", ""),
    ]
    assert [u.chapter_idx for u in planned.utterances] == [0, 1]
    assert [problem.where for problem in planned.problems] == ["chapter 3 (Pictures)"]
    assert not planned.has_fatal_problems


def test_displays_rebuild_the_chapter() -> None:
    source = chapter("One", "", SENTENCE * 4, "Mr. Smith  paid $5.  ", "“Yes.”", "* * *", "It was 1984.", "😀")
    planned = plan(book(source), NARRATOR, OPTIONS)
    assert "".join(u.display for u in planned.utterances) == source.text
    assert [u.piece_idx for u in planned.utterances] == list(range(len(planned.utterances)))


def test_totals() -> None:
    planned = plan(book(chapter("One", SENTENCE * 3), chapter("Two", SENTENCE)), NARRATOR, OPTIONS)
    assert planned.words == 4 * len(SENTENCE.split())
    assert planned.audio_s == pytest.approx(sum(c.seconds for c in planned.chapters))
    assert 0 < planned.longest_piece_s <= 20
    pauses_s = sum(u.pause_s for u in planned.utterances)
    double = plan(
        book(chapter("One", SENTENCE * 3), chapter("Two", SENTENCE)),
        NARRATOR,
        PlanOptions(dataclasses.replace(SOUND, speed=2.0)),
    )
    assert double.audio_s - pauses_s == pytest.approx((planned.audio_s - pauses_s) / 2)


@pytest.mark.parametrize(("text", "words"), [("two words", 2), ("你好 world", 3), ("", 0), ("drôle de guerre", 3)])
def test_count_words(text: str, words: int) -> None:
    assert count_words(text) == words


# Problems -------------------------------------------------------------------------------------------------------------


def test_an_empty_book_is_fatal() -> None:
    planned = plan(book(chapter("One", "* * *")), NARRATOR, OPTIONS)
    assert planned.has_fatal_problems
    with pytest.raises(BookError, match="whole book"):
        planned.raise_if_fatal()
    with pytest.raises(BookError):
        plan(book(), NARRATOR, OPTIONS).raise_if_fatal()


def test_a_speaker_without_a_voice_is_fatal_and_told_once() -> None:
    planned = plan(book(chapter("One", "[voice anna] Hi. [/voice] Bye.", "[voice anna] Again.")), NARRATOR, OPTIONS)
    assert planned.missing_speakers == ("anna",)
    assert [problem.what for problem in planned.problems if problem.fatal] == ["speaker 'anna' has no voice"]
    with pytest.raises(VoiceError, match="anna"):
        planned.raise_if_fatal()
    plan(book(chapter("One", "[voice anna] Hi.")), {**NARRATOR, "anna": ANNA}, OPTIONS).raise_if_fatal()


def test_a_language_the_engine_does_not_speak_is_fatal() -> None:
    english = PlanOptions(dataclasses.replace(SOUND, languages=frozenset({"en"})))
    planned = plan(book(chapter("One", "这是中文。")), NARRATOR, english)
    assert planned.unspoken_languages == ("zh",)
    with pytest.raises(EngineError, match="'zh'"):
        planned.raise_if_fatal()


def test_letters_of_other_scripts_and_broken_markup_are_told_with_their_place() -> None:
    planned = plan(book(chapter("One", SENTENCE, "The word λόγος is Greek. [pause soon]")), NARRATOR, OPTIONS)
    told = [(problem.what, problem.where) for problem in planned.problems]
    assert ("markup [pause soon] is not understood and will be read as text", "chapter 1 (One), line 1") in told
    assert any("λ ό γ ο ς" in what and where == "chapter 1 (One), line 1" for what, where in told)
    assert not planned.has_fatal_problems


def test_plain_books_have_no_problems() -> None:
    text = "Mr. O’Brien paid £5.20 — “daylight robbery,” he said — for 3 kg of plums in May 1940. Naïve? Café!"
    assert plan(book(chapter("One", text)), NARRATOR, OPTIONS).problems == ()


# The dump -------------------------------------------------------------------------------------------------------------


def rich_book() -> Book:
    return book(
        chapter("Cover", "A Book", skip_reason="cover"),
        chapter(
            "I: {braces} and \\ more",
            Block(BlockKind.HEADING, "CHAPTER I", level=1),
            SENTENCE * 5,
            "Wait. [pause 0.25s] Go on, [voice anna] she said. [/voice] He did not.",
            Block(BlockKind.SCENE_BREAK, "* * *"),
            "那是一个晴天。他们走了很久很久，终于到了海边。",
            Block(BlockKind.PARAGRAPH, "It was 5 p.m.", speaker="anna"),
            ("A very long sentence, that goes on and on, and never seems to find its end, " * 8) + "until it does.",
        ),
        chapter("Two", SENTENCE, "The end. [pause 4s]"),
    )


CAST: dict[str, Voice | None] = {"": None, "anna": ANNA}


def test_a_dump_planned_again_is_the_same_plan() -> None:
    planned = plan(rich_book(), CAST, OPTIONS)
    text = write_dump(planned)
    assert is_dump(text)
    again = plan(read_dump(text, "spoken.txt"), CAST, OPTIONS)
    assert heard(again) == heard(planned)
    spoken_titles = [c.title for c in planned.chapters if c.chapter_idx is not None]
    assert [c.title for c in again.chapters] == spoken_titles
    assert (again.title, again.authors) == (planned.title, planned.authors)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.text(max_size=60),
                st.sampled_from([SENTENCE * 3, "{a} \\ b", "# no remark", "Yes. [pause 1s]", "第5章。"]),
            ),
            max_size=4,
        ),
        max_size=3,
    )
)
def test_any_dump_planned_again_is_the_same_plan(chapters: list[list[str]]) -> None:
    source = book(*(chapter(f"Chapter {i}", *texts) for i, texts in enumerate(chapters)))
    planned = plan(source, NARRATOR, OPTIONS)
    again = plan(read_dump(write_dump(planned)), NARRATOR, OPTIONS)
    assert heard(again) == heard(planned)


def test_an_edited_dump_changes_what_was_edited() -> None:
    planned = plan(rich_book(), CAST, OPTIONS)
    text = write_dump(planned).replace(
        "It was five p m. {paragraph}", "It was tea time. {paragraph 2s}\nAn added line with 5 {clause}"
    )
    again = plan(read_dump(text), CAST, OPTIONS)
    before, after = {u.text for u in planned.utterances}, {u.text for u in again.utterances}
    assert before - after == {"It was five p m."}
    assert after - before == {"It was tea time.", "An added line with 5"}
    edited = next(u for u in again.utterances if u.text == "It was tea time.")
    assert (edited.speaker, edited.pause, edited.pause_s) == ("anna", Pause.PARAGRAPH, 2.0)


def test_the_dump_explains_itself() -> None:
    text = write_dump(plan(rich_book(), CAST, OPTIONS))
    remarks = [line for line in text.splitlines() if line.startswith("#")]
    for word in ("{chapter", "{voice", "{paragraph 2s}", "left out: Cover (cover)"):
        assert any(word in line for line in remarks)


@pytest.mark.parametrize("line", ["Hello. {pause 2s}", "Hello {there} you", "{voice} Hi.", "Odd } brace"])
def test_braces_that_mean_nothing_are_named_with_their_line(line: str) -> None:
    with pytest.raises(TextError) as caught:
        read_dump(f"# omnitts spoken text 1\n{{chapter One}}\n{line}\n", "spoken.txt")
    assert caught.value.where == "spoken.txt, line 3"


def test_words_before_any_chapter_are_a_chapter_of_the_books_name() -> None:
    read = read_dump("# omnitts spoken text 1\n{title A Book}\n{language zh}\n你好。\n")
    assert [(c.title, c.blocks[0].text, c.blocks[0].language) for c in read.chapters] == [("A Book", "你好。", "zh")]


@pytest.mark.parametrize("text", ["Chapter one", "# a markdown heading", ""])
def test_other_texts_are_no_dumps(text: str) -> None:
    assert not is_dump(text)


# Time -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_time_is_typical_until_a_job_has_measured_it() -> None:
    typical = estimate_time(100.0, "draft")
    assert not typical.is_measured
    remember_speed("draft", audio_s=10.0, work_s=100.0)  # too short to mean anything
    assert estimate_time(100.0, "draft") == typical
    remember_speed("draft", audio_s=200.0, work_s=100.0)
    assert estimate_time(100.0, "draft").seconds == pytest.approx(50.0)
    assert estimate_time(100.0, "draft").is_measured
    assert not estimate_time(100.0, "fake").is_measured


def test_later_jobs_weigh_more() -> None:
    remember_speed("draft", audio_s=100.0, work_s=100.0)
    for _ in range(6):
        remember_speed("draft", audio_s=100.0, work_s=20.0)
    assert 20.0 < estimate_time(100.0, "draft").seconds < 22.0


def test_a_damaged_store_is_no_error(own_home: Path) -> None:
    file = own_home / "cache" / "speeds.json"
    file.parent.mkdir(parents=True)
    for content in ("{", "[]", '{"draft": 3}', '{"draft": [0, 1]}'):
        file.write_text(content, encoding="utf-8")
        assert not estimate_time(10.0, "draft").is_measured


def test_no_machine_path_in_the_dump() -> None:
    assert not re.search(r"(?:^|\s)/\w+/\w+", write_dump(plan(rich_book(), CAST, OPTIONS)))
