"""Word alignment: gaps, insertions, repeats, lost ends, and the leniency for names."""

from omnitts.pipeline.check.long_align import align_long
from omnitts.pipeline.check.sounds import EnglishSounds, NoSounds
from omnitts.pipeline.check.text_equal import tokens_of
from omnitts.pipeline.check.wer import compare

TEXT = "The old man went down to the sea and looked at the boats"


def test_a_dropped_phrase_is_a_gap() -> None:
    result = compare(TEXT, "The old man and looked at the boats", "en")
    assert (result.longest_gap, result.gap_text) == (5, "went down to the sea")
    assert result.coverage == 1 - 5 / 13


def test_words_put_before_the_text_are_head_insertions() -> None:
    assert compare(TEXT, "so it was " + TEXT, "en").head_insertions == 3
    assert compare(TEXT, TEXT + " thanks again", "en").tail_insertions == 2


def test_a_loop_is_a_repeat() -> None:
    result = compare(TEXT, "The old man went down to the old man went down to the sea and looked at the boats", "en")
    assert result.repeats == 6 or result.longest_insertion == 6


def test_a_cut_tail_is_lost_even_when_something_was_made_of_it() -> None:
    assert compare("he met his friends", "he met his fun", "en").tail_lost == 1
    assert compare("the man was saved", "the man was save", "en").tail_lost == 0


def test_homophones_are_equal_and_rare_names_may_be_near() -> None:
    sounds = EnglishSounds(lambda word: word == "Queequeg")
    assert compare("their whale", "there wail", "en", sounds).errors == 0
    assert compare("said Queequeg then", "said quick wig then", "en", sounds).errors == 0
    assert compare("I can go", "I can't go", "en", sounds).errors == 1
    assert compare("said Queequeg then", "said then", "en", sounds).errors == 1


def test_the_long_alignment_agrees_with_the_plain_one() -> None:
    words = [f"w{number * 7919 % 3001}x" for number in range(3000)]
    heard = words[:1000] + words[1020:2000] + ["credits"] * 8 + words[2000:]
    steps = list(align_long(tokens_of(" ".join(words), "en"), tokens_of(" ".join(heard), "en"), NoSounds()))
    assert sum(step.kind == "missing" for step in steps) == 20
    assert sum(step.kind == "added" for step in steps) == 8
    assert [word for step in steps for word in step.expected] == words
    assert [word for step in steps for word in step.heard] == heard


def test_two_different_texts_are_missing_and_added_whole() -> None:
    left, right = [f"a{n}" for n in range(700)], [f"b{n}" for n in range(700)]
    steps = list(align_long(tokens_of(" ".join(left), "en"), tokens_of(" ".join(right), "en"), NoSounds()))
    assert {step.kind for step in steps} == {"missing", "added"}


def test_a_misheard_contraction_is_one_wrong_word_and_no_lost_head() -> None:
    heard = compare("that as men busied themselves", "that has men busied themselves", "en")
    assert (heard.head_lost, heard.longest_gap, heard.errors) == (0, 0, 1)
