"""The feature cache: one binary file per kind of feature, memory-mapped, and an index of utterances.

Every kind has a fixed number of frames per speech code (40 ms), so that one offset, counted in codes, finds an
utterance in all files. Appending survives being killed: what the index does not know is cut off at the next start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import torch
from torch import Tensor

from omnitts.audio import FloatArray
from omnitts.errors import InputError, OutputError
from omnitts.training.tables import Stretch, Table

CODE_S: Final = 0.04
WAVE_RATE: Final = 24_000
FRONT_RATE: Final = 16_000
INDEX: Final = "index.jsonl"
_WAVE_STEPS: Final = 32767.0

Span = tuple[int, int, int]  # an utterance by index, its first code, and the one behind the last


@dataclass(frozen=True)
class Kind:
    """``frames`` per speech code, each of ``width`` numbers."""

    frames: int
    width: int
    dtype: str

    @property
    def numbers(self) -> int:
        return self.frames * self.width


KINDS: Final = {
    "log_mel": Kind(4, 128, "float16"),  # 100 frames/s, what the speech tokenizer hears
    "fbank": Kind(4, 80, "float16"),  # 100 frames/s (the last two of a clip are empty), what the speaker encoder hears
    "mel": Kind(2, 80, "float16"),  # 50 frames/s, what the flow makes
    "pitch": Kind(2, 1, "float32"),  # Hz per mel frame, 0 where unvoiced
    "wave": Kind(960, 1, "int16"),  # 24 kHz
}


@dataclass(frozen=True)
class Utterance:
    """One utterance of the cache: ``num_codes`` from ``offset`` on. ``held_back`` ones only measure validation loss."""

    id: str
    text: str
    speaker: str
    accent: str
    offset: int
    num_codes: int
    held_back: bool

    @property
    def seconds(self) -> float:
        return self.num_codes * CODE_S


class CorpusStore:
    """The cache, opened for reading."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        """``device``: where features are read to. All but the CPU hold each kind of feature that is read, whole."""
        self.folder, self.device = folder, torch.device(device)
        self.utterances = read_index(folder)
        if not self.utterances:
            raise InputError("the feature cache is empty", where=str(folder), hint="run `omnitts train corpus` first")

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {
            name: Table(self.folder / f"{name}.bin", kind.dtype, kind.frames, kind.width, self.device)
            for name, kind in KINDS.items()
        }

    @property
    def num_codes(self) -> int:
        """Of all utterances together."""
        last = self.utterances[-1]
        return last.offset + last.num_codes

    @property
    def hours(self) -> float:
        return self.num_codes * CODE_S / 3600

    def training(self) -> list[int]:
        """Indices of the utterances to learn from."""
        return [i for i, utterance in enumerate(self.utterances) if not utterance.held_back]

    def validation(self) -> list[int]:
        return [i for i, utterance in enumerate(self.utterances) if utterance.held_back]

    def read(self, kind: str, index: int, start: int = 0, stop: int | None = None) -> Tensor:
        """(frames, width) float32 of one utterance, or of its codes from ``start`` to ``stop``. Waves in [-1, 1]."""
        values = self._tables[kind].read(*self.codes_at(index, start, stop))
        return values / _WAVE_STEPS if kind == "wave" else values

    def padded(self, kind: str, spans: Sequence[Span]) -> Tensor:
        """(B, frames of the longest, width) float32 of what `read` gives of each span, zero behind each row's end."""
        return self.joined(kind, [[span] for span in spans])

    def joined(self, kind: str, rows: Sequence[Sequence[Span]]) -> Tensor:
        """As `padded`, of rows of several spans, one behind the other."""
        values = self._tables[kind].joined([[self.codes_at(*span) for span in row] for row in rows])
        return values / _WAVE_STEPS if kind == "wave" else values

    def codes_at(self, index: int, start: int = 0, stop: int | None = None) -> Stretch:
        """Where a stretch of an utterance lies among the codes of all."""
        utterance = self.utterances[index]
        return utterance.offset + start, utterance.offset + (utterance.num_codes if stop is None else stop)

    def whole(self, indices: Sequence[int]) -> list[Span]:
        """The spans of whole utterances."""
        return [(index, 0, self.utterances[index].num_codes) for index in indices]


class StoreWriter:
    """Appends utterances; use as a context. Goes on behind what the index knows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        done = read_index(folder)
        self.known = {utterance.id for utterance in done}
        self._offset = done[-1].offset + done[-1].num_codes if done else 0
        self._files = {name: self._open(name) for name in KINDS}
        whole = sum(len(line) for line in _whole_lines(folder))
        self._index = (folder / INDEX).open("ab")
        self._index.truncate(whole)

    def _open(self, name: str) -> int:
        kind = KINDS[name]
        handle = os.open(self.folder / f"{name}.bin", os.O_RDWR | os.O_CREAT, 0o644)
        wanted = self._offset * kind.numbers * np.dtype(kind.dtype).itemsize
        if os.fstat(handle).st_size < wanted:
            raise InputError(f"{name}.bin is shorter than the index says", where=str(self.folder), hint="delete it all")
        os.ftruncate(handle, wanted)
        os.lseek(handle, 0, os.SEEK_END)
        return handle

    def append(
        self, name: str, text: str, speaker: str, accent: str, held_back: bool, features: Mapping[str, FloatArray]
    ) -> None:
        """Features of one utterance, each (frames per code * codes, width)."""
        num_codes = len(features["wave"]) // KINDS["wave"].frames
        for kind_name, kind in KINDS.items():
            values = features[kind_name].reshape(-1, kind.width)
            if len(values) != num_codes * kind.frames:
                raise ValueError(f"{kind_name} of {name} has {len(values)} frames for {num_codes} codes")
            if kind_name == "wave":
                values = np.round(values.clip(-1.0, 1.0) * _WAVE_STEPS)
            _write_all(self._files[kind_name], values.astype(kind.dtype).tobytes())
        entry = Utterance(name, text, speaker, accent, self._offset, num_codes, held_back)
        self._index.write((json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode())
        self._index.flush()
        self._offset += num_codes
        self.known.add(name)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._index.close()
        for handle in self._files.values():
            os.close(handle)


def read_index(folder: Path) -> list[Utterance]:
    """The utterances of a cache; a last line that was cut off is not counted."""
    try:
        return [Utterance(**json.loads(line)) for line in _whole_lines(folder)]
    except (ValueError, TypeError) as error:
        hint = "delete the folder and prepare it again"
        raise InputError(f"the index is damaged ({error})", where=str(folder / INDEX), hint=hint) from error


def _whole_lines(folder: Path) -> list[bytes]:
    path = folder / INDEX
    if not path.is_file():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(handle, view) :]
    except OSError as error:
        raise OutputError(f"cannot write features ({error.strerror})", hint="free some disk space") from error
