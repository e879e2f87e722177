"""Brain prompt: a conversation becomes token ids with markers where pictures and sounds go (spec 6.4).

Goes in: turns of text, pictures, films and sounds, or a ready template string. Comes out: ids in which -200 stands for
an image or video and -500 for an audio. Sees no tensors. What a person typed can never act as a special token or a
marker (trap 27, 32): only the template's own strings do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any, Final, Literal

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.prompt import without_added_tokens

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


def encode_turns(tokenizer: Any, turns: Sequence[Turn], system: str = SYSTEM_TEXT) -> list[int]:
    """Ids of the whole conversation, ending with the assistant's open turn.

    ``tokenizer``: transformers' tokenizer of the checkpoint. Only what the template puts in are special tokens; every
    stretch of text between two of them is tokenised as one, with the added tokens switched off. Raises `ModelError`
    when the tokenizer lacks a special token of the template.
    """
    start, end = _special(tokenizer, "<|im_start|>"), _special(tokenizer, "<|im_end|>")
    pieces: list[str | int] = [start, "system\n", system, end, "\n"]
    for turn in turns:
        pieces += [start, f"{turn.role}\n", *_turn_pieces(tokenizer, turn.parts), end, "\n"]
    pieces += [start, "assistant\n"]
    plain = without_added_tokens(tokenizer.backend_tokenizer)
    ids: list[int] = []
    for is_text, group in groupby(pieces, key=lambda piece: isinstance(piece, str)):
        if is_text:
            ids += plain.encode("".join(map(str, group)), add_special_tokens=False).ids
        else:
            ids += map(int, group)
    return ids


def encode_template(tokenizer: Any, prompt: str) -> list[int]:
    """Ids of a ready prompt string in which ``<image>`` and ``<speech>`` are markers. Only for trusted strings."""
    ids: list[int] = []
    for piece in re.split("(<image>|<speech>)", prompt):
        if piece in MARKER_OF_LITERAL:
            ids.append(MARKER_OF_LITERAL[piece])
        elif piece:
            ids += tokenizer(piece, add_special_tokens=False).input_ids
    return ids


def _turn_pieces(tokenizer: Any, parts: Sequence[Part]) -> list[str | int]:
    """A medium is followed by a newline, except an audio that ends a turn after another medium (spec 6.4)."""
    pieces: list[str | int] = []
    for i, part in enumerate(parts):
        if isinstance(part, str):
            pieces.append(part)
        elif part is Media.AUDIO:
            ends_after_medium = i == len(parts) - 1 and any(isinstance(p, Media) for p in parts[:i])
            pieces += [SPEECH_MARKER] if ends_after_medium else [SPEECH_MARKER, "\n"]
        else:
            vision_start, vision_end = (_special(tokenizer, f"<|vision_{edge}|>") for edge in ("start", "end"))
            pieces += [vision_start, IMAGE_MARKER, vision_end, "\n"]
    return pieces


def _special(tokenizer: Any, token: str) -> int:
    token_id = tokenizer.get_added_vocab().get(token)
    if token_id is None:
        raise ModelError(f"the tokenizer has no {token}", where=str(tokenizer.name_or_path))
    return int(token_id)
