"""The report: what was spoken, how well it was heard, and where each sentence of the source lies in the sound.

A job, its plan and its timeline in; a plain dictionary out, ready for ``report.json``. Decides nothing: verdicts were
given by the checks. Figures are summed from pieces, so that no figure of a book can differ from its pieces'.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnitts import __version__
from omnitts.audio import write_atomically
from omnitts.pipeline.job import Job
from omnitts.pipeline.loudness import Loudness
from omnitts.pipeline.plan import Plan
from omnitts.pipeline.stitch import PieceSpan, Timeline
from omnitts.pipeline.text.sentences import sentence_spans
from omnitts.types import Utterance, Verdict

REPORT_VERSION = 1


@dataclass(frozen=True)
class StageTimes:
    """Seconds of a run by stage; ``speak_s`` and ``check_s`` overlap, so they may add up to more than ``total_s``."""

    speak_s: float = 0.0
    check_s: float = 0.0
    assemble_s: float = 0.0
    total_s: float = 0.0


def build_report(
    plan: Plan,
    job: Job,
    timeline: Timeline,
    *,
    facts: Mapping[str, Any],
    loudness_before: Loudness,
    loudness_after: Loudness,
    times: StageTimes,
) -> dict[str, Any]:
    """The whole report. ``facts`` are what only the recipe knows (source, files, engine, voice, settings)."""
    chapters: list[dict[str, Any]] = []
    for (chapter, utterances), span in zip(plan.spoken_chapters(), timeline.chapters, strict=True):
        pieces = [
            _piece(utterance, job, timeline, place) for utterance, place in zip(utterances, span.pieces, strict=True)
        ]
        chapters.append(
            {
                "chapter": len(chapters) + 1,
                "title": chapter.title,
                "start_s": round(timeline.seconds(span.start), 3),
                "end_s": round(timeline.seconds(span.end), 3),
                **_figures(pieces),
                "pieces": pieces,
            }
        )
    pieces = [piece for chapter in chapters for piece in chapter["pieces"]]
    return {
        "report": REPORT_VERSION,
        "omnitts": __version__,
        "title": plan.title,
        "authors": list(plan.authors),
        "language": plan.language,
        **facts,
        "duration_s": round(timeline.duration_s, 3),
        "loudness": {"before": _loudness(loudness_before), "after": _loudness(loudness_after)},
        "seconds": {name: round(value, 2) for name, value in vars(times).items()},
        **_figures(pieces),
        "skipped": [
            {"title": chapter.title, "reason": chapter.skip_reason, "words": chapter.words}
            for chapter in plan.chapters
            if chapter.skip_reason
        ],
        "problems": [{"what": problem.what, "where": problem.where} for problem in plan.problems],
        "flagged": [
            {
                key: piece[key]
                for key in ("utterance", "text", "heard", "reasons", "start_s", "end_s", "source", "takes")
            }
            for piece in pieces
            if not piece["accepted"]
        ],
        "chapters": chapters,
    }


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Raises `OutputError` when the file cannot be written."""
    write_atomically(path, (json.dumps(report, ensure_ascii=False, indent=1) + "\n").encode())


def _piece(utterance: Utterance, job: Job, timeline: Timeline, place: PieceSpan) -> dict[str, Any]:
    takes, best = job.takes(utterance.id), job.best_take(utterance.id)
    assert best is not None, "a finished job has a take of every utterance"
    verdict = best.verdict or Verdict(accepted=not best.failure)
    start_s, end_s = timeline.seconds(place.start), timeline.seconds(place.end)
    return {
        "utterance": utterance.id,
        "text": utterance.text,
        "heard": verdict.heard,
        "accepted": verdict.accepted,
        "reasons": list(verdict.reasons),
        "start_s": round(start_s, 3),
        "end_s": round(end_s, 3),
        "speaker": utterance.speaker,
        "source": utterance.source,
        "span": list(utterance.span),
        "words": verdict.words,
        "errors": verdict.errors,
        "wer": _rounded(verdict.wer),
        "coverage": _rounded(verdict.coverage),
        "similarity": _rounded(verdict.similarity),
        "takes": len(takes),
        "seed": best.clip.seed,
        "sentences": list(_sentences(utterance, start_s, end_s)),
    }


def _sentences(utterance: Utterance, start_s: float, end_s: float) -> Iterator[dict[str, Any]]:
    """Every source sentence of a piece and its stretch of the piece's sound, by its share of the letters."""
    display = utterance.display
    letters = max(1, len(display))
    for span in sentence_spans(display):
        text = display[span.start : span.end].strip()
        if any(char.isalnum() for char in text):
            yield {
                "text": text,
                "span": [utterance.span.start + span.start, utterance.span.start + span.end],
                "start_s": round(start_s + (end_s - start_s) * span.start / letters, 3),
                "end_s": round(start_s + (end_s - start_s) * span.end / letters, 3),
            }


def _figures(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over pieces: word error rate weighted by words, coverage likewise, similarity as mean and least."""
    pieces = list(pieces)
    judged = [piece for piece in pieces if piece["wer"] is not None]
    words = sum(piece["words"] for piece in judged)
    errors = sum(piece["errors"] for piece in judged)
    covered = sum(piece["coverage"] * piece["words"] for piece in judged if piece["coverage"] is not None)
    alike = [piece["similarity"] for piece in pieces if piece["similarity"] is not None]
    sentences = [sentence for piece in pieces for sentence in piece["sentences"]]
    return {
        "num_pieces": len(pieces),
        "num_flagged": sum(not piece["accepted"] for piece in pieces),
        "num_takes": sum(piece["takes"] for piece in pieces),
        "num_sentences": len(sentences),
        "num_sentences_with_audio": sum(sentence["end_s"] > sentence["start_s"] for sentence in sentences),
        "words": words,
        "wer": _rounded(errors / words) if words else None,
        "coverage": _rounded(covered / words) if words else None,
        "similarity_mean": _rounded(sum(alike) / len(alike)) if alike else None,
        "similarity_min": _rounded(min(alike)) if alike else None,
    }


def _loudness(loudness: Loudness) -> dict[str, float | None]:
    return {
        "integrated_lufs": _finite(loudness.integrated_lufs),
        "true_peak_dbtp": _finite(loudness.true_peak_dbtp),
        "range_lu": _finite(loudness.range_lu),
    }


def _finite(value: float) -> float | None:
    return round(value, 2) if abs(value) != float("inf") else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
