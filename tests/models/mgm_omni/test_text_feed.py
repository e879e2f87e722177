"""The text feed without a model: recorded choices in, recorded rows out; then its borders, and the traps."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts.models.mgm_omni.checkpoint import read_mouth_config
from omnitts.models.mgm_omni.text_feed import CONVERSATION, NARRATION, Failure, FeedRules, Row, TextFeed
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary, build_vocabulary
from tests.models.conftest import GoldenRecord
from tests.models.golden_cases import GoldenCase, GoldenRun, max_error
from tests.models.mgm_omni.conftest import speech_run, tokenizer_at

EOS, PAD = 6561, 6562
SOUND, SILENCE = [1, 2, 3, 4], [6486, 6486, 6486, 1]
WORD, DOT, NEWLINE, BLANK = 20, 10, 11, 12


def small_vocabulary() -> SpeechVocabulary:
    """Text ids 0..29; 10 and 11 end a sentence, 11 and 12 are blank."""
    flags = bytearray(30), bytearray(30)
    flags[0][DOT] = flags[0][NEWLINE] = flags[1][NEWLINE] = flags[1][BLANK] = 1
    return SpeechVocabulary(
        text_size=30,
        codebook_size=6563,
        codes_per_row=4,
        text_pad=0,
        text_eos=1,
        refer_pad=0,
        silence_code=6486,
        blank_codes=frozenset({6486, 6487}),
        ends_sentence=bytes(flags[0]),
        is_blank_text=bytes(flags[1]),
    )


@pytest.fixture
def vocabulary() -> SpeechVocabulary:
    return small_vocabulary()


def run_feed(feed: TextFeed, codes: list[int], limit: int = 5000) -> list[Row]:
    """Rows until the feed ends, the model always choosing `codes`."""
    rows: list[Row] = []
    while not feed.is_finished:
        assert len(rows) < limit, "the feed does not end"
        rows.append(feed.next_row(codes))
    return rows


@pytest.mark.golden("speechlm-generate")
def test_recorded_narration(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    run = speech_run(golden_run)
    feed = TextFeed(run.mouth.vocabulary, run.prompt.text_ids, max_rows=run.meta["max_new_tokens"])
    rows = [feed.next_row(codes) for codes in run.tensors["predicted_tokens"].tolist()]
    golden_record("feed rows", max_error(torch.tensor(rows), run.tensors["sequences"]), 0)
    assert feed.is_finished
    assert bool({Failure.BLANK_RUN, Failure.LENGTH} & set(feed.failures)) == run.meta["tts_error"]
    assert (Failure.ROW_LIMIT in feed.failures) == (rows[-1][0] != run.mouth.vocabulary.text_eos)


@pytest.mark.golden("omni-generate")
def test_recorded_conversation(golden_run: GoldenRun, golden_record: GoldenRecord) -> None:
    """The brain's tokens arrive one a row; mouth rows exactly, also where the blank limit or the row limit ends it."""
    case, want, meta = golden_run.case, golden_run.tensors(), golden_run.meta
    mouth_folder = case.beside(case.meta["weights"][-1]).parent
    vocabulary = build_vocabulary(read_mouth_config(mouth_folder), tokenizer_at(case.tokenizer_dirs[-1]))
    if "mouth_predicted" in want:
        brain, chosen = want["brain_predicted"].tolist(), want["mouth_predicted"].tolist()
    else:
        draws = iter(want["multinomial_draws"].tolist())
        parts = [list(islice(draws, size)) for size in want["multinomial_sizes"].tolist()]
        brain, chosen = [part[0] for part in parts if len(part) == 1], [part for part in parts if len(part) > 1]
    feed = TextFeed(vocabulary, max_rows=meta["max_new_tokens"], rules=CONVERSATION)
    rows, arriving = [], list(brain)
    for codes in chosen:
        if arriving:
            token = arriving.pop(0)
            if token != vocabulary.text_eos:
                feed.push([token])
            if token == vocabulary.text_eos or len(brain) - len(arriving) == meta["max_new_tokens"]:
                feed.close()
        assert not feed.wants_text()
        rows.append(feed.next_row(codes))
    golden_record("feed rows", max_error(torch.tensor(rows), want["speech_sequences"]), 0)
    assert feed.is_finished


