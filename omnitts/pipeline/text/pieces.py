"""A chapter in, pieces of speech out: the text stage's one verb.

Block by block: markup, sentences, lexicon, normalising, then packing. Knows nothing of books, voices or engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from omnitts.pipeline.text.clauses import split_long
from omnitts.pipeline.text.duration import estimate_s
from omnitts.pipeline.text.lexicon import Lexicon
from omnitts.pipeline.text.markup import Run, runs_of
from omnitts.pipeline.text.normalise import language_of, normalise
from omnitts.pipeline.text.options import Piece, TextOptions
from omnitts.pipeline.text.pack import Atom, ended, pack
from omnitts.pipeline.text.sentences import sentence_spans
from omnitts.types import BLOCK_SEPARATOR, Block, BlockKind, Chapter, Pause

_PAUSE_RANK: Final = {pause: rank for rank, pause in enumerate(Pause)}  # from the shortest to the longest
_SURELY_LONG: Final = 2.0  # a sentence whose display text alone takes this many budgets is cut before it is normalised
_SURELY_SHORT: Final = 4.0  # characters a second: no script is read more slowly


def pieces_of(
    chapter: Chapter,
    options: TextOptions,
    lexicon: Lexicon | None = None,
    report: Callable[[str, int], None] | None = None,
) -> Iterator[Piece]:
    """Pieces of ``chapter`` in reading order; their spans rebuild ``chapter.text``, none when nothing can be spoken.

    ``report`` hears of broken markup: what, and the index of its block.
    """
    atoms: list[Atom] = []
    offset = 0
    for block_idx, block in enumerate(chapter.blocks):
        if block.kind is BlockKind.SCENE_BREAK:
            _lengthen_last(atoms, Pause.SCENE, None)
        else:
            _add_block(atoms, block, block_idx, offset, options, lexicon, report)
        offset += len(block.text) + len(BLOCK_SEPARATOR)
    if atoms:
        atoms[-1].pause = Pause.CHAPTER
    yield from pack(atoms, max(0, offset - len(BLOCK_SEPARATOR)), options)


def _lengthen_last(atoms: list[Atom], pause: Pause, asked_pause_s: float | None) -> None:
    """Gives the pause after something unspoken to the words before it."""
    if not atoms:
        return
    last = atoms[-1]
    last.pause = max(pause, last.pause, key=_PAUSE_RANK.__getitem__)
    if last.asked_pause_s is None:
        last.asked_pause_s = asked_pause_s


def _add_block(
    atoms: list[Atom],
    block: Block,
    block_idx: int,
    offset: int,
    options: TextOptions,
    lexicon: Lexicon | None,
    report: Callable[[str, int], None] | None,
) -> None:
    """Appends the sentences of one block; its last one gets the block's own pause."""
    runs, problems = ([Run(block.text, 0, 0)], []) if block.spoken else runs_of(block.text)
    if report is not None:
        for problem in problems:
            report(problem, block_idx)
    is_heading = block.kind is BlockKind.HEADING
    pause_after = block.pause or (Pause.HEADING if is_heading else Pause.PARAGRAPH)
    for run_idx, run in enumerate(runs):
        is_last_run = run_idx == len(runs) - 1
        wanted = block.language or options.language
        language = wanted if block.spoken and wanted else language_of(run.text, wanted)
        speak = (
            _identity if block.spoken else partial(_speak, language=language, is_heading=is_heading, lexicon=lexicon)
        )
        run_atoms = _atoms_of(run, block, block_idx, offset, language, speak, options)
        asked_s = block.pause_s if block.spoken else run.pause_s
        pause = pause_after if is_last_run else Pause.SENTENCE
        if not run_atoms:
            _lengthen_last(atoms, pause, asked_s)
            continue
        last = run_atoms[-1]
        last.pause, last.asked_pause_s = pause, asked_s
        if is_last_run and not block.spoken:
            last.spoken = ended(last.spoken, pause, language)
        atoms.extend(run_atoms)


def _atoms_of(
    run: Run,
    block: Block,
    block_idx: int,
    offset: int,
    language: str,
    speak: Callable[[str], str],
    options: TextOptions,
) -> list[Atom]:
    """Sentences of a run that have something to say; those beyond the budget in parts."""
    atoms: list[Atom] = []
    is_heading = block.kind is BlockKind.HEADING
    spans = [(0, len(run.text))] if block.spoken else sentence_spans(run.text)
    for start, end in spans:
        sentence = run.text[start:end]
        for part_start, spoken, seconds, is_last in _parts_of(sentence, speak, options):
            if not spoken:
                continue
            index = start + part_start
            place = run.start if index == 0 else run.place_of(index)
            pause = Pause.SENTENCE if is_last else Pause.CLAUSE
            atoms.append(
                Atom(
                    start=offset + place,
                    spoken=spoken,
                    seconds=seconds,
                    pause=pause,
                    speaker=run.speaker or block.speaker or "",
                    language=language.partition("-")[0],
                    block_idx=block_idx,
                    source=block.source,
                    is_heading=is_heading,
                    is_alone=block.spoken,
                )
            )
    return atoms


def _parts_of(
    sentence: str, speak: Callable[[str], str], options: TextOptions
) -> Iterator[tuple[int, str, float, bool]]:
    """(start, spoken text, seconds, whether it ends the sentence) of a sentence, or of its parts if too long."""
    if len(sentence) <= _SURELY_SHORT * options.budget_s or estimate_s(sentence) <= _SURELY_LONG * options.budget_s:
        spoken = speak(sentence)
        seconds = estimate_s(spoken)
        if seconds <= options.budget_s:
            yield 0, spoken, seconds, True
            return

    def spoken_seconds(text: str) -> float:
        shown_s = estimate_s(text)
        return shown_s if shown_s > _SURELY_LONG * options.budget_s else max(shown_s, estimate_s(speak(text)))

    spans = split_long(sentence, spoken_seconds, min(options.target_s, options.budget_s), options.budget_s)
    for start, end in spans:
        spoken = speak(sentence[start:end])
        yield start, spoken, estimate_s(spoken), end == len(sentence)


def _speak(text: str, language: str, is_heading: bool, lexicon: Lexicon | None) -> str:
    if lexicon is not None:
        text = lexicon.apply(text)
    return normalise(text, language, is_heading=is_heading)


def _identity(text: str) -> str:
    """A line of a dump is said as it stands, unless there is nothing in it to say."""
    return " ".join(text.split()) if any(character.isalnum() for character in text) else ""
