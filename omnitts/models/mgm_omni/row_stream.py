"""Rows of a sequence still being spoken into the speech codes that will be heard, row by row.

Goes in: rows as the text feed makes them. Comes out: the same codes that `speech_rows.speech_codes` takes from the
finished sequence, as early as that can be known. Source: specification 2.9; 4.3 differs (docs/differences.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary


class SoundingRows:
    """One stream. Holds one row back: whether it is a chunk's silent last row is known when the next one comes.

    ``dropped_rows``: silent rows at the beginning of each chunk. A sequence cut before its end keeps the two rows that
    `speech_codes` would take for its ending.
    """

    def __init__(self, vocabulary: SpeechVocabulary, dropped_rows: int) -> None:
        self._vocabulary = vocabulary
        self._dropped_rows = dropped_rows
        self._held: Sequence[int] | None = None
        self._place = 0  # of the held row in its chunk
        self._ended = False

    def push(self, row: Sequence[int]) -> Iterator[list[int]]:
        """One row (text id, then K codes) -> the K codes that are due: one row's or none."""
        if row[0] in (self._vocabulary.audio_sep, self._vocabulary.audio_end):
            self._ended |= row[0] == self._vocabulary.audio_end
            self._held, self._place = None, 0
            return
        if self._ended:
            return
        if self._held is not None:
            if self._place >= self._dropped_rows:
                yield [self._heard(code) for code in self._held[1:]]
            self._place += 1
        self._held = row

    def _heard(self, code: int) -> int:
        return self._vocabulary.silence_code if code >= self._vocabulary.speech_eos else code
