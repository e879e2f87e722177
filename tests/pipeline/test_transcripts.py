"""Transcripts on paper: sentences a line, cues of readable size, and the four formats."""

from __future__ import annotations

import io
import json

import pytest

from omnitts.pipeline.transcripts import FORMATS, MAX_CUE_S, Heading, Segment, cues_of, open_writer
from omnitts.types import Timing


def timed(text: str, *, start_s: float = 0.0, word_s: float = 0.4, gaps: dict[int, float] | None = None) -> Segment:
    """Words end to end; ``gaps``: silence before a word."""
    words, at = [], start_s
    for i, word in enumerate(text.split()):
        at += (gaps or {}).get(i, 0.0)
        words.append(Timing(word, at, at + word_s))
        at += word_s
    return Segment(start_s, at, text, tuple(words))


def written(name: str, *segments: Segment) -> str:
    file = io.StringIO()
    writer = open_writer(name, file, Heading("talk.mp3", "en", "whisper base"))
    for segment in segments:
        writer.add(segment)
    writer.end(segments[-1].end_s if segments else 0.0)
    return file.getvalue()


def test_a_cue_ends_with_its_sentence() -> None:
    cues = cues_of(timed("The sea was calm today. Nobody spoke of it at all."))
    assert [cue.text for cue in cues] == ["The sea was calm today.", "Nobody spoke of it at all."]
    assert [time for cue in cues for time in (cue.start_s, cue.end_s)] == pytest.approx([0.0, 2.0, 2.0, 4.4])


def test_a_very_short_sentence_is_shown_with_the_next() -> None:
    assert [cue.text for cue in cues_of(timed("No. He would not."))] == ["No. He would not."]


def test_a_pause_begins_a_new_cue() -> None:
    assert [cue.text for cue in cues_of(timed("and then he came", gaps={2: 1.5}))] == ["and then", "he came"]


def test_a_long_sentence_is_cut_to_two_lines_and_seven_seconds() -> None:
    text = " ".join(["word"] * 60)
    for segment in (timed(text), Segment(0.0, 24.0, text)):
        cues = cues_of(segment)
        assert " ".join(cue.text for cue in cues) == text
        assert all(len(cue.text) <= 84 for cue in cues)
    assert all(cue.end_s - cue.start_s <= MAX_CUE_S + 1e-6 for cue in cues_of(timed(text)))


def test_too_long_a_sentence_is_rather_cut_after_a_clause() -> None:
    text = "This in itself was enough to gain the attention of the men, but his first words were startling to them."
    assert [cue.text for cue in cues_of(timed(text, word_s=0.3))] == [text[:59], text[60:]]


def test_words_that_whisper_splits_stay_whole_in_a_cue() -> None:
    words = (Timing("A", 0, 0.2), Timing("well", 0.2, 0.5), Timing("-known", 0.5, 0.9), Timing("man.", 0.9, 1.3))
    assert cues_of(Segment(0, 2, "A well-known man.", words))[0].text == "A well-known man."


def test_chinese_has_no_spaces_and_shorter_lines() -> None:
    text = "今天天气真不错我们出去走走吧" * 5
    cues = cues_of(Segment(0.0, 10.0, text))
    assert "".join(cue.text for cue in cues) == text
    assert all(len(cue.text) <= 36 for cue in cues)


def test_without_word_times_cues_share_the_time_by_length() -> None:
    cues = cues_of(Segment(10.0, 20.0, "Ten letters here. And ten more."))
    assert cues[0].start_s == 10.0
    assert cues[-1].end_s == pytest.approx(20.0)
    assert cues[0].end_s == cues[1].start_s
    assert cues[0].end_s - cues[0].start_s == pytest.approx(10 * 17 / 30, abs=0.4)


def test_text_is_a_sentence_a_line_whatever_the_windows() -> None:
    segments = (Segment(0, 9, "Mr. Fox saw the grapes. They were"), Segment(9, 18, "sour, he said. The end"))
    assert written("txt", *segments) == "Mr. Fox saw the grapes.\nThey were sour, he said.\nThe end\n"
    assert written("txt", Segment(0, 9, "今天天气"), Segment(9, 18, "真不错。")) == "今天天气真不错。\n"
    assert written("txt") == ""


def test_subrip() -> None:
    segment = timed("The sea was calm today. It was so calm that nobody spoke of it.", start_s=3661.5)
    assert written("srt", segment) == (
        "1\n01:01:01,500 --> 01:01:03,500\nThe sea was calm today.\n\n"
        "2\n01:01:03,500 --> 01:01:07,100\nIt was so calm that nobody spoke of it.\n\n"
    )
    long = timed("It was so calm that nobody on the beach ever spoke of it.", word_s=0.2)
    assert "It was so calm that nobody on\nthe beach ever spoke of it." in written("srt", long)


def test_webvtt_is_escaped() -> None:
    assert written("vtt", Segment(0.0, 2.0, "a < b & c --> d")) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\na &lt; b &amp; c --&gt; d\n\n"
    )


def test_json_is_one_object() -> None:
    data = json.loads(written("json", timed("Hello there."), Segment(5, 9, "“Quoted.”", is_cut=True)))
    assert (data["file"], data["language"], data["engine"], data["audio_s"]) == ("talk.mp3", "en", "whisper base", 9.0)
    assert data["segments"][0]["words"][1] == {"text": "there.", "start_s": 0.4, "end_s": 0.8}
    assert (data["segments"][1]["text"], data["segments"][1]["is_cut"]) == ("“Quoted.”", True)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_nothing_heard_is_still_a_file_of_its_kind(name: str) -> None:
    text = written(name)
    if name == "json":
        assert json.loads(text)["segments"] == []
    else:
        assert text == ("WEBVTT\n\n" if name == "vtt" else "")
