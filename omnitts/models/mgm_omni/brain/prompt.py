"""Brain prompt: a conversation becomes token ids with markers where pictures and sounds go (spec 6.4).

Goes in: turns of text, pictures, films and sounds, or a ready template string. Comes out: ids in which -200 stands for
an image or video and -500 for an audio. Sees no tensors. What a person typed can never act as a special token or a
marker (trap 27, 32): only the template's own strings do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

IMAGE_MARKER: Final = -200
SPEECH_MARKER: Final = -500
MARKER_OF_LITERAL: Final = {"<image>": IMAGE_MARKER, "<speech>": SPEECH_MARKER}
SYSTEM_TEXT: Final = "You are a helpful assistant."


class Media(Enum):
    """Where in a turn something that is not text stands; the n-th Media belongs to the n-th encoded medium."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


Part = str | Media


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's say: typed text and media, in the order they are to be perceived."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class _Template:
    """A piece of the template, whose special strings count."""

    text: str


def encode_turns(tokenizer: Any, turns: Sequence[Turn], system: str = SYSTEM_TEXT) -> list[int]:
    """Ids of the whole conversation, ending with the assistant's open turn.

    ``tokenizer``: a Hugging Face tokenizer of the Qwen2 form.
    """
    pieces: list[_Template | str | int] = [_Template("<|im_start|>system\n"), system, _Template("<|im_end|>\n")]
    for turn in turns:
        pieces += [_Template(f"<|im_start|>{turn.role}\n"), *_turn_pieces(turn.parts), _Template("<|im_end|>\n")]
    pieces.append(_Template("<|im_start|>assistant\n"))
    return _encode_pieces(tokenizer, pieces)


def encode_template(tokenizer: Any, prompt: str) -> list[int]:
    """Ids of a ready prompt string in which ``<image>`` and ``<speech>`` are markers. Only for trusted strings."""
    ids: list[int] = []
    for piece in re.split("(<image>|<speech>)", prompt):
        if piece in MARKER_OF_LITERAL:
            ids.append(MARKER_OF_LITERAL[piece])
        else:
            ids += _encode(tokenizer, piece)
    return ids


def plain_pieces(text: str, specials: Iterable[str]) -> list[str]:
    """Cuts ``text`` after the first character of every special string in it, so that no piece holds one.

    Tokenised one by one and joined, the pieces say the same characters, and none of them acts.
    """
    pattern = "|".join(re.escape(special) for special in sorted(specials, key=len, reverse=True))
    pieces = []
    while pattern and (found := re.search(pattern, text)):
        cut = found.start() + 1
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def _turn_pieces(parts: Sequence[Part]) -> list[_Template | str | int]:
    """A medium is followed by a newline, except an audio that ends a turn after another medium (spec 6.4)."""
    pieces: list[_Template | str | int] = []
    for i, part in enumerate(parts):
        if isinstance(part, str):
            joins = bool(pieces) and isinstance(pieces[-1], str)
            pieces.append(f"{pieces.pop()}{part}" if joins else part)  # a special string may span two typed parts
        elif part is Media.AUDIO:
            ends_after_medium = i == len(parts) - 1 and any(isinstance(p, Media) for p in parts[:i])
            pieces += [SPEECH_MARKER] if ends_after_medium else [SPEECH_MARKER, _Template("\n")]
        else:
            pieces += [_Template("<|vision_start|>"), IMAGE_MARKER, _Template("<|vision_end|>\n")]
    return pieces


def _encode_pieces(tokenizer: Any, pieces: Sequence[_Template | str | int]) -> list[int]:
    """Neighbouring strings are tokenised as one, as the reference does; typed specials and markers cut them."""
    specials = list(tokenizer.get_added_vocab())
    ids: list[int] = []
    pending = ""
    for piece in pieces:
        if isinstance(piece, int):
            ids += [*_encode(tokenizer, pending), piece]
            pending = ""
        elif isinstance(piece, _Template):
            pending += piece.text
        else:
            *cut, rest = plain_pieces(piece, specials)
            for text in cut:
                ids += _encode(tokenizer, pending + text)
                pending = ""
            pending += rest
    return ids + _encode(tokenizer, pending)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids) if text else []
