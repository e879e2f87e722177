"""Cloning prompt: reference transcript, reference codes and text as the rows and ids the mouth is started with.

Goes in: strings and the reference clip's speech codes. Comes out: rows (T, 1 + K) that end with audio_start, and the
text ids for the text feed. Knows nothing of audio. Source: specification 2.5, traps 2, 9, 10, 26, 27, 32.

What people wrote (text and transcript) is tokenised without the checkpoint's added tokens, so `<|audio_start|>`,
`<speech>` or `speech_layer_0_5` in a book are characters to speak and never orders. The template alone may use them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from tokenizers import Tokenizer

from omnitts.errors import VoiceError
from omnitts.models.mgm_omni.config import MouthConfig
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary

_BEFORE_REFERENCE: Final = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{instruction}<|audio_start|>"
)
_AFTER_REFERENCE: Final = "<|audio_end|>\n<|im_end|>\n<|im_start|>assistant\n<|audio_start|>"
_INSTRUCTION_ZH: Final = "使用参考音频中听到的语气回答。"
_INSTRUCTION_EN: Final = "Respond with the tone of the reference audio clip."
_CHINESE: Final = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class SpeechPrompt:
    """What one sequence starts from."""

    rows: torch.Tensor  # (T, 1 + K) int64, codes local to their codebook; the last row is audio_start
    text_ids: tuple[int, ...]


class PromptBuilder:
    """Builds prompts for one checkpoint. `voice_rows` is the same for every text in a voice: compute it once."""

    def __init__(self, config: MouthConfig, vocabulary: SpeechVocabulary, tokenizer: Any) -> None:
        self._config = config
        self._vocabulary = vocabulary
        self._template_tokenizer: Tokenizer = tokenizer.backend_tokenizer
        self._text_tokenizer = without_added_tokens(tokenizer.backend_tokenizer)
        self.written = config.text_form.writer()

    def build(self, text: str, transcript: str, codes: Sequence[int], accent: str = "") -> SpeechPrompt:
        """The prompt that speaks `text` in the voice of a clip with this transcript and these speech codes."""
        return SpeechPrompt(self.voice_rows(transcript, codes, accent), self.text_ids(text, accent))

    def text_ids(self, text: str, accent: str = "") -> tuple[int, ...]:
        """Text as ids, every special string in it spelled out. `accent` matters where the text track has phonemes."""
        return tuple(self._text_tokenizer.encode(self.written(text, accent), add_special_tokens=False).ids)

    def voice_rows(self, transcript: str, codes: Sequence[int], accent: str = "") -> torch.Tensor:
        """Rows (T, 1 + K) up to and including the audio_start behind which speech begins.

        `codes`: all speech codes of the clip; the last `len(codes) % K` are not used here (the flow does use them).
        Raises `VoiceError` when there are no codes, codes of another codebook, or more rows than the model takes.
        """
        instruction = _INSTRUCTION_ZH if is_chinese(transcript) else _INSTRUCTION_EN
        before = self._template_ids(_BEFORE_REFERENCE.format(instruction=instruction))
        after = self._template_ids(_AFTER_REFERENCE)
        reference = self._reference_rows(self.text_ids(transcript, accent), codes)
        rows = torch.cat([self._silent_rows(before), reference, self._silent_rows(after)])
        longest = self._config.max_prompt_rows or self._config.backbone.max_position_embeddings
        if len(rows) > longest:
            raise VoiceError(
                f"the reference clip makes a prompt of {len(rows)} rows, the model takes {longest}",
                hint="use a shorter reference clip",
            )
        return rows

    def _template_ids(self, text: str) -> list[int]:
        return self._template_tokenizer.encode(text, add_special_tokens=False).ids

    def _silent_rows(self, text_ids: Sequence[int]) -> torch.Tensor:
        """Rows of text with pad in every codebook."""
        K = self._vocabulary.codes_per_row
        rows = torch.full((len(text_ids), 1 + K), self._vocabulary.speech_pad)
        rows[:, 0] = torch.tensor(text_ids)
        return rows

    def _reference_rows(self, transcript_ids: Sequence[int], codes: Sequence[int]) -> torch.Tensor:
        """Pad rows, the clip's codes K to a row, an eos row; beside them the transcript, cut or padded to fit."""
        vocabulary = self._vocabulary
        K, num_pads = vocabulary.codes_per_row, self._config.prompt_pad_rows
        num_full = len(codes) // K
        if not num_full:
            raise VoiceError("the reference clip is too short to clone", hint="record 5 to 20 s of clean speech")
        if not all(0 <= code < vocabulary.speech_eos for code in codes):
            raise VoiceError(
                f"the reference codes are not of this model's codebook (0 to {vocabulary.speech_eos - 1})",
                hint="make the voice prompt again with this checkpoint",
            )
        num_rows = num_pads + num_full + 1
        text = [*transcript_ids[:num_rows], *[vocabulary.refer_pad] * (num_rows - len(transcript_ids))]
        rows = self._silent_rows(text)
        rows[num_pads:-1, 1:] = torch.tensor(codes[: num_full * K]).view(num_full, K)
        rows[-1, 1:] = vocabulary.speech_eos
        return rows


def without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer minus its added tokens: their strings become ordinary characters."""
    plain = Tokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        plain.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        plain.pre_tokenizer = tokenizer.pre_tokenizer
    return plain


def is_chinese(text: str) -> bool:
    """Whether a character of U+4E00 to U+9FFF occurs."""
    return _CHINESE.search(text) is not None


def tidy_transcript(text: str, to_simplified: Callable[[str], str]) -> str:
    """A transcript from speech recognition, with the closing mark and letter case the model was trained on.

    `to_simplified` turns traditional Chinese characters into simplified ones. A transcript that a person wrote is not
    touched by the reference: pass only what a recogniser returned.
    """
    text = text.removeprefix(" ")
    if is_chinese(text):
        return to_simplified(text if text.endswith(("。", "！", "？")) else text + "。")
    if not text.endswith((".", "!", "?")):
        text += "."
    return text[:1].upper() + text[1:] if text[:1].islower() else text
