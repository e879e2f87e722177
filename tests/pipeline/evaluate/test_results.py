"""Results files: written as they come, gone on with, never mixed, and summed by the published rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitts.errors import InputError, UsageError
from omnitts.pipeline.evaluate.results import ItemResult, Results, read_results, results_in, score

HEADER = {"benchmark": "long-tts-eval", "name": "m", "asr": "base"}


def result(named: str, wer: float = 0.0, words: int = 10, *, subset: str = "en", failure: str = "") -> ItemResult:
    alike = None if failure else 0.8
    return ItemResult(named, subset, "heard", wer, wer, 0.0, 0.0, words, alike, 0.0 if failure else 4.0, 2.0, failure)


def test_a_run_goes_on_after_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Results(path, HEADER) as results:
        results.add(result("a"))
        results.add(result("b", failure="blank_run"))
    with path.open("a") as file:
        file.write('{"id": "c", "subs')
    with Results(path, HEADER) as results:
        assert results.is_done("en", "a")
        assert not results.is_done("en", "b"), "a failed item is tried again"
        assert not results.is_done("en", "c")
        results.add(result("b", 0.5))
    header, items = read_results(path)
    assert header == HEADER
    assert [(key, item.wer) for key, item in items.items()] == [(("en", "a"), 0.0), (("en", "b"), 0.5)]


def test_results_made_otherwise_do_not_join(tmp_path: Path) -> None:
    with Results(tmp_path / "r.jsonl", HEADER):
        pass
    with pytest.raises(UsageError, match="another asr"):
        Results(tmp_path / "r.jsonl", {**HEADER, "asr": "large-v3"})
    (tmp_path / "n.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="no results file"):
        Results(tmp_path / "n.jsonl", HEADER)


def test_long_files_weigh_more_in_the_published_score_and_the_same_in_the_mean() -> None:
    only = score([result("a", 0.1, 90), result("b", 0.5, 10), result("c", 1.0, 10, failure="empty")])[0]
    assert only.wer == pytest.approx((9 + 5 + 10) / 110)
    assert only.mean_wer == pytest.approx(1.6 / 3)
    assert (only.num_files, only.num_failed, only.num_words) == (3, 1, 110)
    assert only.similarity == pytest.approx(0.8)
    assert only.rtf == pytest.approx(6.0 / 8.0)


def test_subsets_come_in_the_published_order(tmp_path: Path) -> None:
    with Results(tmp_path / "long-tts-eval.m.jsonl", HEADER) as results:
        for subset in ("zh-hard", "en", "zh"):
            results.add(result("a", subset=subset))
    ((header, scores),) = results_in(tmp_path, "long-tts-eval")
    assert header["name"] == "m"
    assert [item.subset for item in scores] == ["en", "zh", "zh-hard"]


def test_no_sound_has_no_real_time_factor() -> None:
    only = score([result("a", 1.0, failure="empty")])[0]
    assert only.rtf is None
    assert only.similarity is None
