"""The file of a network of speech codes: what a tokenizer's readers leave behind for those who have no tokenizer, and
what learnt from them.

float16 tensors and, where wanted, notes about them, as safetensors. Written aside and renamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from omnitts.errors import ModelError

Network = TypeVar("Network", bound=nn.Module)


def write_reader(reader: nn.Module, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """``notes`` become the file's metadata."""
    aside = path.with_name(f"part-{path.name}")
    state = {name: value.detach().half().contiguous() for name, value in reader.state_dict().items()}
    save_file(state, aside, metadata=dict(notes) if notes else None)
    aside.replace(path)


def fill_reader(reader: Network, path: Path) -> Network:
    """The reader with the file's weights, in float32 and eval mode. Raises what `opening` names."""
    reader.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return reader.eval()


@contextmanager
def opening(what: str, path: Path, stage: str = "tokenizer") -> Iterator[None]:
    """Turns what goes wrong inside, a damaged file or one of other sizes, into a `ModelError` that names both, and the
    ``stage`` of training that makes it.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        hint = f"it is damaged, or of another version: make it again with `omnitts train {stage}`"
        raise ModelError(f"the {what} cannot be opened ({reason})", where=str(path), hint=hint) from error
