"""Text scoring against the published scripts' results (golden eval-text), and the rules no recording shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitts.pipeline.evaluate.text_scoring import (
    HANZI_PUNCTUATION,
    WordErrors,
    normalise,
    score_corpus,
    score_file,
    word_errors,
)


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Every cases.json below --golden that holds text scores, else the shipped one."""
    roots = (request.config.getoption("--golden"), Path(__file__).parents[2] / "golden")
    for root in roots:
        cases = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("cases.json"))]
        if found := [case for case in cases if "normalize" in case]:
            return found
    raise LookupError("no eval-text case")


def test_normalised_text_is_the_references(recorded: list[dict[str, Any]]) -> None:
    for case in recorded:
        for item in case["normalize"]:
            assert normalise(item["text"], item["lang"]) == item["out"], item
        assert case.get("punctuation_zhon", HANZI_PUNCTUATION) == HANZI_PUNCTUATION


def test_error_rates_are_the_references(recorded: list[dict[str, Any]]) -> None:
    for case in recorded:
        for item in case["wer"]:
            if "error" in item:
                with pytest.raises(ValueError, match=item["error"].removeprefix("ValueError: ")):
                    word_errors(item["hypo"], item["truth"])
                continue
            got = word_errors(item["hypo"], item["truth"])
            rates = (got.wer, got.substitutions, got.deletions, got.insertions)
            assert rates == pytest.approx(item["out"], abs=1e-12), item


def test_trap_33_one_number_too_long_leaves_all_digits() -> None:
    assert normalise(f"7 and {'9' * 310}", "en") == f"7 and {'9' * 310}"
    assert normalise(f"7 and {'9' * 9}", "en").startswith("seven and nine hundred")


def test_the_better_reference_counts_and_of_equals_the_second() -> None:
    assert score_file("one three", ["1 3", "one three five"], "en").num_words == 2
    tie = score_file("a b", ["a x", "a b c d"], "en")
    assert (tie.wer, tie.num_words) == (0.5, 4)


def test_corpus_score_weighs_words_and_mean_weighs_files() -> None:
    files = [WordErrors(0.5, 0.5, 0, 0, num_words=2), WordErrors(0.0, 0, 0, 0, num_words=8)]
    score = score_corpus(files)
    assert (score.wer, score.mean_wer, score.num_words, score.num_files) == (0.1, 0.25, 10, 2)
    with pytest.raises(ValueError, match="no file"):
        score_corpus([])
