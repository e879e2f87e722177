"""Waveforms: load from any audio file, save without leaving half a file, resample, join, fade, measure.

Goes in: files, arrays. Comes out: `Waveform`, always mono float32 in [-1, 1]. Knows nothing of ffmpeg's command line,
books or engines. Long files are streamed in blocks (`stream`), never held whole.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from omnitts.errors import AudioError, OutputError

if TYPE_CHECKING:
    import av.container

FloatArray = npt.NDArray[np.float32]
SILENCE_DBFS = -120.0
WHOLE_TRACK = {"advanced_editlist": "0"}  # of libavformat's MP4 reader; else it copies the whole table of frames


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """Mono sound. ``samples`` has shape (N,), float32, nominally in [-1, 1]; ``sample_rate`` in hertz."""

    samples: FloatArray
    sample_rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    def __len__(self) -> int:
        return len(self.samples)

    def slice_s(self, start_s: float, end_s: float) -> Waveform:
        """The part between two times in seconds, clipped to what exists."""
        start, end = (max(0, round(t * self.sample_rate)) for t in (start_s, end_s))
        return Waveform(self.samples[start:end], self.sample_rate)

    def save(self, path: str | Path) -> None:
        """Writes a WAV or FLAC file, as `save` does."""
        save(self, Path(path))


def load(path: Path, sample_rate: int | None = None) -> Waveform:
    """Reads a whole audio file as mono (mean of channels), resampled (soxr HQ) if ``sample_rate`` is given.

    Anything libsndfile or ffmpeg's libraries can decode. Raises `AudioError` if the file is missing, empty, holds no
    audio, or is damaged.
    """
    samples, rate = _read_soundfile(path) or _read_av(path)
    if not len(samples):
        raise AudioError("the file holds no sound", where=str(path), hint="give a recording that plays")
    if not np.isfinite(samples).all():
        raise AudioError("the file holds samples that are not numbers", where=str(path), hint="export it again")
    waveform = Waveform(samples, rate)
    return resample(waveform, sample_rate) if sample_rate else waveform


def _read_soundfile(path: Path) -> tuple[FloatArray, int] | None:
    """None when libsndfile does not know the format (then ffmpeg's libraries are asked)."""
    import soundfile

    if not path.is_file():
        raise AudioError("no such file", where=str(path), hint="check the path")
    try:
        # By content: given a name, libsndfile would take a suffix such as .raw at its word.
        with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            samples, rate = sound.read(dtype="float32", always_2d=True), sound.samplerate
    except (soundfile.LibsndfileError, RuntimeError):
        return None
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror})", where=str(path), hint="check its permissions") from error
    return np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32)), int(rate)


def _read_av(path: Path) -> tuple[FloatArray, int]:
    with closing(_open_av(path)) as container:
        rate = int(container.streams.audio[0].rate)
    blocks = [block.samples for block in stream(path, sample_rate=rate)]
    return (np.concatenate(blocks) if blocks else np.zeros(0, np.float32)), rate


def stream(path: Path, sample_rate: int, block_s: float = 1.0, *, whole_track: bool = False) -> Iterator[Waveform]:
    """Decodes a file of any length block by block: mono at ``sample_rate``, about ``block_s`` seconds each.

    ``whole_track``: with what an MP4's edit list cuts off, the coder's run-up of some milliseconds. Memory does not
    grow with the file but for an MP4's table of frames: 7 MB an hour, 4 as a whole track. Raises `AudioError` like
    `load`.
    """
    import av

    num_samples = 0
    with closing(_open_av(path, WHOLE_TRACK if whole_track else None)) as container:
        # Channels are kept: ffmpeg's own mix to mono weighs each by 0.71, so that stereo speech would clip.
        resampler = av.AudioResampler(format="fltp", rate=sample_rate, frame_size=0)
        pending: list[FloatArray] = []
        pending_len, block_len = 0, max(1, round(block_s * sample_rate))
        try:
            for frame in _frames(container):
                for out in resampler.resample(frame):
                    block = out.to_ndarray().mean(axis=0, dtype=np.float32)  # (channels, N) to (N,)
                    pending.append(block)
                    pending_len += len(block)
                    num_samples += len(block)
                if pending_len >= block_len:
                    yield Waveform(np.concatenate(pending), sample_rate)
                    pending, pending_len = [], 0
        except (av.FFmpegError, OSError) as error:
            raise AudioError(f"the audio breaks off ({error})", where=str(path), hint="check the file plays") from error
        if pending_len:
            yield Waveform(np.concatenate(pending), sample_rate)
    if not num_samples:
        raise AudioError("the file holds no sound", where=str(path), hint="give a recording that plays")


