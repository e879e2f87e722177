"""Fake brain: says back what it was told and shown. For tests and dry runs; loads no model, understands nothing.

Media files are read as a real brain reads them, so that a picture that is no picture fails here too. With a voice the
answer also comes as a tone, in pieces. Equal questions give equal answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from omnitts.audio import Waveform
from omnitts.engines.base import SpeechRequest
from omnitts.engines.brain import AnswerEnd, AnswerOptions, AnswerPiece, BrainOptions, Film, Part, Picture, Recording
from omnitts.engines.fake import SAMPLE_RATE, tone
from omnitts.engines.media import read_film, read_picture, read_recording

PIECE_S = 0.5  # of sound at a time


def open_brain(options: BrainOptions) -> FakeBrain:
    return FakeBrain(options)


class FakeBrain:
    """A `Brain`."""

    name = "fake"
    revision = "fake-brain-1"
    description = "fake: says back what it was told"

    def __init__(self, options: BrainOptions) -> None:
        self.voice = options.voice

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE if self.voice else 0

    def prepare(self) -> None:
        return

    def converse(self, system: str = "") -> FakeConversation:
        return FakeConversation(self)

    def answer(self, questions: Sequence[Sequence[Part]], options: AnswerOptions) -> list[AnswerEnd]:
        return [_cut(" ".join(map(_describe, parts)), options) for parts in questions]

    def close(self) -> None:
        return


class FakeConversation:
    """Counts its turns, so that a forgotten one shows."""

    def __init__(self, brain: FakeBrain) -> None:
        self._brain = brain
        self._said: list[str] = []

    def say(self, parts: Sequence[Part], options: AnswerOptions) -> Iterator[AnswerPiece]:
        self._said += [_describe(part) for part in parts]
        end = _cut(f"You said: {' | '.join(self._said)}", options)
        first, *others = end.text.split(" ")
        yield first
        yield from (f" {word}" for word in others)
        if self._brain.voice is not None:
            sound = tone(SpeechRequest("", end.text, self._brain.voice, seed=options.seed))
            hop = round(PIECE_S * SAMPLE_RATE)
            for start in range(0, len(sound), hop):
                yield Waveform(sound.samples[start : start + hop], SAMPLE_RATE)
        yield end

    def reset(self) -> None:
        self._said.clear()


def _cut(text: str, options: AnswerOptions) -> AnswerEnd:
    """A word is a token."""
    words = text.split(" ")
    kept = words[: options.max_new_tokens]
    return AnswerEnd(" ".join(kept), len(kept), "end" if len(kept) == len(words) else "length")


def _describe(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Picture):
        width, height = read_picture(part.path).size
        return f"[picture of {width} x {height}]"
    if isinstance(part, Film):
        return f"[film of {len(read_film(part.path, lambda total, rate: list(range(min(total, 4)))))} frames]"
    if isinstance(part, Recording):
        samples, rate = read_recording(part.path)
        return f"[sound of {len(samples) / rate:.1f} s]"
    return f"[sound of {part.duration_s:.1f} s]"
