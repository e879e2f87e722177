"""The mouth's vocabulary: which id means what, and what each text id sounds like to the text feed.

Goes in: the config and the checkpoint's tokenizer. Comes out: ids, and one flag per text id for "ends a sentence" and
"nothing to say at the start of a chunk". Knows no tensors. Source: specification 2.2, 2.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from omnitts.errors import ModelError
from omnitts.models.mgm_omni.config import DEFAULT_CODEBOOK_SIZE, MouthConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PUBLISHED_REFER_PAD_ID: Final = 151643  # a constant of the reference, not the tokenizer's pad id
PUBLISHED_SILENCE_CODE: Final = 6486
# The 113 codes of the published codebook that are silence or breath.
_PUBLISHED_BLANKS: Final = """
    1707 1788 1950 1951 1959 2031 2040 2112 3894 3903 3975 4056 4137 4138 4143 4146 4164 4173 4218 4219 4227 4299 4300
    5520 5523 5547 5760 5763 5766 5790 6009 6081 6082 6087 6090 6091 6092 6117 6162 6163 6165 6168 6171 6172 6198 6243
    6244 6249 6252 6253 6261 6276 6279 6296 6299 6321 6324 6325 6330 6331 6333 6334 6335 6339 6342 6351 6357 6360 6361
    6378 6387 6399 6402 6405 6406 6408 6411 6412 6413 6414 6415 6416 6432 6433 6435 6436 6438 6439 6441 6459 6460 6461
    6466 6468 6469 6480 6483 6486 6487 6489 6492 6493 6495 6496 6511 6513 6514 6519 6522 6523 6540 6541 6549
"""
PUBLISHED_BLANK_CODES: Final = frozenset(int(code) for code in _PUBLISHED_BLANKS.split())

_SENTENCE_ENDS: Final = frozenset(".?!;。？！；\n")
_BLANK: Final = re.compile(r"[ \n*#]+")
_AUDIO_MARKS: Final = ("<|audio_start|>", "<|audio_end|>", "<|audio_sep|>")


@dataclass(frozen=True)
class SpeechVocabulary:
    """Ids of one checkpoint. K codes a row from V ids each: 0 .. V-3 sound, V-2 eos, V-1 pad."""

    text_size: int
    codebook_size: int
    codes_per_row: int
    text_pad: int
    text_eos: int
    refer_pad: int
    silence_code: int
    blank_codes: frozenset[int]
    ends_sentence: bytes = field(repr=False)  # one flag per text id
    is_blank_text: bytes = field(repr=False)

    @property
    def audio_start(self) -> int:
        return self.text_size - 3

    @property
    def audio_end(self) -> int:
        return self.text_size - 2

    @property
    def audio_sep(self) -> int:
        return self.text_size - 1

    @property
    def speech_eos(self) -> int:
        return self.codebook_size - 2

    @property
    def speech_pad(self) -> int:
        return self.codebook_size - 1


def build_vocabulary(config: MouthConfig, tokenizer: Any, where: str = "tokenizer") -> SpeechVocabulary:
    """The vocabulary of a checkpoint; `tokenizer` is transformers' (fast) tokenizer of its folder.

    Decodes every text id once (0.2 s for 151k ids). Raises `ModelError` where config and tokenizer disagree, or where a
    codebook other than the published one does not say which code is silence.
    """
    text_size = config.text_size
    for offset, mark in zip((3, 2, 1), _AUDIO_MARKS, strict=True):
        found = tokenizer.convert_tokens_to_ids(mark)
        if found != text_size - offset:
            raise ModelError(
                f"{mark} has id {found}, but vocab_size and tokenizer_speech_size put it at {text_size - offset}",
                where=where,
                hint="config.json and tokenizer files are of different checkpoints",
            )
    for name in ("pad_token_id", "eos_token_id"):
        if getattr(tokenizer, name) is None:
            raise ModelError(f"the tokenizer has no {name}", where=where)
    silence, blanks = _silence(config, where)
    ends_sentence, is_blank = text_flags(tokenizer.backend_tokenizer, text_size)
    return SpeechVocabulary(
        text_size=text_size,
        codebook_size=config.codebook_size,
        codes_per_row=config.codes_per_row,
        text_pad=int(tokenizer.pad_token_id),
        text_eos=int(tokenizer.eos_token_id),
        refer_pad=_refer_pad(config, int(tokenizer.pad_token_id)),
        silence_code=silence,
        blank_codes=blanks,
        ends_sentence=ends_sentence,
        is_blank_text=is_blank,
    )


def text_flags(tokenizer: Tokenizer, text_size: int) -> tuple[bytes, bytes]:
    """For each id below `text_size`: does it end a sentence, is it blank at the start of a chunk?

    A sentence ends at a token whose first character is one of `. ? ! ; 。 ？ ！ ；` or a newline, or whose last is a
    newline. Blank is a token of nothing but spaces, newlines, `*` and `#`. A token that decodes to nothing is neither.
    """
    texts = tokenizer.decode_batch([[token] for token in range(text_size)], skip_special_tokens=False)
    ends = bytes(bool(text) and (text[0] in _SENTENCE_ENDS or text[-1] == "\n") for text in texts)
    blank = bytes(_BLANK.fullmatch(text) is not None for text in texts)
    return ends, blank


def _refer_pad(config: MouthConfig, text_pad: int) -> int:
    """The reference pads the transcript with 151643 whatever the config says; a smaller vocabulary has no such id."""
    if config.refer_pad_id is not None:
        return config.refer_pad_id
    return PUBLISHED_REFER_PAD_ID if config.text_size > PUBLISHED_REFER_PAD_ID else text_pad


def _silence(config: MouthConfig, where: str) -> tuple[int, frozenset[int]]:
    """The code that stands for silence, and the set of blank codes: the checkpoint's own, else the published ones."""
    published = config.codebook_size == DEFAULT_CODEBOOK_SIZE
    silence = PUBLISHED_SILENCE_CODE if config.silence_code is None and published else config.silence_code
    if silence is None:
        raise ModelError(
            f"no silence_token for a codebook of {config.codebook_size} ids",
            where=where,
            hint="add silence_token and blank_ids to config.json",
        )
    default = PUBLISHED_BLANK_CODES if published else frozenset({silence})
    blanks = default if config.blank_codes is None else frozenset(config.blank_codes)
    beyond = [code for code in (silence, *blanks) if not 0 <= code < config.codebook_size - 2]
    if beyond:
        raise ModelError(f"silence or blank code {beyond[0]} is not a code of the codebook", where=where)
    return silence, blanks
