"""Average voice: what codes sound like in one voice that nobody has, as a target for the flow's mu.

The flow's encoder hears codes and no voice. Drawn to the mel of the clips, mu becomes a mean over all voices: blurred,
and slow to learn, for every target is off by a voice that codes cannot tell. The tokenizer's mel reader, given the
mean of many clips' styles, makes a target that is one voice's and that codes alone decide. A tokenizer with its corpus
goes in; a reader (codes -> mel) in a file of its own comes out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from omnitts.errors import InputError
from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.conv_stack import inside_mask
from omnitts.models.reading.reader_file import fill_reader, opening, write_reader
from omnitts.training.recipe import TokenizerRecipe
from omnitts.training.store import CorpusStore
from omnitts.training.tables import sent
from omnitts.training.tokenizer_network import SpeechTokenizer, mel_reader

MEL_READER: Final = "mel_reader.safetensors"
_CLIPS: Final = 400  # whose styles are averaged


@torch.no_grad()
def average_reader(tokenizer: SpeechTokenizer, recipe: TokenizerRecipe, corpus: CorpusStore) -> CodeReader:
    """The tokenizer's mel reader with the mean style of some hundred clips, one speaker as often as another."""
    clips = {utterance.speaker: index for index, utterance in enumerate(corpus.utterances)}
    some = sorted(clips.values())[:: max(1, len(clips) // _CLIPS)]
    styles = [
        tokenizer.style(corpus.read("mel", index)[None], torch.tensor([corpus.utterances[index].num_codes]))
        for index in some
    ]
    reader = mel_reader(recipe)
    reader.first.load_state_dict(tokenizer.mel_in.state_dict())
    reader.first.bias.add_(torch.cat(styles).mean(dim=0))
    reader.stack.load_state_dict(tokenizer.mel.state_dict())
    reader.last.load_state_dict(tokenizer.mel_out.state_dict())
    return reader.eval()


def keep_mel_reader(reader: CodeReader, folder: Path) -> None:
    """Writes MEL_READER."""
    write_reader(reader, folder / MEL_READER)


def open_mel_reader(folder: Path, recipe: TokenizerRecipe) -> CodeReader:
    """What `keep_mel_reader` wrote.

    Raises `InputError` when it is not there, `ModelError` when it is damaged or of another recipe's sizes.
    """
    path = folder / MEL_READER
    if not path.is_file():
        hint = 'train the tokenizer in this run, or set flow.prior to "mel" in its recipe'
        raise InputError(f"there is no {MEL_READER}", where=str(folder), hint=hint)
    with opening("mel reader", path):
        return fill_reader(mel_reader(recipe), path).requires_grad_(False)


@torch.no_grad()
def average_mel(reader: CodeReader, ids: Tensor, lengths: list[int]) -> Tensor:
    """(B, F, M) mel of (B, T) codes in the reader's voice."""
    inside = inside_mask(sent(lengths, ids.device), ids.shape[1])
    frames: Tensor = reader.to(ids.device)(reader.quantiser.rounded_of(ids), inside)
    return frames.view(len(ids), 2 * ids.shape[1], -1)