def _frames(container: av.container.InputContainer) -> Iterator[Any]:
    """Decoded frames of the first audio stream, then None to flush the resampler."""
    yield from container.decode(audio=0)
    yield None


def _open_av(path: Path, options: dict[str, str] | None = None) -> av.container.InputContainer:
    import av

    if not path.is_file():
        raise AudioError("no such file", where=str(path), hint="check the path")
    hint = "give a WAV, FLAC, MP3, M4A, Opus or Ogg recording"
    try:
        # Without the prefix, a name such as "a: b.mp3" would be asked of a protocol "a".
        container = av.open(f"file:{path}", options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError("this is not an audio file", where=str(path), hint=hint) from error
    if not container.streams.audio or not container.streams.audio[0].rate:
        container.close()
        raise AudioError("the file has no audio track", where=str(path), hint=hint)
    return container


def save(waveform: Waveform, path: Path, *, bits: int = 16) -> None:
    """Writes WAV or FLAC by suffix, aside first, renamed when whole. ``bits`` is 16 or 24 (32 is float, WAV only)."""
    write_atomically(path, encode(waveform, path.suffix.lstrip(".").upper() or "WAV", bits=bits))


def encode(waveform: Waveform, container: str = "FLAC", *, bits: int = 16) -> bytes:
    """The bytes of a ``WAV`` or ``FLAC`` file; the same samples always give the same bytes."""
    import soundfile

    buffer = io.BytesIO()
    subtype = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}[bits]
    samples = np.clip(waveform.samples, -1.0, 1.0)
    soundfile.write(buffer, samples, waveform.sample_rate, format=container, subtype=subtype)
    data = bytearray(buffer.getvalue())
    peak_chunk = data.find(b"PEAK", 0, 200) if bits == 32 else -1
    if peak_chunk >= 0:  # libsndfile puts the time of day into float files: 4 bytes after name, size and version
        data[peak_chunk + 12 : peak_chunk + 16] = bytes(4)
    return bytes(data)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes aside in the same folder, syncs, then renames: a reader sees the old file or the whole new one.

    Raises `OutputError` when the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp made it private
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"cannot write ({error.strerror or error})", where=str(path), hint="check the folder and the free space"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """soxr HQ resampling; returns the same object when the rate already fits."""
    if waveform.sample_rate == sample_rate:
        return waveform
    import soxr

    samples = soxr.resample(waveform.samples, waveform.sample_rate, sample_rate, quality="HQ")
    return Waveform(np.asarray(samples, dtype=np.float32), sample_rate)


def silence(duration_s: float, sample_rate: int) -> Waveform:
    return Waveform(np.zeros(max(0, round(duration_s * sample_rate)), np.float32), sample_rate)


def join(waveforms: Sequence[Waveform]) -> Waveform:
    """End to end; all must share one sample rate."""
    rates = {waveform.sample_rate for waveform in waveforms}
    if len(rates) != 1:
        raise ValueError(f"waveforms of one sample rate expected, got {sorted(rates)}")
    return Waveform(np.concatenate([waveform.samples for waveform in waveforms]), rates.pop())


def fade(waveform: Waveform, in_s: float = 0.0, out_s: float = 0.0) -> Waveform:
    """Raised-cosine fades at the head and the tail; the two never overlap."""
    samples = waveform.samples.copy()
    for seconds, region in ((in_s, slice(None)), (out_s, slice(None, None, -1))):
        length = min(round(seconds * waveform.sample_rate), len(samples) // 2)
        if length > 0:
            samples[region][:length] *= 0.5 - 0.5 * np.cos(np.pi * (np.arange(length, dtype=np.float32) + 0.5) / length)
    return Waveform(samples, waveform.sample_rate)


def rms_dbfs(samples: FloatArray) -> float:
    """Root mean square level in dB below full scale; ``SILENCE_DBFS`` for digital silence or no samples."""
    mean_square = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(SILENCE_DBFS, 10 * float(np.log10(mean_square))) if mean_square > 0 else SILENCE_DBFS


def peak_dbfs(samples: FloatArray) -> float:
    """Sample peak in dB below full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    return max(SILENCE_DBFS, 20 * float(np.log10(peak))) if peak > 0 else SILENCE_DBFS
