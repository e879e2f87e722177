"""Rows to learn from are the rows that speaking would have made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitts.models.mgm_omni.checkpoint import read_tokenizer
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.prompt import PromptBuilder
from omnitts.models.mgm_omni.speech_rows import sounding_rows, speech_codes
from omnitts.models.mgm_omni.text_feed import TextFeed
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary, build_vocabulary
from omnitts.training.lm_pass import collate
from omnitts.training.recipe import TOY
from omnitts.training.rows import UNKNOWN, SpokenText, chunk_lengths, example, prompt_said, spoken_rows
from omnitts.training.speech_lm import mouth_settings
from omnitts.training.text_tokenizer import TextCoder, train_text_tokenizer
from tests.training.toys import TEXTS

PRE_PAD = TOY.speech_lm.pre_pad
SILENCE = {"silence_token": 7, "blank_ids": [7, 8]}


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpeechVocabulary, PromptBuilder, TextCoder]:
    folder = tmp_path_factory.mktemp("text")
    size = train_text_tokenizer([*TEXTS] * 5, 320, folder)
    config = MouthConfig.from_dict(mouth_settings(TOY, size, SILENCE))
    tokenizer = read_tokenizer(folder)
    vocabulary = build_vocabulary(config, tokenizer)
    return vocabulary, PromptBuilder(config, vocabulary, tokenizer), TextCoder(tokenizer)


def piece(coder: TextCoder, text: str, num_codes: int) -> SpokenText:
    return SpokenText(tuple(coder.ids(text)), tuple((5 * place) % 61 for place in range(num_codes)))


def replay(
    vocabulary: SpeechVocabulary, text_ids: Sequence[int], rows: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """What the feed makes of a model that chooses exactly these codes."""
    feed = TextFeed(vocabulary, text_ids, max_rows=10_000)
    made = []
    for row in rows:
        made.append(feed.next_row(tuple(row[1:])))
    assert feed.is_finished
    assert not feed.failures
    return made


def test_one_utterance_is_what_the_feed_makes(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    vocabulary, prompts, coder = language
    spoken = piece(coder, TEXTS[0], 101)
    made = spoken_rows(vocabulary, [spoken], PRE_PAD)
    assert made is not None
    rows = [tuple(row) for row in made.rows.tolist()]
    prompt = prompts.build(TEXTS[0], TEXTS[1], list(range(20)))
    assert replay(vocabulary, prompt.text_ids, rows) == rows
    assert [row[1:] for row in rows[:PRE_PAD]] == [(vocabulary.speech_pad,) * 4] * PRE_PAD
    codes = speech_codes(torch.tensor(rows), vocabulary, PRE_PAD).tolist()
    assert codes == [*spoken.codes, *[vocabulary.silence_code] * 3]


def test_several_chunks(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    vocabulary, prompts, coder = language
    texts = [TEXTS[i % 4] for i in range(12)]
    pieces = [piece(coder, text if i == 0 else f" {text}", 60 + i) for i, text in enumerate(texts)]
    made = spoken_rows(vocabulary, pieces, PRE_PAD, [3] * 12)
    assert made is not None
    rows = [tuple(row) for row in made.rows.tolist()]
    text_ids = prompts.text_ids(" ".join(texts))
    assert text_ids == tuple(token for item in pieces for token in item.text_ids)
    assert replay(vocabulary, text_ids, rows) == rows
    lengths = chunk_lengths(vocabulary, text_ids)
    assert len(lengths) > 1
    assert sum(lengths) == len(text_ids)
    assert sum(row[0] == vocabulary.audio_sep for row in rows) == len(lengths) - 1
    assert len(sounding_rows(torch.tensor(rows), vocabulary, PRE_PAD)) == len(lengths)


def test_text_longer_than_its_sound_is_waited_for(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    vocabulary, _, coder = language
    made = spoken_rows(vocabulary, [piece(coder, TEXTS[1], 8)], PRE_PAD)
    assert made is not None
    rows = [tuple(row) for row in made.rows.tolist()]
    codes = speech_codes(torch.tensor(rows), vocabulary, PRE_PAD)
    assert (codes[8:] == vocabulary.silence_code).all()
    assert sum(row[0] not in (vocabulary.text_pad, vocabulary.audio_end, vocabulary.text_eos) for row in rows) == len(
        coder.ids(TEXTS[1])
    )


def test_a_chunk_that_ends_inside_an_utterance_cannot_be(
    language: tuple[SpeechVocabulary, PromptBuilder, TextCoder],
) -> None:
    vocabulary, _, coder = language
    long = " ".join(TEXTS[i % 4] for i in range(12))
    assert spoken_rows(vocabulary, [piece(coder, long, 600)], PRE_PAD) is None


def test_a_sound_too_long_for_its_text_cannot_be(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    vocabulary, _, coder = language
    assert spoken_rows(vocabulary, [piece(coder, "No.", 400)], PRE_PAD) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 160)), min_size=1, max_size=14))
def test_any_rows_are_the_feeds_own(
    language: tuple[SpeechVocabulary, PromptBuilder, TextCoder], said: list[tuple[int, int]]
) -> None:
    vocabulary, _, coder = language
    pieces = [piece(coder, TEXTS[text] if i == 0 else f" {TEXTS[text]}", n) for i, (text, n) in enumerate(said)]
    made = spoken_rows(vocabulary, pieces, PRE_PAD, [2] * len(pieces))
    if made is not None:
        rows = [tuple(row) for row in made.rows.tolist()]
        assert replay(vocabulary, [token for item in pieces for token in item.text_ids], rows) == rows


def test_targets_are_the_next_rows_codes(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    vocabulary, prompts, coder = language
    made = spoken_rows(vocabulary, [piece(coder, TEXTS[0], 40)], PRE_PAD)
    assert made is not None
    rows = [tuple(row) for row in made.rows.tolist()]
    prompt = prompts.voice_rows(TEXTS[1], list(range(20)))
    long = example(torch.cat([prompt, prompt]), made)
    inputs, targets, _ = collate([example(prompt, made), long])
    P = len(prompt)
    assert torch.equal(targets[0, P - 1 : P - 1 + len(rows)], torch.tensor(rows)[:, 1:])
    assert (targets[0, : P - 1] == -100).all()
    assert torch.equal(inputs[1], long.rows[:-1])


def test_rows_know_what_their_sound_says(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    """Of four codes to a row the third decides; silence, eos and separators say nothing."""
    vocabulary, prompts, coder = language
    first, second = piece(coder, TEXTS[0], 40), piece(coder, f" {TEXTS[1]}", 32)
    first = replace(first, said=tuple(range(40)))
    made = spoken_rows(vocabulary, [first, second], PRE_PAD, [4])
    assert made is not None
    said = made.said.tolist()
    assert len(said) == len(made.rows)
    assert said[: PRE_PAD + 11] == [UNKNOWN] * PRE_PAD + list(range(2, 40, 4)) + [UNKNOWN]
    assert set(said[PRE_PAD + 10 :]) == {UNKNOWN}
    prompt = prompts.voice_rows(TEXTS[1], list(range(20)))
    item = example(prompt, made, prompt_said(prompt, range(100, 120)))
    assert item.said[len(prompt) :].tolist() == said
    sounding = (prompt[:, 1:] != vocabulary.speech_pad).all(dim=-1)
    assert item.said[: len(prompt)][sounding].tolist() == [102, 106, 110, 114, 118, UNKNOWN]
    assert (item.said[: len(prompt)][~sounding] == UNKNOWN).all()


def test_the_reference_may_be_learnt_too(language: tuple[SpeechVocabulary, PromptBuilder, TextCoder]) -> None:
    vocabulary, prompts, coder = language
    made = spoken_rows(vocabulary, [piece(coder, TEXTS[0], 40)], PRE_PAD)
    assert made is not None
    prompt = prompts.voice_rows(TEXTS[1], list(range(20)))
    _, targets, said = collate([example(prompt, made)], vocabulary.speech_pad)
    learnt = targets[0, : len(prompt) - 1]
    sounding = (prompt[1:, 1:] != vocabulary.speech_pad).any(dim=-1)
    assert torch.equal(learnt[sounding], prompt[1:, 1:][sounding])
    assert (learnt[~sounding] == -100).all()
    assert torch.equal(targets[0, len(prompt) - 1 :], torch.from_numpy(made.rows)[:, 1:])
    assert said.shape[1] == targets.shape[1] + 1