def test_a_short_text_is_spoken_padded_and_ended(vocabulary: SpeechVocabulary) -> None:
    feed = TextFeed(vocabulary, [WORD, DOT], max_rows=100)
    rows = [feed.next_row(codes) for codes in (SOUND, SOUND, SOUND, [EOS] * 4, SOUND, SOUND)]
    assert [row[0] for row in rows] == [WORD, DOT, 0, 0, vocabulary.audio_end, 1]
    assert [list(row[1:]) for row in rows] == [SOUND, SOUND, SOUND, [EOS] * 4, [PAD] * 4, SOUND]
    assert feed.is_finished
    assert not feed.failures


@pytest.mark.parametrize(("num_words", "closes_at"), [(49, 101), (50, 51), (99, 100), (100, 101)])
def test_a_chunk_closes_at_a_sentence_end_after_fifty_tokens_or_at_a_hundred(
    vocabulary: SpeechVocabulary, num_words: int, closes_at: int
) -> None:
    text = [WORD] * num_words + [DOT] + [WORD] * 300
    feed = TextFeed(vocabulary, text, max_rows=9999)
    rows = [feed.next_row(SOUND) for _ in range(300)]
    assert [row[0] for row in rows].index(0) == closes_at


def test_trap_3_and_4_eight_fold_length_counts_the_separator(vocabulary: SpeechVocabulary) -> None:
    """First chunk: 8 * nt + 2 rows with the eos row; later chunks one less, as the separator is counted."""
    text = [WORD] * 51 + [DOT] + [WORD] * 2
    feed = TextFeed(vocabulary, text, max_rows=9999)
    rows = run_feed(feed, SOUND)
    separator = next(i for i, row in enumerate(rows) if row[0] == vocabulary.audio_sep)
    assert separator == 8 * 52 + 2
    assert len(rows) - 2 - (separator + 1) == 8 * 2 + 1
    assert feed.failures == [Failure.LENGTH]


@pytest.mark.parametrize(("rules", "limit"), [(NARRATION, 8), (CONVERSATION, 10)])
def test_trap_5_blank_limit(vocabulary: SpeechVocabulary, rules: FeedRules, limit: int) -> None:
    """The run of blank rows is counted from the text phase on; one above the limit ends the chunk."""
    feed = TextFeed(vocabulary, max_rows=999, rules=rules) if rules.text_arrives else None
    if feed is None:
        feed = TextFeed(vocabulary, [WORD] * 4, max_rows=999)
    else:
        feed.push([WORD] * 4)
        feed.close()
    rows = run_feed(feed, SILENCE)
    eos_row = next(i for i, row in enumerate(rows) if row[1] == EOS)
    assert eos_row + 1 == limit + 1
    assert feed.failures == [Failure.BLANK_RUN]


def test_trap_3_blank_run_survives_the_border(vocabulary: SpeechVocabulary) -> None:
    feed = TextFeed(vocabulary, [WORD] * 51 + [DOT] + [WORD] * 3, max_rows=9999)
    for _ in range(52):
        feed.next_row(SOUND)
    feed.next_row([EOS] * 4)
    rows = [feed.next_row(SILENCE) for _ in range(9)]  # separator, three words, five of padding: 9 blank rows
    assert rows[0][0] == vocabulary.audio_sep
    assert list(rows[-1][1:]) == [EOS] * 4
    assert feed.failures == [Failure.BLANK_RUN]


@pytest.mark.parametrize(("rules", "num_rows"), [(NARRATION, 6), (CONVERSATION, 5)])
def test_trap_5_row_limit_is_one_more_in_narration(
    vocabulary: SpeechVocabulary, rules: FeedRules, num_rows: int
) -> None:
    feed = TextFeed(vocabulary, [WORD] * 40, max_rows=5, rules=rules)
    assert len(run_feed(feed, SOUND)) == num_rows
    assert feed.failures == [Failure.ROW_LIMIT]


def test_trap_6_blanks_left_after_a_chunk_end_the_speech(vocabulary: SpeechVocabulary) -> None:
    """The reference opens a chunk with nothing to say and crashes."""
    feed = TextFeed(vocabulary, [WORD] * 51 + [DOT, NEWLINE, BLANK], max_rows=9999)
    rows = [feed.next_row(SOUND) for _ in range(52)]
    rows += [feed.next_row([EOS] * 4), feed.next_row(SOUND), feed.next_row(SOUND)]
    assert [row[0] for row in rows[-3:]] == [0, vocabulary.audio_end, 1]
    assert feed.is_finished
    assert not feed.failures


