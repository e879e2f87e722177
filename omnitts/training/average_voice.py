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
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from omnitts.errors import InputError
from omnitts.training.recipe import TokenizerRecipe
from omnitts.training.store import CorpusStore
from omnitts.training.tokenizer_network import CodeReader, SpeechTokenizer, mel_reader

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
    """Writes MEL_READER, in float16."""
    aside = folder / f"part-{MEL_READER}"
    save_file({name: value.detach().half().contiguous() for name, value in reader.state_dict().items()}, aside)
    aside.replace(folder / MEL_READER)


def open_mel_reader(folder: Path, recipe: TokenizerRecipe) -> CodeReader:
    """What `keep_mel_reader` wrote. Raises `InputError` when it is not there, damaged or of another recipe's sizes."""
    path, reader = folder / MEL_READER, mel_reader(recipe)
    if not path.is_file():
        hint = 'train the tokenizer in this run, or set flow.prior to "mel" in its recipe'
        raise InputError(f"there is no {MEL_READER}", where=str(folder), hint=hint)
    try:
        reader.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"the mel reader cannot be opened ({reason})", where=str(path)) from error
    return reader.eval().requires_grad_(False)
