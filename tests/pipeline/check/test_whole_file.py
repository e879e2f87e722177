"""A finished audiobook against its text, with given transcripts and a real file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from omnitts import audio
from omnitts.audio import Waveform
from omnitts.errors import AudioError
from omnitts.pipeline.check.transcribe import CUT_TO_S, Transcript, windows
from omnitts.pipeline.check.whole_file import WholeReport, check_audio
from omnitts.types import Timing

RATE = 16_000
CHAPTERS = [
    ("Front", ["Copyright by nobody in particular, all rights reserved."]),
    ("One", ["The old man went down to the sea.", "He looked at the boats.", "Nobody was there that day."]),
    ("Two", ["In 1984 the harbour was closed.", "The boats were sold one after another."]),
]
READ = [sentence for _, sentences in CHAPTERS[1:] for sentence in sentences]


class Windows:
    """Hears one given text a window of ten seconds."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def transcribe_long(self, path: Path, language: str) -> Iterator[Transcript]:
        for number, text in enumerate(self._texts):
            words = text.split()
            step = 10 / len(words)
            times = (10 * number + step * place for place in range(len(words)))
            yield Transcript(text, tuple(Timing(w, t, t + step) for w, t in zip(words, times, strict=True)), language)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).standard_normal(50 * RATE).astype(np.float32) * 0.1
    audio.save(Waveform(noise, RATE), tmp_path / "book.flac")
    return tmp_path / "book.flac"


def check(book: Path, texts: list[str]) -> WholeReport:
    return check_audio(book, CHAPTERS, Windows(texts))


def test_a_whole_reading_is_accepted_and_unread_front_matter_is_no_fault(book: Path) -> None:
    report = check(book, ["This recording was made at home for friends", *READ])
    assert (report.accepted, report.reasons, report.coverage) == (True, (), 1.0)
    assert [sentence.status for sentence in report.sentences] == ["unread", *["heard"] * 5]
    assert [extra.place for extra in report.extra] == ["front"]
    assert report.sentences[1].start_s == 10.0
    assert report.duration_s == pytest.approx(50, abs=0.1)


def test_a_missing_sentence_and_an_inserted_passage_are_found(book: Path) -> None:
    stray = "buy our other fine recordings at the shop"
    report = check(book, [READ[0], READ[2], stray, *READ[3:]])
    assert not report.accepted
    assert [(s.chapter_idx, s.sentence_idx) for s in report.sentences if s.status == "missing"] == [(1, 1)]
    assert [(extra.place, extra.text) for extra in report.extra] == [("inside", stray)]
    assert report.reasons == ("1 sentences missing", "1 passages that are not in the text")


def test_another_book_is_not_accepted(book: Path) -> None:
    assert "nothing of the text was heard" in check(book, ["completely unrelated gibberish spoken by somebody"]).reasons


def test_a_file_that_is_not_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "book.mp3").write_text("no sound")
    with pytest.raises(AudioError, match=r"book\.mp3"):
        check(tmp_path / "book.mp3", READ)


def test_windows_cover_long_sound_and_cut_it_in_silence() -> None:
    sound = np.ones(70 * RATE, np.float32)
    sound[20 * RATE : 21 * RATE] = 0
    found = list(windows(iter([sound[: 33 * RATE], sound[33 * RATE :]])))
    assert np.array_equal(np.concatenate([part for _, part in found]), sound)
    assert 20 <= found[1][0] <= 21
    assert all(len(part) <= 30 * RATE for _, part in found)
    assert found[1][0] < CUT_TO_S