@pytest.mark.golden("speechlm-generate")
def test_trap_6_texts_that_crashed_the_reference_end_well(golden_case: GoldenCase) -> None:
    mouth = speech_run(golden_case.runs[0]).mouth
    crashed = [meta["text"] for meta in golden_case.meta["runs"].values() if "error" in meta]
    for text in crashed:
        feed = TextFeed(mouth.vocabulary, mouth.prompts.text_ids(text), max_rows=9999)
        rows = run_feed(feed, [EOS] * 4)
        assert [row[0] for row in rows[-2:]] == [mouth.vocabulary.audio_end, mouth.vocabulary.text_eos]
        assert not feed.failures


def test_trap_7_an_eos_row_at_the_limit_ends_well(vocabulary: SpeechVocabulary) -> None:
    """The reference's stop test misses this row and never ends."""
    feed = TextFeed(vocabulary, [WORD], max_rows=3)
    rows = [feed.next_row(codes) for codes in (SOUND, [EOS] * 4, SOUND, SOUND)]
    assert len(rows) == 3 + 1
    assert feed.is_finished
    assert not feed.failures


@pytest.mark.parametrize("text", [[], [BLANK], [NEWLINE, BLANK]])
def test_trap_28_nothing_to_say_is_an_outcome(vocabulary: SpeechVocabulary, text: list[int]) -> None:
    feed = TextFeed(vocabulary, text, max_rows=10)
    assert feed.is_finished
    assert feed.failures == [Failure.EMPTY_TEXT]


def test_blanks_are_dropped_at_the_start_of_a_chunk_only(vocabulary: SpeechVocabulary) -> None:
    feed = TextFeed(vocabulary, [BLANK, NEWLINE, WORD, BLANK, WORD], max_rows=99)
    assert [feed.next_row(SOUND)[0] for _ in range(4)] == [WORD, BLANK, WORD, 0]


def test_a_conversation_waits_for_text_that_is_not_blank(vocabulary: SpeechVocabulary) -> None:
    """The reference crashes when an answer's first tokens are blank."""
    feed = TextFeed(vocabulary, max_rows=99, rules=CONVERSATION)
    assert feed.wants_text()
    feed.push([BLANK])
    assert feed.wants_text()
    with pytest.raises(ValueError, match="waits for text"):
        feed.next_row(SOUND)
    feed.push([WORD])
    assert not feed.wants_text()
    assert feed.next_row(SOUND)[0] == WORD
    feed.close()
    assert not feed.wants_text()
    with pytest.raises(ValueError, match="complete"):
        feed.push([WORD])


def test_a_conversation_that_ends_without_text_pads(vocabulary: SpeechVocabulary) -> None:
    """With the brain done and nothing to say, the row is a pad row whose codes stay and are not tested for eos."""
    feed = TextFeed(vocabulary, max_rows=99, rules=CONVERSATION)
    feed.close()
    rows = [feed.next_row([EOS] * 4), feed.next_row(SOUND), feed.next_row(SOUND), feed.next_row(SOUND)]
    assert [row[0] for row in rows] == [0, 0, vocabulary.audio_end, 1]
    assert feed.failures == [Failure.LENGTH]  # 8 x 0 text tokens


@given(
    st.lists(st.sampled_from([WORD, WORD, WORD, DOT, NEWLINE, BLANK]), max_size=260),
    st.lists(st.sampled_from([SOUND, SILENCE, [EOS] * 4, [EOS, 1, 1, 1]]), min_size=1, max_size=40),
    st.integers(1, 3000),
)
@settings(max_examples=150, deadline=None)
def test_every_text_is_spoken_in_order_within_the_promised_rows(
    text: list[int], choices: list[list[int]], max_rows: int
) -> None:
    """Whatever the model chooses: the feed ends, within `most_rows`, having spoken the text in order."""
    vocabulary = small_vocabulary()
    feed = TextFeed(vocabulary, text, max_rows=max_rows)
    most_rows, rows = feed.most_rows, []
    while not feed.is_finished:
        rows.append(feed.next_row(choices[len(rows) % len(choices)]))
        assert len(rows) <= most_rows
    spoken = [row[0] for row in rows if row[0] in (WORD, DOT, NEWLINE, BLANK)]
    remaining = iter(text)
    assert all(token in remaining for token in spoken)
    if Failure.ROW_LIMIT not in feed.failures:
        assert [t for t in spoken if t in (WORD, DOT)] == [t for t in text if t in (WORD, DOT)]
